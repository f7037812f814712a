"""Which of a query's candidates are its negatives: filters on the score, then rank, then the top or a lot."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hardneg.compat.pairs import Pairs
from hardneg.compat.request import Filters, Request
from hardneg.compat.scores import Found
from hardneg.compat.search import Pool
from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.core.text import text_id

UNSUPPORTED = "unsupported"  # the status of a target that the known positives do not bear out


@dataclass(frozen=True, eq=False)
class Mined:
    """The negatives of each query.

    Attributes:
        documents: int64 (queries, num_negatives); -1 where there are too few.
        scores: float32 (queries, num_negatives); -inf there.
        positive_scores: float32 (pairs,).
        skipped: what each filter took, by its name.
        candidates: what there was before.
        note: one sentence on a calibration, if there was one.
    """

    documents: IntArray
    scores: np.ndarray
    positive_scores: np.ndarray
    skipped: dict[str, int]
    candidates: int
    note: str = ""


def choose(found: Found, request: Request, seed: int | None) -> Mined:
    """Filter, rank and select by the score; a query's own positives are no candidates, unless they are asked for."""
    assert found.positive_scores is not None
    alive = found.pool.filled
    if not request.include_positives:
        alive &= ~found.pairs.positive_among(found.pool.documents)
    candidates = int(alive.sum())
    lowest = found.pairs.lowest(found.positive_scores)
    alive, skipped = filter_pool(found.pool, alive, lowest, request.filters)
    documents, scores = select(found.pairs, found.pool, alive, request, seed)
    return Mined(documents, scores, found.positive_scores, skipped, candidates)


def filter_pool(pool: Pool, alive: BoolArray, lowest: np.ndarray, filters: Filters) -> tuple[BoolArray, dict[str, int]]:
    """Return which candidates pass every filter, bool (queries, width), and how many each filter took.

    Args:
        pool: the candidates.
        alive: bool (queries, width); those that are still in question.
        lowest: float32 (queries,); the score of each query's lowest positive, from which margins are measured.
        filters: in whose order a candidate is counted at the first that takes it.
    """
    skipped = {}
    for name, limit in filters.in_use.items():
        failing = alive & _fails(name, limit, pool.scores, lowest[:, None])
        alive = alive & ~failing
        skipped[name] = int(failing.sum())
    return alive, skipped


def _fails(name: str, limit: float, scores: np.ndarray, lowest: np.ndarray) -> BoolArray:
    if name == "absolute_margin":
        return scores + np.float32(limit) > lowest
    if name == "relative_margin":  # a share of the magnitude, so that it lowers negative scores too
        return scores > lowest - np.abs(lowest) * np.float32(limit)
    return scores > np.float32(limit) if name == "max_score" else scores < np.float32(limit)


def select(
    pairs: Pairs, pool: Pool, alive: BoolArray, request: Request, seed: int | None
) -> tuple[IntArray, np.ndarray]:
    """Return each query's negatives and their scores, best first, as in ``Mined``.

    The first ``range_min`` survivors are left out; of the others up to ``range_max``, the first or a lot are taken.
    """
    scores = np.where(alive, pool.scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, request.range_min : request.range_max]
    documents = np.take_along_axis(pool.documents, order, axis=1)
    scores = np.take_along_axis(scores, order, axis=1)
    documents = np.where(np.isneginf(scores), -1, documents)
    if request.random:
        places = _lots(pairs, documents, request.num_negatives, seed)
        documents = np.take_along_axis(documents, places, axis=1)
        scores = np.take_along_axis(scores, places, axis=1)
    return documents[:, : request.num_negatives], scores[:, : request.num_negatives].astype(np.float32)


def settled_seed(seed: int | None) -> int:
    """Return the seed, or one that ``random.seed`` decides, as it decides the installed function's draws."""
    return random.getrandbits(32) if seed is None else seed


def _lots(pairs: Pairs, documents: IntArray, wanted: int, seed: int | None) -> IntArray:
    """Return the places of each query's drawn documents, in their order: int64 (queries, wanted)."""
    from hardneg.transforms.filters.order import selection_score  # it imports Beam

    rows, places = np.nonzero(documents >= 0)
    query_ids = [text_id(text) for text in pairs.queries]
    owners = pa.chunked_array([pa.array([query_ids[row] for row in rows.tolist()], pa.string())])
    found = [text_id(pairs.corpus[document]) for document in documents[rows, places].tolist()]
    candidates = pa.table({"passage_id": pa.array(found, pa.string())})
    lots = np.full(documents.shape, -1.0)
    lots[rows, places] = selection_score(candidates, owners, "random", (), settled_seed(seed))
    return np.sort(np.argsort(-lots, axis=1, kind="stable")[:, :wanted], axis=1)

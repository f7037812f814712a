"""The order in which a query's candidates are tried, how many of them, and which become negatives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.source import Source, first_similarity

Order = Literal["similarity", "fused", "judge", "random"]

_SHARE_TRIED = 8


def selection_score(
    candidates: pa.Table,
    query_ids: pa.ChunkedArray,
    order: Order,
    sources: Sequence[Source],
    seed: int = 0,
    judge_scores: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float64]:
    """Return what a query's candidates are ordered by, highest first: float64 (n,).

    It is a property of the pair alone, never of what else is among the candidates or labelled, so that a known
    positive has its place in the order like any candidate.

    Args:
        candidates: with fused_rank, passage_id and the similarities.
        query_ids: the query id of each candidate.
        order: ``similarity``: by the first dense source, the model to be trained (what it confuses with a
            positive, and other evidence judges not relevant, is the negative worth having); ``fused``: by
            fused rank; ``judge``: by the judge's score; ``random``: by a digest of query, passage and seed.
        sources: the retrievers.
        seed: of ``random``.
        judge_scores: float32 (n,), for ``judge``; NaN stands last.
    """
    if order == "similarity":
        return candidates[first_similarity(sources)].to_numpy().astype(np.float64)
    if order == "judge":
        assert judge_scores is not None
        return np.where(np.isnan(judge_scores), -np.inf, judge_scores).astype(np.float64)
    if order == "random":
        return pair_lots(str(seed), query_ids, candidates["passage_id"]).astype(np.float64)
    return -candidates["fused_rank"].fill_null(np.iinfo(np.int32).max).to_numpy().astype(np.float64)


def pair_lots(seed: str, query_ids: pa.ChunkedArray, passage_ids: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return a number below 2**53 for each pair, by a digest of it and the seed: int64 (n,)."""
    pairs = zip(query_ids.to_pylist(), passage_ids.to_pylist(), strict=True)
    return np.array([_lot(seed, query, passage) for query, passage in pairs], dtype=np.int64)


def _lot(seed: str, query: str, passage: str) -> int:
    """Return a number that float64 holds too; the lengths keep ('a', 'bc') from ('ab', 'c')."""
    data = b"\0".join(text.encode("utf-8") for text in (seed, str(len(query)), query, passage))
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") >> 11


def selection_order(
    query: npt.NDArray[np.int64], eligible: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Return the rows that may be tried, by query, each query's best first.

    Args:
        query: the query of each candidate; rows of one query stand in the order of passage ids, which breaks ties.
        eligible: bool (n,).
        score: ``selection_score``.
    """
    rows = np.flatnonzero(eligible)
    return rows[np.lexsort((rows, -score[rows], query[rows]))]


def next_tries(lacking: npt.NDArray[np.int64], tried: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how many further candidates each query tries: as many as it still lacks, so that few are tried in vain.

    Or an eighth of what it has tried, if that is more: where one candidate in ten passes, rounds of one would never
    end. A function of the query alone, so that what is scored does not depend on its block.

    Args:
        lacking: negatives that each query still needs, shape (queries,).
        tried: its candidates tried so far.
    """
    return np.where(lacking > 0, np.maximum(lacking, tried // _SHARE_TRIED), 0)


def try_lazily(
    query: npt.NDArray[np.int64],
    ordered: npt.NDArray[np.int64],
    negatives: int,
    passes: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]],
) -> None:
    """Try candidates in selection order until every query has its negatives or no candidates are left.

    Args:
        query: query row of each candidate, shape (n,).
        ordered: rows to try, by query, in selection order (``selection_order``).
        negatives: how many a query needs.
        passes: scores some rows, remembers what it found, and returns which are negatives.
    """
    owner = query[ordered]
    place = np.arange(len(ordered)) - np.searchsorted(owner, owner)
    queries = int(query.max(initial=-1)) + 1
    tried, found = np.zeros(queries, dtype=np.int64), np.zeros(queries, dtype=np.int64)
    while True:
        upto = tried + next_tries(negatives - found, tried)
        rows = ordered[(place >= tried[owner]) & (place < upto[owner])]
        if not len(rows):
            return
        np.add.at(found, query[rows[passes(rows)]], 1)
        tried = upto


def select(
    query: npt.NDArray[np.int64], ordered: npt.NDArray[np.int64], passing: npt.NDArray[np.bool_], negatives: int
) -> npt.NDArray[np.int32]:
    """Return each query's first ``negatives`` that pass: int32 (n,), 1 to ``negatives``, 0 where not selected."""
    rows = ordered[passing[ordered]]
    place = np.arange(len(rows)) - np.searchsorted(query[rows], query[rows])
    selected = np.zeros(len(query), dtype=np.int32)
    chosen = place < negatives
    selected[rows[chosen]] = place[chosen] + 1
    return selected

"""The order in which a query's candidates are tried, how many are scored, and which become negatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from hardneg.transforms.fusion import Source
from hardneg.transforms.masking import Reason, Verdict

Order = Literal["similarity", "fused"]


def selection_order(candidates: pa.Table, eligible: np.ndarray, order: Order, sources: Sequence[Source]) -> np.ndarray:
    """Return the rows of the candidates that may be tried, by query, each query's best first.

    Args:
        candidates: sorted by query and passage id.
        eligible: bool, shape (n,): rows without a verdict so far that some retriever found.
        order: ``similarity``: by the first dense source, the model to be trained (what it confuses with a
            positive, and other evidence judges not relevant, is the negative worth having); ``fused``: by
            fused rank. Ties are broken by passage id.
        sources: the retrievers.
    """
    rows = np.flatnonzero(eligible)
    dense = next((source for source in sources if source.kind == "dense"), None)
    if order == "similarity" and dense is not None:
        score = candidates[dense.signal].to_numpy()
    else:
        score = -candidates["fused_rank"].fill_null(np.iinfo(np.int32).max).to_numpy().astype(np.float64)
    query = candidates["query"].to_numpy()
    return rows[np.lexsort((rows, -score[rows], query[rows]))]


def steps(negatives: int) -> Iterator[int]:
    """Yield how many of a query's candidates to have scored after each step: half more each time.

    A fixed schedule, so that what is scored depends on the query alone, not on its block.
    """
    scored = negatives + (negatives + 1) // 2
    while True:
        yield scored
        scored += max(1, scored // 2)


def score_lazily(
    query: np.ndarray,
    ordered: np.ndarray,
    negatives: int | None,
    score: Callable[[np.ndarray], np.ndarray],
    passes: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Score candidates in selection order until every query has its negatives or no candidates are left.

    Args:
        query: query row of each candidate, shape (n,).
        ordered: rows to try, by query, in selection order (``selection_order``).
        negatives: how many a query needs; None: score everything.
        score: logits of some rows.
        passes: which logits are negatives.

    Returns:
        logits, float32, shape (n,), NaN where not scored.
    """
    logits = np.full(len(query), np.nan, dtype=np.float32)
    if negatives is None:
        logits[ordered] = score(ordered)
        return logits
    owner = query[ordered]
    place = np.arange(len(ordered)) - np.searchsorted(owner, owner)
    most = int(place.max()) + 1 if len(place) else 0
    scored, found = 0, np.zeros(int(query.max()) + 1 if len(query) else 0, dtype=np.int64)
    for upto in steps(negatives):
        if scored >= most:
            return logits
        rows = ordered[(place >= scored) & (place < upto) & (found[owner] < negatives)]
        if not len(rows):
            return logits
        logits[rows] = score(rows)
        np.add.at(found, query[rows[passes(logits[rows])]], 1)
        scored = upto
    return logits


def judge_candidates(
    query: np.ndarray,
    ordered: np.ndarray,
    logits: np.ndarray,
    passing: np.ndarray,
    negatives: int,
    verdicts: np.ndarray,
    reasons: np.ndarray,
) -> np.ndarray:
    """Fill in the open verdicts and choose each query's first ``negatives`` that pass.

    Args:
        logits: float32, NaN where not scored.
        passing: bool, shape (n,): scored and below the threshold.
        verdicts: object, shape (n,); changed in place, as are ``reasons``.

    Returns:
        selected, int32, shape (n,): 1 to ``negatives``, 0 where not selected.
    """
    scored = ~np.isnan(logits)
    tried = np.zeros(len(query), dtype=bool)
    tried[ordered] = True
    verdicts[tried & ~scored] = Verdict.UNSCORED
    verdicts[tried & passing] = Verdict.NEGATIVE
    failing = tried & scored & ~passing
    verdicts[failing] = Verdict.SUSPECTED_POSITIVE
    reasons[failing] = Reason.ABOVE_MAX_SIGMOID
    rows = ordered[passing[ordered]]
    place = np.arange(len(rows)) - np.searchsorted(query[rows], query[rows])
    selected = np.zeros(len(query), dtype=np.int32)
    chosen = place < negatives
    selected[rows[chosen]] = place[chosen] + 1
    return selected

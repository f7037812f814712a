"""The four counts that the false-negative rate is estimated from: known positives run through the whole rule.

Counting is exact integer arithmetic, additive over queries and free of order, so it may be done in any
bundles. What the counts say is in ``false_negative_rate.py``; the method is described in
``docs/false_negative_rate.md``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray

Scale = Literal["logit", "standardised", "similarity"]

EDGES = 512
COPIES = 101
SCORE_RANGE: dict[str, tuple[float, float]] = {
    "logit": (-20.0, 20.0),
    "standardised": (-10.0, 10.0),
    "similarity": (-1.0, 1.0),
}

QUERIES_AT_ONCE = 2048  # bounds the dense per-query histograms to some 35 MB
_POISSON_TERMS = 13  # beyond 12 the cumulative distribution of Poisson(1) is 1 in 32 bits
_INT32 = np.iinfo(np.int32)


def edges(scale: Scale = "standardised") -> FloatArray:
    """Return the thresholds that can be chosen: float64 (512,), ascending, fixed before any data is seen.

    Each edge is a float32 value, so that comparing a float32 score column with a threshold gives the same
    answer whether the comparison is made in float32 or in float64.
    """
    low, high = SCORE_RANGE[scale]
    return np.linspace(low, high, EDGES).astype(np.float32).astype(np.float64)


def bins(score: npt.ArrayLike, scale: Scale = "standardised") -> IntArray:
    """Return the number of edges <= score, 0 to 512, in the shape of ``score``.

    A score passes threshold number k, that is ``edges(scale)[k]``, if and only if its bin is <= k. Scores
    outside the scale fall into the first or the last bin.

    Raises:
        ValueError: a score is NaN.
    """
    values = np.asarray(score, dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).sum())} of {values.size} judge scores are NaN")
    return np.searchsorted(edges(scale), values, side="right").astype(np.int64)


def copy_weights(query_ids: Sequence[str], copies: int = COPIES) -> npt.NDArray[np.int32]:
    """Return how often each query stands in each bootstrap copy: int32 (queries, copies).

    Copy 0 is the sample itself, weight 1. The others weigh each query by Poisson(1), the limit of
    resampling with replacement (Oza and Russell 2001), drawn from a digest of (query id, copy): the same
    query has the same weights in every process, bundle and order.
    """
    cumulative = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(_POISSON_TERMS)])
    limits = np.floor(cumulative * 2.0**32).astype(np.uint64)
    stream = b"".join(
        hashlib.shake_128(b"copy weights\0" + name.encode("utf-8")).digest(4 * (copies - 1)) for name in query_ids
    )
    words = np.frombuffer(stream, dtype="<u4").astype(np.uint64).reshape(len(query_ids), copies - 1)
    weights = np.ones((len(query_ids), copies), dtype=np.int32)
    weights[:, 1:] = np.searchsorted(limits, words, side="right")
    return weights


@dataclass(frozen=True, eq=False)
class Counts:
    """The counts of a calibration sample, or of a part of it.

    Attributes:
        A: int32 (copies, 513); candidates by the bin of their score; those that were drawn, by their weight.
        R: int32 (copies, 513); its running sum up to k is the number of mined at threshold k: of each query at most
            N, and as many as pass, those that were drawn by their weight. A draw gives too few on average (the
            smaller of N and a noisy number is on average below the smaller of N and its mean), which is safe.
        C: int32 (copies, 513); known positives by the bin of their score.
        V: int32 (copies, 513); its running sum up to k is the number of known positives that would have
            been mined at threshold k, had they not been known.
        scale: what the scores are; decides the edges.
        negatives: N, the negatives asked of each query.
    """

    A: npt.NDArray[np.int32]
    R: npt.NDArray[np.int32]
    C: npt.NDArray[np.int32]
    V: npt.NDArray[np.int32]
    scale: Scale
    negatives: int


def selection_counts(
    query_ids: Sequence[str],
    query: npt.ArrayLike,
    score: npt.ArrayLike,
    is_positive: npt.ArrayLike,
    negatives: int,
    *,
    scale: Scale = "standardised",
    copies: int = COPIES,
    at_once: int = QUERIES_AT_ONCE,
    in_order: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> Counts:
    """Run every candidate and every known positive of some queries through the selection rule.

    Rows are the candidates left by masks, guards and all other policies, and the known positives that were
    retrieved inside the rank window, each at its own place in the selection order. All rows of a query
    must be in one call.

    Args:
        query_ids: the queries, with or without rows.
        query: int (rows,); index into ``query_ids``, never descending; within a query, rows stand in
            selection order.
        score: float (rows,); judge scores.
        is_positive: bool (rows,); known positives.
        negatives: N, at least 1.
        scale: the scale of the scores.
        copies: the sample and its bootstrap copies.
        at_once: queries whose histograms are in memory together; the counts do not depend on it.
        in_order: bool (rows,); rows of which all that stand before them in the query are here. The others were drawn
            from what lies deeper. Default: all.
        weight: int (rows,); how many candidates a candidate stands for. Default: 1.

    Raises:
        ValueError: arrays of different lengths, rows not sorted by query, a NaN score, N below 1, a positive that is
            not in order.
    """
    of_query, is_pos = np.asarray(query, dtype=np.int64), np.asarray(is_positive, dtype=np.bool_)
    score_bins = bins(score, scale)
    weights_of = np.ones(len(of_query), dtype=np.int64) if weight is None else np.asarray(weight, dtype=np.int64)
    ordered = np.ones(len(of_query), dtype=np.bool_) if in_order is None else np.asarray(in_order, dtype=np.bool_)
    _check_rows(of_query, score_bins, is_pos, len(query_ids), negatives)
    if not ordered.shape == weights_of.shape == of_query.shape or (is_pos & ~ordered).any():
        raise ValueError("in_order and weight must be those of the rows, and known positives must be in order")
    full = np.zeros(len(of_query), dtype=np.int64)  # looked at for known positives alone, which are in order
    full[ordered] = _full_from(of_query[ordered], score_bins[ordered], is_pos[ordered], len(query_ids), negatives)
    totals = np.zeros((4, copies, EDGES + 1), dtype=np.int64)
    for first in range(0, len(query_ids), at_once):
        ids = query_ids[first : first + at_once]
        rows = slice(*np.searchsorted(of_query, [first, first + len(ids)]))
        histograms = _histograms(
            of_query[rows] - first, score_bins[rows], full[rows], is_pos[rows], weights_of[rows], len(ids), negatives
        )
        # A float64 matrix product is exact here (integers far below 2**53), and fast.
        weights = copy_weights(ids, copies).T.astype(np.float64)
        totals += np.stack([np.rint(weights @ each).astype(np.int64) for each in histograms])
    return _narrow(totals, scale, negatives)


def _narrow(totals: IntArray, scale: Scale, negatives: int) -> Counts:
    if totals.max() > _INT32.max or totals.min() < _INT32.min:
        raise ValueError("the calibration sample is too large for 32-bit counts: take fewer queries")
    narrow = totals.astype(np.int32)
    return Counts(narrow[0], narrow[1], narrow[2], narrow[3], scale, negatives)


def _check_rows(query: IntArray, score: IntArray, is_positive: BoolArray, queries: int, negatives: int) -> None:
    if not query.shape == score.shape == is_positive.shape or query.ndim != 1:
        raise ValueError(
            f"query, score and is_positive have shapes {query.shape}, {score.shape} and {is_positive.shape}"
        )
    if (np.diff(query) < 0).any():
        raise ValueError("rows are not sorted by query")
    if len(query) and (query[0] < 0 or query[-1] >= queries):
        raise ValueError(f"query runs from {query[0]} to {query[-1]}, but there are {queries} query ids")
    if negatives < 1:
        raise ValueError(f"{negatives} negatives asked; at least 1")


def _full_from(query: IntArray, score: IntArray, is_positive: BoolArray, queries: int, negatives: int) -> IntArray:
    """Return, per row, the first threshold at which N candidates before it pass; 512 if none.

    That is the bin of the N-th smallest score among the candidates before the row. One step per place in
    the selection order, over all queries at once: each query keeps its N smallest bins so far, so the N-th
    smallest is their maximum.
    """
    starts = np.searchsorted(query, np.arange(queries))
    lengths = np.bincount(query, minlength=queries)
    smallest = np.full((queries, negatives), EDGES, dtype=np.int64)
    full = np.empty(len(query), dtype=np.int64)
    for place in range(int(lengths.max(initial=0))):
        active = np.flatnonzero(lengths > place)
        rows = starts[active] + place
        slot = smallest[active].argmax(axis=1)
        full[rows] = smallest[active, slot]
        enters = ~is_positive[rows] & (score[rows] < full[rows])
        smallest[active[enters], slot[enters]] = score[rows[enters]]
    return full


def _histograms(
    query: IntArray,
    score: IntArray,
    full: IntArray,
    is_positive: BoolArray,
    weight: IntArray,
    queries: int,
    negatives: int,
) -> list[FloatArray]:
    """Return A, R, C, V of each query by itself: four float64 (queries, 513)."""
    width = EDGES + 1

    def by_bin(bin_numbers: IntArray, chosen: BoolArray, each: IntArray | None = None) -> FloatArray:
        cells = query[chosen] * width + bin_numbers[chosen]
        sums = np.bincount(cells, None if each is None else each[chosen], minlength=queries * width)
        return sums.reshape(queries, width).astype(np.float64)

    candidates = by_bin(score, ~is_positive, weight)
    mined = np.diff(np.minimum(np.cumsum(candidates, axis=1), negatives), axis=1, prepend=0.0)
    taken = is_positive & (score < full)  # at the thresholds score <= k < full, and at no other
    leaked = by_bin(score, taken) - by_bin(full, taken)
    return [candidates, mined, by_bin(score, is_positive), leaked]

"""How much lower unlabelled relevant passages score than labelled ones, as far as the labels can tell.

Where each query has one label while broad queries hold many relevant passages, weaker ones, what is labelled
comes from all queries alike and what is unlabelled mostly from the broad ones. Queries with two positives or
more show by how much the scores differ then: all but one of their positives are treated as unlabelled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray, lowest_of

# As for the tail in false_negative_rate.py. Queries and not positives: those of one query resemble each other, and
# one broad query's 20 weak positives would set gamma for all.
MIN_QUERIES = 20


@dataclass(frozen=True)
class GammaEstimate:
    """What queries with two or more retrieved positives say of gamma.

    Attributes:
        gamma: how much denser in score, at most, their unlabelled positives lie than their labelled ones;
            at least 1.
        queries: how many such queries there are.
        positives: their positives.
    """

    gamma: float
    queries: int
    positives: int


def estimate_gamma(score: npt.ArrayLike, query: npt.ArrayLike, is_positive: npt.ArrayLike) -> GammaEstimate | None:
    """Estimate gamma from the queries with two or more retrieved positives; None if fewer than 20 have them.

    Each of a query's m positives is the labelled one in turn, with weight 1/m, and unlabelled with weight
    (m - 1)/m. Let v and u be the shares of the labelled and of the unlabelled that score below a threshold.
    ``extract`` raises v to min(G v, 1 - (1 - v)/G) and lowers its counterpart c = 1 - v to one less that.
    Gamma is the smallest G >= 1 for which the raised v is at least u (and so the lowered c at most 1 - u) at
    every threshold: the largest of u/v, where at least 20 queries have positives below the threshold, and of
    (1 - v)/(1 - u), where at least 20 have positives at or above it (Tan 2006 for the model).

    It is the largest of many noisy ratios, so it errs upwards: in simulations without any difference its
    median was about 1.1 and its upper decile 1.2 to 1.3, at 30 to 400 queries of 2 to 10 positives. It says
    nothing of a labeller who picked the best of each query's relevant passages.

    Args:
        score: float (rows,); the judge's, higher is more relevant. Only those of positives are looked at.
        query: (rows,); any labels of the queries, in any order.
        is_positive: bool (rows,); known positives that were retrieved.

    Raises:
        ValueError: arrays of different lengths, or the score of a positive is NaN.
    """
    scores, group = _of_several_positives(score, query, is_positive)
    size = np.bincount(group)
    if len(size) < MIN_QUERIES:
        return None
    thresholds = np.unique(scores)
    labelled = _labelled_below(scores, size[group], thresholds)
    below = np.searchsorted(np.sort(scores), thresholds)
    v = labelled / len(size)
    u = (below - labelled) / (len(scores) - len(size))

    lowest, highest = lowest_of(scores, group, len(size)), -lowest_of(-scores, group, len(size))
    queries_below = np.searchsorted(np.sort(lowest), thresholds)
    queries_above = len(size) - np.searchsorted(np.sort(highest), thresholds)
    ratios = (
        _ratio(u, v, queries_below >= MIN_QUERIES),
        _ratio(1 - v, 1 - u, queries_above >= MIN_QUERIES),
    )
    return GammaEstimate(float(np.maximum(*ratios).max()), len(size), len(scores))


def _of_several_positives(
    score: npt.ArrayLike, query: npt.ArrayLike, is_positive: npt.ArrayLike
) -> tuple[FloatArray, IntArray]:
    """Return the scores of the positives of queries that have two or more, and their queries from 0."""
    scores, labels = np.asarray(score, dtype=np.float64), np.asarray(query)
    positive = np.asarray(is_positive, dtype=np.bool_)
    if not scores.shape == labels.shape == positive.shape or scores.ndim != 1:
        raise ValueError(
            f"score, query and is_positive have shapes {scores.shape}, {labels.shape} and {positive.shape}; "
            "they must be those of one list of rows"
        )
    scores, labels = scores[positive], labels[positive]
    missing = int(np.isnan(scores).sum())
    if missing:
        raise ValueError(f"{missing} of {len(scores)} scores of positives are NaN")
    _, group, size = np.unique(labels, return_inverse=True, return_counts=True)
    several = size[group] >= 2
    return scores[several], np.unique(group[several], return_inverse=True)[1].astype(np.int64)


def _labelled_below(scores: FloatArray, size: IntArray, thresholds: FloatArray) -> FloatArray:
    """Return the sum of 1/m over the positives below each threshold, m being the size of their query.

    Counted by m and added in ascending m, so that the order of rows does not matter in any bit.
    """
    total = np.zeros(len(thresholds), dtype=np.float64)
    for m in np.unique(size):
        total += np.searchsorted(np.sort(scores[size == m]), thresholds) / m
    return total


def _ratio(numerator: FloatArray, denominator: FloatArray, usable: BoolArray) -> FloatArray:
    """Return the ratios, at least 1; 1 where not usable."""
    ratio = np.divide(numerator, denominator, out=np.ones_like(numerator), where=usable)
    return np.maximum(ratio, 1.0)

"""Which candidates of a sampled query the cross-encoder scores for calibration: the first in order, and a few by lot.

Whether a known positive would be mined depends on what stands before it, so all of that is scored. What lies deeper
tells only how many candidates score how high, which a draw tells too. All of it is a function of the query alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.filters.order import selection_order

DEPTH = 4  # candidates in selection order, in negatives asked for
DRAWN = 2  # candidates drawn from the rest, in the same unit


@dataclass(frozen=True, eq=False)
class SampleRows:
    """What is scored of a calibration sample. Arrays have one entry a row.

    Attributes:
        in_order: bool; candidates that are scored with all that stand before them in selection order, and the known
            positives that count.
        weight: int64; how many candidates a scored one stands for: 1 in order, more if it was drawn; 0: not scored.
            A query's weights sum to its number of candidates.
    """

    in_order: BoolArray
    weight: IntArray


def units_taken(query: IntArray, weight: IntArray, negatives: int) -> IntArray:
    """Return how many of a query's first N candidates each row stands for, shape (rows,).

    Args:
        query: int (rows,); never descending; within a query, rows that pass, in selection order.
        weight: int (rows,); how many candidates each stands for.
        negatives: N.
    """
    sums = np.concatenate([[0], np.cumsum(weight)])
    return np.clip(negatives - (sums[:-1] - sums[np.searchsorted(query, query)]), 0, weight)


def pairs_per_query(negatives: int) -> int:
    """Return about how many candidates of a query are scored, where it has more and its positives stand early."""
    return (DEPTH + DRAWN) * negatives


def all_rows(candidate: BoolArray, countable: BoolArray) -> SampleRows:
    """Return a sample of which all is scored, as where the judge's score is the selection order."""
    return SampleRows(candidate | countable, candidate.astype(np.int64))


def sample_rows(
    query: IntArray,
    candidate: BoolArray,
    countable: BoolArray,
    order: npt.NDArray[np.float64],
    lots: npt.NDArray[np.int64],
    negatives: int,
) -> SampleRows:
    """Choose what to score of each query of a calibration sample.

    The first ``DEPTH`` times N candidates in selection order, further ones down to the deepest known positive that
    counts (whether it would be mined depends on all that stand before it), and ``DRAWN`` times N of the rest, those
    of the smallest lots. Where no more are left than would be drawn, all are scored.

    Args:
        query: int (rows,); the query of each row.
        candidate: bool (rows,); what may become a negative.
        countable: bool (rows,); the known positives that count.
        order: float64 (rows,); the selection score.
        lots: int (rows,); a number for each pair that has nothing to do with its scores.
        negatives: N.
    """
    queries = int(query.max(initial=-1)) + 1
    ordered = selection_order(query, candidate | countable, order)
    owner, is_candidate = query[ordered], candidate[ordered]
    starts = np.searchsorted(owner, np.arange(queries))
    before = np.concatenate([[0], np.cumsum(is_candidate)])
    rank = before[1:] - before[starts[owner]]  # among the query's candidates
    deepest = np.full(queries, -1, dtype=np.int64)
    np.maximum.at(deepest, owner[countable[ordered]], np.flatnonzero(countable[ordered]))
    first = ~is_candidate | (rank <= DEPTH * negatives) | (np.arange(len(ordered)) < deepest[owner])

    rest = ordered[~first]
    rest = rest[np.lexsort((rest, lots[rest], query[rest]))]
    left = np.bincount(query[rest], minlength=queries)
    place = np.arange(len(rest)) - np.searchsorted(query[rest], query[rest])
    is_drawn = place < DRAWN * negatives
    drawn, place, left_of = rest[is_drawn], place[is_drawn], left[query[rest[is_drawn]]]
    taken = np.minimum(left_of, DRAWN * negatives)

    in_order = np.zeros(len(query), dtype=np.bool_)
    in_order[ordered[first]] = True
    weight = (in_order & candidate).astype(np.int64)
    # Whole numbers that sum to what is left, so that counts stay whole: the first of the draw take the remainder.
    weight[drawn] = left_of // taken + (place < left_of % taken)
    in_order[drawn[left_of == taken]] = True
    return SampleRows(in_order, weight)

"""The threshold where no false-negative rate can be supported: the stricter of two weak witnesses.

A leak rate alone says nothing of how many of the mined are relevant; a share estimated from few known positives may
be far off. Each errs where the other holds, so that both together do better than either. It is an estimate without a
bound: nothing is promised. Tried in ``docs/false_negative_rate.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from hardneg.transforms.core.arrays import FloatArray, IntArray
from hardneg.transforms.judge.counts import SCORE_RANGE, Scale, edges
from hardneg.transforms.judge.sample_rows import units_taken

FALLBACK_LEAK_RATE = 0.1
FALLBACK_LOCAL_RATE = 0.04  # expected; of a few dozen positives, so that the mean true rate stays at 0.05
FALLBACK_YIELD = 0.1  # at least about this share of what is asked is mined, whatever the two say

_GRID = 4096
_SILVERMAN = 1.06
_PRIOR_POSITIVES = 3  # the candidates' spread counts as that of so many known positives
_TAIL_SHARE = 0.25
_TAIL_POSITIVES = 3
_NOWHERE = 1e-9  # a share of all candidates as small as this is none


@dataclass(frozen=True, eq=False)
class ScoredCandidates:
    """The scored candidates of a calibration sample, by query, in selection order.

    Attributes:
        query: int (rows,); never descending.
        score: float (rows,); the judge's.
        weight: int (rows,); how many candidates each stands for.
    """

    query: IntArray
    score: FloatArray
    weight: IntArray

    def mined(self, threshold: float, negatives: int) -> tuple[IntArray, IntArray]:
        """Return rows that would be mined at a threshold, and how many candidates each stands for among them."""
        rows = np.flatnonzero(self.score < threshold)
        return rows, units_taken(self.query[rows], self.weight[rows], negatives)


@dataclass(frozen=True)
class Fallback:
    """The threshold that stands in for one that can be promised.

    Attributes:
        threshold: a score passes if it is below.
        decided: which of the three thresholds it is.
        leak_threshold: that of a leak rate of ``FALLBACK_LEAK_RATE``; the lowest known positive, where there are
            too few for it.
        local_threshold: the laxest at which ``FALLBACK_LOCAL_RATE`` of the mined are expected to be relevant; None:
            no threshold.
        floor_threshold: the strictest that mines ``FALLBACK_YIELD`` of what is asked; None: none does.
        expected_rate: the share of relevant passages expected among the mined at the threshold; no bound.
        relevant_share: of the candidates, estimated.
        positives: known positives that it rests on.
    """

    threshold: float
    decided: Literal["leak rate", "local rate", "yield"]
    leak_threshold: float
    local_threshold: float | None
    floor_threshold: float | None
    expected_rate: float
    relevant_share: float
    positives: int

    @property
    def sentence(self) -> str:
        """What was done instead, and what it is not."""
        said = {
            "leak rate": f"the threshold of a leak rate of {FALLBACK_LEAK_RATE:g}",
            "local rate": f"the threshold at which {FALLBACK_LOCAL_RATE:.0%} of the mined should be relevant",
            "yield": f"the strictest threshold that mines {FALLBACK_YIELD:.0%} of what is asked",
        }[self.decided]
        return (
            f"{said} is used instead ({self.expected_rate:.1%} of the mined are expected to be relevant), by "
            f"{self.positives} known positives: a guess, not a bound"
        )


def fall_back(
    positives: npt.ArrayLike,
    candidates: ScoredCandidates,
    queries: int,
    negatives: int,
    scale: Scale,
    published: FloatArray | None = None,
) -> Fallback:
    """Return the threshold to use where no false-negative rate can be supported.

    The stricter of a leak rate and of a local false-discovery rate, but never one that mines next to nothing: a
    first try must show something to look at.

    Args:
        positives: float (n,); judge scores of the known positives, one at least.
        candidates: the scored ones.
        queries: of the sample.
        negatives: N.
        scale: of the scores.
        published: float (rows,); what the judge that will mine gives the candidates, where the scores are cross-fitted:
            with few positives the two differ, and it must be that one which mines something. Default: the scores.
    """
    scores = np.sort(np.asarray(positives, dtype=np.float64))
    relevance = local_relevance(scores, candidates, scale)
    rate_of = relevance.at(candidates.score)
    place = max(int(FALLBACK_LEAK_RATE * (len(scores) + 1) + 1e-9), 1)
    leak, local, floor = float(scores[place - 1]), None, None
    mining = candidates if published is None else replace(candidates, score=published)
    for threshold in edges(scale):
        rows, taken = candidates.mined(threshold, negatives)
        if len(rows) and (rate_of[rows] * taken).sum() <= FALLBACK_LOCAL_RATE * taken.sum():
            local = float(threshold)
        if floor is None and mining.mined(threshold, negatives)[1].sum() >= max(
            FALLBACK_YIELD * negatives * queries, 1
        ):
            floor = float(threshold)
    stricter = -np.inf if local is None else min(leak, local)
    decided: Literal["leak rate", "local rate", "yield"] = "leak rate" if stricter == leak else "local rate"
    if floor is not None and stricter < floor:
        stricter, decided = floor, "yield"
    if stricter == -np.inf:
        stricter, decided = leak, "leak rate"
    rows, taken = candidates.mined(stricter, negatives)
    expected = float((rate_of[rows] * taken).sum() / max(int(taken.sum()), 1))
    return Fallback(stricter, decided, leak, local, floor, expected, relevance.share, len(scores))


@dataclass(frozen=True, eq=False)
class LocalRelevance:
    """How likely a candidate of some score is to be relevant.

    Attributes:
        grid: float64; scores.
        rate: float64; never falling.
        share: of relevant passages among all candidates.
    """

    grid: FloatArray
    rate: FloatArray
    share: float

    def at(self, score: npt.ArrayLike) -> FloatArray:
        return np.interp(np.asarray(score, dtype=np.float64), self.grid, self.rate)


def local_relevance(positives: FloatArray, candidates: ScoredCandidates, scale: Scale) -> LocalRelevance:
    """Estimate, at each score, the share of relevant passages among the candidates there.

    A local false-discovery rate the other way round (Efron, Tibshirani, Storey and Tusher 2001): share x density of
    the known positives / density of the candidates. Both densities are kernel estimates with the same Gaussian
    kernel, so that their ratio stays that of a mixture; its width is Silverman's for the known positives, whose
    spread is drawn towards that of the candidates where they are few. One known positive more, which lies anywhere
    among the candidates, is added: with few of them, a place where none was seen is not safe.

    Args:
        positives: float64 (n,); sorted.
        candidates: the scored ones.
        scale: of the scores.
    """
    low, high = SCORE_RANGE[scale]
    grid = np.linspace(low, high, _GRID)
    n = len(positives)
    share = _relevant_share(positives, candidates)
    spread = _spread(positives, candidates)
    width = max(_SILVERMAN * spread * n**-0.2, 2 * (grid[1] - grid[0]))
    of_positives = _density(positives, np.ones(n), width, grid)
    of_all = _density(candidates.score, candidates.weight.astype(np.float64), width, grid)
    ratio = np.divide(of_positives, of_all, out=np.zeros(_GRID), where=of_all > _NOWHERE)
    rate = np.minimum(share * (n * ratio + 1) / (n + 1), 1.0)
    rate[(of_all <= _NOWHERE) & (grid > np.median(positives))] = 1.0
    return LocalRelevance(grid, np.maximum.accumulate(rate), share)


def _relevant_share(positives: FloatArray, candidates: ScoredCandidates) -> float:
    """Return the share of relevant passages: the smallest tail ratio at a positive with enough others above it."""
    n = len(positives)
    order = np.argsort(candidates.score, kind="stable")
    sums = np.concatenate([[0], np.cumsum(candidates.weight[order])])
    total = int(sums[-1])
    if not total:
        return 1.0
    above = n - np.arange(n)
    candidates_above = total - sums[np.searchsorted(candidates.score[order], positives)]
    ratios = (1 + candidates_above) / total / (above / n)
    enough = above >= min(n, max(_TAIL_POSITIVES, _TAIL_SHARE * n))
    return float(min(1.0, ratios[enough].min()))


def _spread(positives: FloatArray, candidates: ScoredCandidates) -> float:
    """Return the known positives' deviation, drawn towards that of the candidates."""
    weight, score = candidates.weight, candidates.score
    total = max(int(weight.sum()), 1)
    mean = (score * weight).sum() / total
    prior = ((score - mean) ** 2 * weight).sum() / total
    own = ((positives - positives.mean()) ** 2).sum()
    return float(np.sqrt((own + _PRIOR_POSITIVES * prior) / (len(positives) - 1 + _PRIOR_POSITIVES)))


def _density(values: FloatArray, weight: FloatArray, width: float, grid: FloatArray) -> FloatArray:
    """Return a Gaussian kernel estimate on the grid, as a share a cell."""
    step = grid[1] - grid[0]
    cells = np.clip(np.rint((values - grid[0]) / step).astype(np.int64), 0, len(grid) - 1)
    held = np.bincount(cells, weight, minlength=len(grid)) / max(float(weight.sum()), 1.0)
    reach = min(int(np.ceil(5 * width / step)), len(grid) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    return np.convolve(held, kernel / kernel.sum())[reach : reach + len(grid)]

"""From counts to a threshold: the estimated false-negative rate at each threshold, its bound, the choice.

The false-negative rate of what is mined is (relevant among the mined) / (mined). Not the leak rate, which
is the share of relevant passages that pass the threshold. The method, its assumptions and what breaks it
are in ``docs/false_negative_rate.md``; there is no finite-sample theorem for the full rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hardneg.errors import OptionError
from hardneg.transforms.core.arrays import BoolArray, FloatArray
from hardneg.transforms.judge.counts import Counts, edges

DEFAULT_GAMMA = 1.25
MIN_POSITIVES = 20  # in the tail that tells how many relevant candidates there are
_TAIL_SHARE = 0.1
_UNUSABLE_COPIES = 0.05
_CONFIDENCE = 0.95
_NORMAL_QUANTILE = 1.645  # of the same one-sided confidence
_GAMMA_LIMIT = 100
_LARGEST_SAMPLE = 1e7  # positives; more than this is "no number would do"


@dataclass(frozen=True, eq=False)
class Estimate:
    """What the counts say at each threshold. Arrays are float64 (512,), one entry an edge.

    Attributes:
        counts: what was counted.
        gamma: how much denser in score, at most, unlabelled relevant passages may lie than labelled ones.
        edges: the thresholds.
        positives: n, the known positives counted.
        v: probability that a relevant candidate is mined, (leaked + 1) / (n + 1), raised by gamma.
        c: share of relevant passages that score at or above the threshold, lowered by gamma.
        M: relevant passages among the candidates, estimated from the purest tail.
        f: relevant passages among the mined, M v.
        mined: passages mined in the sample.
        leaked: known positives that would have been mined.
        se: standard deviation of log(M v / mined) over the bootstrap copies; NaN where too many of them
            are unusable.
        up: upper bound of ``f``; infinite where ``se`` is NaN.
        in_tail: bool; whether enough positives score at or above the threshold to estimate M there.
    """

    counts: Counts = field(repr=False)
    gamma: float
    edges: FloatArray
    positives: int
    v: FloatArray
    c: FloatArray
    M: float
    f: FloatArray
    mined: FloatArray
    leaked: FloatArray
    se: FloatArray
    up: FloatArray
    in_tail: BoolArray


@dataclass(frozen=True)
class Choice:
    """The most permissive threshold that meets a target, or why there is none.

    Attributes:
        status: ``estimated`` or ``unsupported``.
        reason: one sentence to be printed with the status.
        target: the false-negative rate asked for.
        gamma: the allowance under which ``upper_bound`` holds.
        index: number of the edge chosen; None if unsupported.
        threshold: that edge: a score passes if it is below; None if unsupported.
        mined: passages mined in the calibration sample at the threshold.
        expected_rate: the point estimate at gamma = 1: no allowance, no margin for chance.
        upper_bound: the bound on the false-negative rate at ``gamma``; at most ``target``.
        leak_rate: share of the known positives that pass the threshold.
        largest_gamma: the largest gamma, up to 100, at which the target still holds at this threshold.
        positives: known positives counted.
        positives_needed: at least about how many would support the target, all else being as in this
            sample; None if it is supported or no number would do.
    """

    status: Literal["estimated", "unsupported"]
    reason: str
    target: float
    gamma: float
    index: int | None
    threshold: float | None
    mined: int
    expected_rate: float | None
    upper_bound: float | None
    leak_rate: float | None
    largest_gamma: float | None
    positives: int
    positives_needed: int | None


def extract(counts: Counts, gamma: float = DEFAULT_GAMMA) -> Estimate:
    """Estimate, at every threshold, how many of the mined are relevant, and bound it.

    The tail ratio M is the class-prior estimate of positive-unlabelled learning (Elkan and Noto 2008;
    Storey 2002 for the same ratio in p-values); the allowance gamma bounds a density ratio of mean 1, in
    the manner of sensitivity models for selection (Tan 2006); the upper bound is that of a Poisson
    bootstrap over queries, but never tighter than the exact Poisson bound (Garwood 1936) on the positives
    seen to leak: a bootstrap is blind where nothing was seen.

    Args:
        counts: of the whole calibration sample.
        gamma: at least 1.

    Raises:
        OptionError: gamma below 1.
    """
    if not gamma >= 1:
        raise OptionError(f"gamma is {gamma}; it is a ratio of at least 1")
    mined, leaked = _below(counts.R), _below(counts.V)
    n = _total(counts.C)
    v = _raised((leaked + 1) / (n + 1), gamma)
    above = n - _below(counts.C)
    c = _lowered(above / np.maximum(n, 1), gamma)
    in_tail = above >= np.maximum(MIN_POSITIVES, _TAIL_SHARE * n)
    relevant = _relevant(counts, c, in_tail)

    se = _log_deviation((relevant * v)[1:], mined[1:])
    u = leaked[0] + 1
    poisson = _poisson_factor(u)
    f = relevant[0] * v[0]
    up = np.where(np.isnan(se), np.inf, f * np.fmax(np.exp(_NORMAL_QUANTILE * se), poisson))
    return Estimate(
        counts=counts,
        gamma=float(gamma),
        edges=edges(counts.scale),
        positives=int(n[0, 0]),
        v=v[0],
        c=c[0],
        M=float(relevant[0, 0]),
        f=f,
        mined=mined[0],
        leaked=leaked[0],
        se=se,
        up=up,
        in_tail=in_tail[0],
    )


def choose(estimate: Estimate, target: float) -> Choice:
    """Choose the most permissive threshold whose upper bound meets a false-negative rate.

    The laxest threshold whose own bound holds, whatever the bounds of stricter ones say. Where the judge ranks
    as it should, a laxer threshold only replaces negatives by ones that stand earlier and score higher, so the
    true rate rises with the threshold: what holds at a laxer one holds at each stricter one too, and a bound
    that fails there fails by chance. A walk from the strict end would end at one known positive that leaks early.

    Args:
        estimate: of the calibration sample.
        target: q, between 0 and 1.

    Raises:
        OptionError: target out of range.
    """
    if not 0 < target < 1:
        raise OptionError(f"the target false-negative rate is {target}; it must lie between 0 and 1")
    if not estimate.in_tail.any():
        return _unsupported(
            estimate,
            target,
            f"{estimate.positives} known positives were retrieved, and at least {MIN_POSITIVES} are needed",
            MIN_POSITIVES,
        )
    holds = _holds(estimate, target)
    if not holds.any():
        needed = _positives_needed(estimate, target)
        advice = (
            "no number of positives would do with this judge"
            if needed is None
            else f"at least about {needed} would be needed"
        )
        reason = (
            f"no threshold keeps the bound at {target:g} with {estimate.positives} known positives "
            f"at gamma {estimate.gamma:g}; {advice}"
        )
        return _unsupported(estimate, target, reason, needed)
    return _estimated(estimate, target, int(np.flatnonzero(holds)[-1]))


def _below(per_bin: np.ndarray) -> FloatArray:
    """Return the sums below each edge: (copies, 512) of (copies, 513)."""
    return np.cumsum(per_bin, axis=1, dtype=np.int64)[:, :-1].astype(np.float64)


def _total(per_bin: np.ndarray) -> FloatArray:
    return per_bin.sum(axis=1, dtype=np.int64, keepdims=True).astype(np.float64)


def _raised(share: FloatArray, gamma: float) -> FloatArray:
    """Return the largest share a set can have once densities change by at most gamma, mean 1."""
    return np.minimum(gamma * share, 1 - (1 - share) / gamma)


def _lowered(share: FloatArray, gamma: float) -> FloatArray:
    """Return the smallest such share."""
    return np.maximum(share / gamma, 1 - gamma * (1 - share))


def _relevant(counts: Counts, c: FloatArray, in_tail: BoolArray) -> FloatArray:
    """Return M of each copy, (copies, 1): the smallest tail ratio, at most all candidates."""
    candidates = _total(counts.A)
    above = candidates - _below(counts.A)
    ratio = np.divide(1 + above, c, out=np.full_like(c, np.inf), where=in_tail)
    return np.minimum(ratio.min(axis=1, keepdims=True), candidates)


def _log_deviation(relevant_mined: FloatArray, mined: FloatArray) -> FloatArray:
    """Return the deviation over copies of log(relevant mined / mined); NaN where too many have none."""
    usable = (mined > 0) & (relevant_mined > 0)
    ratio = np.divide(relevant_mined, mined, out=np.ones_like(mined), where=usable)
    logs = np.where(usable, np.log(ratio), 0.0)
    copies = usable.sum(axis=0)
    mean = logs.sum(axis=0) / np.maximum(copies, 1)
    squares = (np.where(usable, logs - mean, 0.0) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / np.maximum(copies - 1, 1))
    enough = (len(mined) - copies <= _UNUSABLE_COPIES * len(mined)) & (copies >= 2)
    return np.where(enough, deviation, np.nan)


def _holds(estimate: Estimate, target: float) -> BoolArray:
    return (estimate.mined > 0) & (estimate.up <= target * estimate.mined)


def _estimated(estimate: Estimate, target: float, index: int) -> Choice:
    mined = estimate.mined[index]
    expected = float(extract(estimate.counts, 1.0).f[index] / mined)
    bound = float(estimate.up[index] / mined)
    largest = _largest_gamma(estimate, target, index)
    passing = float(_below(estimate.counts.C)[0, index])
    return Choice(
        status="estimated",
        reason=(
            f"estimated at gamma {estimate.gamma:g} from {estimate.positives} known positives: at most "
            f"{bound:.2%} of the mined are relevant ({expected:.2%} expected at gamma 1; the target "
            f"{target:g} holds up to gamma {largest:.2f})"
        ),
        target=target,
        gamma=estimate.gamma,
        index=index,
        threshold=float(estimate.edges[index]),
        mined=int(mined),
        expected_rate=expected,
        upper_bound=bound,
        leak_rate=passing / estimate.positives,
        largest_gamma=largest,
        positives=estimate.positives,
        positives_needed=None,
    )


def _unsupported(estimate: Estimate, target: float, reason: str, needed: int | None) -> Choice:
    return Choice(
        status="unsupported",
        reason=reason,
        target=target,
        gamma=estimate.gamma,
        index=None,
        threshold=None,
        mined=0,
        expected_rate=None,
        upper_bound=None,
        leak_rate=None,
        largest_gamma=None,
        positives=estimate.positives,
        positives_needed=needed,
    )


def _largest_gamma(estimate: Estimate, target: float, index: int) -> float:
    """Return the largest gamma at which the target holds at one threshold, rounded down to 0.01, at most 100.

    Where so few candidates score like positives that the target holds even if all of them were mined, and
    no positive scores below them, no gamma breaks it: hence the limit.
    """

    def holds(hundredths: int) -> bool:
        return bool(_holds(extract(estimate.counts, hundredths / 100), target)[index])

    low = math.floor(estimate.gamma * 100)
    high = _GAMMA_LIMIT * 100
    if holds(high):
        return float(_GAMMA_LIMIT)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low / 100


def _poisson_factor(u: FloatArray) -> FloatArray:
    """Return the upper bound on a Poisson rate of which u - 1 events were seen, as a multiple of u."""
    from scipy.stats import chi2  # here: it takes a second, and most commands draw no bound

    return np.asarray(chi2.ppf(_CONFIDENCE, 2 * u) / (2 * u))


def _positives_needed(estimate: Estimate, target: float) -> int | None:
    """Return about how many positives could support the target at some threshold; None if no number would.

    All shares (relevant among the candidates, mined, leaked) are taken to stay what they are, and the
    bootstrap's deviation to shrink with the root of the number. With no leak seen this is
    n = 3 gamma**2 M / (q mined), where 3 is the Poisson bound on what was not seen. More positives may
    show leaks that these did not, so it is a lower limit.
    """
    able = (estimate.mined > 0) & ~np.isnan(estimate.se)
    share, se = estimate.leaked[able] / estimate.positives, estimate.se[able]
    density = estimate.M / estimate.mined[able]

    def meets(size: FloatArray) -> BoolArray:
        u = share * size + 1
        v = _raised(u / (size + 1), estimate.gamma)
        bootstrap = np.exp(_NORMAL_QUANTILE * se * np.sqrt(estimate.positives / size))
        return density * v * np.fmax(bootstrap, _poisson_factor(u)) <= target

    low = np.full(len(share), float(estimate.positives))
    high = np.full(len(share), _LARGEST_SAMPLE)
    reachable = meets(high)
    if not reachable.any():
        return None
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        met = meets(middle)
        low, high = np.where(met, low, middle), np.where(met, middle, high)
    return int(high[reachable].min())

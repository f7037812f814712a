"""What a finished run would keep at other targets and thresholds: `hardneg report`.

Counted on the run's calibration sample, as far as it is scored in selection order. Nothing here runs a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from hardneg.errors import HardnegError
from hardneg.transforms.core.arrays import BoolArray, sigmoid
from hardneg.transforms.core.source import LOGIT, Source
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.filters.threshold import passes, sigmoid_passes
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, JudgeName, Target
from hardneg.transforms.judge.calibration import calibrate
from hardneg.transforms.judge.counts import edges
from hardneg.transforms.judge.false_negative_rate import MIN_POSITIVES, extract
from hardneg.transforms.judge.judge import single_signal_judge
from hardneg.transforms.judge.sample import SampleScores
from hardneg.transforms.reports.sample_view import Kept, RunSample, SampleView, keep, view_sample

OutcomeKind = Literal["false_negative_rate", "leak_rate", "sigmoid"]
ESTIMATED, UNSUPPORTED = "estimated", "unsupported"


@dataclass(frozen=True)
class AskedThresholds:
    """What to try: false-negative rates, leak rates, sigmoid thresholds; gamma as in ``Target``."""

    targets: Sequence[float]
    leak_rates: Sequence[float]
    sigmoids: Sequence[float]
    gamma: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What one target or threshold would keep. The rates are None unless the status is ``estimated``.

    Attributes:
        kind: what was asked for.
        value: the rate or sigmoid asked for.
        status: of the false-negative rate: ``estimated`` or ``unsupported``.
        reason: one sentence, to be printed with the status.
        scale: of the threshold: the judge's, or ``sigmoid``.
        threshold: a candidate passes if it is below; None where none could be chosen.
        kept: what is mined at the threshold; None without one, or where nothing is scored.
        expected_rate: the false-negative rate by the point estimate at gamma = 1.
        upper_bound: its bound at ``gamma``.
        gamma: the allowance used; None where nothing could be estimated.
        largest_gamma: up to which a target holds; None where no target was asked for.
        leak_rate: share of the known positives that pass the threshold.
    """

    kind: OutcomeKind
    value: float
    status: str
    reason: str
    scale: str | None = None
    threshold: float | None = None
    kept: Kept | None = None
    expected_rate: float | None = None
    upper_bound: float | None = None
    gamma: float | None = None
    largest_gamma: float | None = None
    leak_rate: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"kept": self.kept.to_json() if self.kept else None}


def outcomes(
    sample: RunSample, sources: Sequence[Source], policy: Policy, denoising: CalibratedJudge, asked: AskedThresholds
) -> list[Outcome]:
    """Return what each target and threshold would keep of a sample.

    Args:
        sample: the run's, completely scored or not.
        sources: the retrievers.
        policy: the run's, ``Policy.without_thresholds``, as the sample was taken with.
        denoising: the run's judge: thresholds for targets are of the judge of its name, fitted on the sample, as
            ``mine --from`` would; where the sample is not completely scored, of this judge itself.
        asked: what to try.
    """
    judge = view_sample(sample, sources, policy, denoising.judge_name, denoising.judge, asked.gamma)
    found = [_of_target(judge, policy, denoising.judge_name, target, asked.gamma) for target in asked.targets]
    found += [_of_leak_rate(judge, policy, denoising.judge_name, alpha) for alpha in asked.leak_rates]
    if asked.sigmoids:
        logit = view_sample(sample, sources, policy, "cross-encoder", single_signal_judge(LOGIT, "logit"), asked.gamma)
        found += [_of_sigmoid(logit, policy, threshold) for threshold in asked.sigmoids]
    return found


def _passing_share(scored: SampleScores, passing: BoolArray) -> float | None:
    return float(passing[scored.countable].mean()) if scored.countable.any() else None


@dataclass(frozen=True)
class Rates:
    """False-negative rate at a threshold: the point estimate at gamma = 1, its bound; both None with a reason why."""

    expected: float | None
    bound: float | None
    reason: str


def rates_at(scored: SampleScores, threshold: float, negatives: int, gamma: float) -> Rates:
    """Estimate the false-negative rate at a threshold that was not chosen for it.

    The estimator knows the scale's edges alone, so scores are moved by the distance of the threshold to the nearest
    one: counts are exact at the threshold itself.

    Args:
        scored: the sample.
        threshold: any number on the judge's scale.
        negatives: N.
        gamma: at least 1.
    """
    places = edges(scored.judge.scale)
    index = int(np.abs(places - threshold).argmin())
    scores = scored.scores.astype(np.float64)
    if places[index] != threshold:
        scores = places[index] + (scores - threshold)
    counts = scored.counts(negatives, scores)
    allowed = extract(counts, gamma)
    mined = allowed.mined[index]
    if not allowed.in_tail.any():
        return Rates(
            None, None, f"{allowed.positives} known positives were retrieved, and at least {MIN_POSITIVES} are needed"
        )
    if not mined:
        return Rates(None, None, "nothing is mined at this threshold")
    if not np.isfinite(allowed.up[index]):
        return Rates(None, None, "too little is mined at this threshold to bound the rate")
    expected = min(1.0, float(extract(counts, 1.0).f[index] / mined))
    bound = min(1.0, float(allowed.up[index] / mined))
    reason = (
        f"estimated at gamma {gamma:g} from {allowed.positives} known positives: at most {bound:.2%} of the mined are "
        f"relevant ({expected:.2%} expected at gamma 1)"
    )
    return Rates(expected, bound, reason)


def _incomplete(seen: SampleView) -> str:
    missing = np.isnan(seen.scored.logits) & (seen.scored.weight > 0)
    return f"{int(missing.sum()):,} pairs of the calibration sample are not scored"


def _of_target(seen: SampleView, policy: Policy, name: JudgeName, target: float, gamma: float | None) -> Outcome:
    kind: OutcomeKind = "false_negative_rate"
    if not seen.complete:
        return Outcome(kind, target, UNSUPPORTED, f"{_incomplete(seen)}, so no threshold can be chosen")
    scored = seen.scored
    try:
        chosen = calibrate(scored, policy, Target(name, false_negative_rate=target, gamma=gamma))
    except HardnegError as error:  # too few positives, and nothing to fall back on
        return Outcome(kind, target, UNSUPPORTED, str(error), gamma=seen.gamma)
    if chosen.threshold is None:
        assert chosen.max_sigmoid is not None
        scale, threshold = "sigmoid", chosen.max_sigmoid
        passing = sigmoid_passes(seen.scored.logits, threshold)
    else:
        scale, threshold = scored.judge.scale, chosen.threshold
        passing = passes(scored.scores, threshold)
    return Outcome(
        kind,
        target,
        chosen.status or UNSUPPORTED,
        chosen.reason,
        scale,
        threshold,
        keep(seen, passing, policy.negatives),
        chosen.choice["expected_rate"],
        chosen.choice["upper_bound"],
        chosen.choice["gamma"],
        chosen.choice["largest_gamma"],
        _passing_share(scored, passing),
    )


def _of_leak_rate(seen: SampleView, policy: Policy, name: JudgeName, alpha: float) -> Outcome:
    try:
        chosen = calibrate(seen.scored, policy, Target(name, leak_rate=alpha))
    except HardnegError as error:  # too few positives for this rate
        return Outcome("leak_rate", alpha, UNSUPPORTED, str(error), gamma=seen.gamma)
    assert chosen.threshold is not None
    passing = passes(seen.scored.scores, chosen.threshold)
    found = _with_rates(Outcome("leak_rate", alpha, UNSUPPORTED, ""), seen, policy, chosen.threshold, passing)
    return replace(found, scale=seen.scored.judge.scale, threshold=chosen.threshold)


def _of_sigmoid(seen: SampleView, policy: Policy, value: float) -> Outcome:
    below = sigmoid(seen.scored.logits) < np.float32(value)
    known = ~np.isnan(seen.scored.scores)
    above = seen.scored.scores[known & ~below]
    # The lowest logit that does not pass: the same cut as the sigmoid's, rounding and all.
    highest = float(seen.scored.scores[known].max(initial=-np.inf))
    threshold = float(above.min()) if len(above) else highest + 0.01
    found = _with_rates(Outcome("sigmoid", value, UNSUPPORTED, ""), seen, policy, threshold, below)
    return replace(found, scale="sigmoid", threshold=value)


def _with_rates(outcome: Outcome, seen: SampleView, policy: Policy, threshold: float, passing: BoolArray) -> Outcome:
    """Return what a threshold that is given keeps, with the estimate at that threshold."""
    scored = seen.scored
    rates = Rates(None, None, f"{_incomplete(seen)}: the figures are of those that are")
    if seen.gamma is not None:
        rates = rates_at(scored, threshold, policy.negatives, seen.gamma)
    return replace(
        outcome,
        status=UNSUPPORTED if rates.bound is None else ESTIMATED,
        reason=rates.reason,
        kept=keep(seen, passing, policy.negatives),
        expected_rate=rates.expected,
        upper_bound=rates.bound,
        gamma=seen.gamma,
        leak_rate=_passing_share(scored, passing),
    )

"""From a scored calibration sample to a judge with its threshold, and what stands in where none can be promised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.errors import InputError, RunError, parameter
from hardneg.transforms.core.arrays import lowest_of
from hardneg.transforms.filters.order import selection_order
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.filters.threshold import passes, sigmoid_passes
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, Target, conditions_of, model_identity
from hardneg.transforms.judge.fallback import Fallback, ScoredCandidates, fall_back
from hardneg.transforms.judge.false_negative_rate import DEFAULT_GAMMA, Choice, choose, extract
from hardneg.transforms.judge.gamma import estimate_gamma
from hardneg.transforms.judge.leak_rate import leak_rate_threshold
from hardneg.transforms.judge.sample import SAMPLE, SampleScores, score_sample, signals_of

CROSS_ENCODER = "cross_encoder"  # its name among the models
_SEEN = "this judge has seen {:,} further known positives in its training, and they do not count"


def make_judge(
    rows: Sequence[pa.Table],
    queries: Sequence[pa.Table],
    missing: int,
    sources: Sequence[Any],
    policy: Policy,
    target: Target,
    k: int,
    models: dict[str, str],
    seen: int = 0,
) -> CalibratedJudge:
    """Calibrate on the parts of a sample; ``seen``: known positives left out because the judge learned from them.

    Raises:
        RunError: pairs of the sample are not scored and could not be.
    """
    if missing:
        raise RunError(
            f"{missing:,} pairs of the calibration sample are not scored in this run: add "
            f"{parameter('score_missing')} to score them now."
        )
    ids = [each for table in queries for each in table["query_id"].to_pylist()]
    schema = pa.schema([*SAMPLE, *((name, pa.float32()) for name in signals_of(sources))])
    table = pa.concat_tables([schema.empty_table(), *rows])
    scored = score_sample(table, ids, sources, policy, target.judge)
    made = calibrate(scored, policy, target)
    if seen:
        made = replace(
            made,
            reason=made.reason and f"{made.reason}; {_SEEN.format(seen)}",
            sample={**made.sample, "positives_seen_in_training": seen},
        )
    if not (made.needs_logit or policy.needs_logit):
        models = {name: description for name, description in models.items() if name != CROSS_ENCODER}
    return replace(
        made,
        conditions=conditions_of(policy, target, sources, k),
        models={name: model_identity(json.loads(description)) for name, description in sorted(models.items())},
    )


def check_judge(judge: str, conditions: dict[str, Any], name: str, models: list[tuple[str, str]]) -> str:
    """Pass a judge on that was given, if it was made for this selection and these models."""
    described = {source: model_identity(json.loads(description)) for source, description in models}
    CalibratedJudge.from_json(judge, name).check(conditions, described, name)
    return judge


FALLBACK_POSITIVES = 1  # the fewest that a threshold can be had from


FALLBACK_MAX_SIGMOID = 0.1  # RocketQA (Qu et al. 2021)


_QUANTILES = 101


def calibrate(scored: SampleScores, policy: Policy, target: Target) -> CalibratedJudge:
    """Choose the threshold for a target.

    Where a false-negative rate cannot be supported, the threshold of ``fallback.fall_back`` stands in, or, without
    any known positive, a sigmoid of ``FALLBACK_MAX_SIGMOID``.

    Args:
        scored: the sample.
        policy: what is demanded of a negative.
        target: what is asked of the judge.

    Raises:
        InputError: too few positives for the leak rate asked, or for a judge that has no sigmoid to fall back on.
    """
    positives = scored.scores[scored.countable]
    status, reason = None, ""
    choice: dict[str, Any] = {}
    leak: dict[str, Any] = {}
    fallback: dict[str, Any] = {}
    thresholds: list[float] = []
    max_sigmoid = None
    if target.leak_rate is not None:
        leak = _leak(positives, target.leak_rate)
        status = "estimated"
        reason = (
            f"at most {target.leak_rate:.1%} of relevant passages pass, on average over draws of the "
            f"{len(positives):,} known positives, if unlabelled relevant passages score as labelled ones do"
        )
    if target.false_negative_rate is not None:
        chosen = _choose(scored, policy, target)
        choice = asdict(chosen)
        status, reason = chosen.status, chosen.reason
        if chosen.threshold is not None:
            thresholds.append(chosen.threshold)
        elif not leak and len(positives) >= FALLBACK_POSITIVES:
            instead = _fall_back(scored, policy)
            fallback = asdict(instead)
            thresholds.append(instead.threshold)
            reason += f"; {instead.sentence}"
        elif not leak:
            max_sigmoid = FALLBACK_MAX_SIGMOID
            reason += (
                f"; nothing says how a relevant passage scores, so the cross-encoder's sigmoid below "
                f"{FALLBACK_MAX_SIGMOID:g} is used instead, which lets through more or fewer with each model: see that "
                f"queries and positives belong together, or retrieve more with {parameter('k')}"
            )
            _check_sigmoid_can_be_had(target, len(positives))
    if leak:
        thresholds.append(leak["threshold"])
    threshold = min(thresholds) if thresholds else None
    return CalibratedJudge(
        judge_name=target.judge,
        judge=scored.judge,
        threshold=threshold,
        max_sigmoid=max_sigmoid,
        status=status,
        reason=reason,
        choice=choice,
        leak=leak,
        fallback=fallback,
        positive_median=_median(scored.published[scored.positive]),
        gap_quantiles=_gap_quantiles(scored),
        sample=_describe(scored),
        figures=_figures(scored, policy.negatives, threshold, max_sigmoid) if status else {},
    )


def _fall_back(scored: SampleScores, policy: Policy) -> Fallback:
    rows = selection_order(scored.query, scored.scored_candidate, scored.order)
    candidates = ScoredCandidates(scored.query[rows], scored.scores[rows].astype(np.float64), scored.weight[rows])
    positives = scored.scores[scored.countable]
    published = scored.published[rows].astype(np.float64)
    return fall_back(positives, candidates, len(scored.query_ids), policy.negatives, scored.judge.scale, published)


def _choose(scored: SampleScores, policy: Policy, target: Target) -> Choice:
    assert target.false_negative_rate is not None
    counts = scored.counts(policy.negatives)
    gamma = target.gamma or estimated_gamma(scored)
    chosen = choose(extract(counts, gamma), target.false_negative_rate)
    if policy.of_labels:
        reason = (
            f"{' and '.join(policy.of_labels)} drops candidates by what is labelled, so labelled positives say "
            "nothing about unlabelled ones under it"
        )
        nothing = dict.fromkeys(("index", "threshold", "expected_rate", "upper_bound", "leak_rate", "largest_gamma"))
        return Choice(**{**asdict(chosen), **nothing, "mined": 0, "status": "unsupported", "reason": reason,
                         "positives_needed": None})  # fmt: skip
    return chosen


def estimated_gamma(scored: SampleScores) -> float:
    """Return the allowance to make unless another was asked for: what the sample shows, at least the default."""
    rows = scored.countable
    seen = estimate_gamma(scored.scores[rows], scored.query[rows], np.ones(int(rows.sum()), dtype=np.bool_))
    return max(DEFAULT_GAMMA, seen.gamma if seen else 1.0)


def _check_sigmoid_can_be_had(target: Target, positives: int) -> None:
    if target.judge == "bi-encoder":
        raise InputError(
            f"{positives} known positives were retrieved in the calibration sample, too few to calibrate the judge "
            f"bi-encoder by, and it has no sigmoid to fall back on: give more "
            f"positives, or {parameter('judge')} cross-encoder."
        )


def _leak(positives: npt.NDArray[np.float32], alpha: float) -> dict[str, Any]:
    return {
        "alpha": alpha,
        "threshold": leak_rate_threshold(positives, alpha),
        "positives": len(positives),
    }


def _median(scores: npt.NDArray[np.float32]) -> float | None:
    scores = scores[~np.isnan(scores)]
    return float(np.median(scores.astype(np.float64))) if len(scores) else None


def _gap_quantiles(scored: SampleScores) -> tuple[float, ...]:
    positive = scored.positive
    lowest = lowest_of(scored.similarity[positive], scored.query[positive], len(scored.query_ids))
    gaps = (lowest[scored.query] - scored.similarity)[scored.candidate]
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return ()
    return tuple(float(gap) for gap in np.quantile(gaps, np.linspace(0, 1, _QUANTILES)))


def _describe(scored: SampleScores) -> dict[str, Any]:
    return {
        "queries": len(scored.query_ids),
        "digest": hashlib.blake2b("\n".join(scored.query_ids).encode("utf-8"), digest_size=16).hexdigest(),
        "candidates": int(scored.candidate.sum()),
        "candidates_scored": int(scored.scored_candidate.sum()),
        "positives": int(scored.positive.sum()),
        "positives_counted": int(scored.countable.sum()),
    }


def _figures(
    scored: SampleScores, negatives: int, threshold: float | None, max_sigmoid: float | None
) -> dict[str, Any]:
    """Return yield, candidates tried a query, hardness and leak rate of the sample at a threshold."""
    passing = np.ones(len(scored.query), dtype=np.bool_)
    if threshold is not None:
        passing &= passes(scored.scores, threshold)
    if max_sigmoid is not None:
        passing &= sigmoid_passes(scored.logits, max_sigmoid)
    rows, taken = scored.mined(passing, negatives)
    mined = int(taken.sum())
    return {
        "mined": mined,
        "tried": scored.tried(passing, negatives),
        "yield": mined / max(negatives * len(scored.query_ids), 1),
        "hardness": float((scored.similarity[rows] * taken).sum() / mined) if mined else None,
        "leak_rate": float(passing[scored.countable].mean()) if scored.countable.any() else None,
    }

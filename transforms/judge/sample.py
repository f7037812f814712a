"""A calibration sample: scored, counted, and the threshold that a target needs.

Constants and weights are fitted in float64 on the sample's rows brought together, sorted by query and passage id:
fitted in parts they would depend on how the queries were cut into blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.errors import HardnegError
from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray, sigmoid
from hardneg.transforms.core.source import Source, first_similarity
from hardneg.transforms.filters.order import select, selection_order
from hardneg.transforms.filters.screen import Policy, failing
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, JudgeName, Target
from hardneg.transforms.judge.counts import SCORE_RANGE, Counts, count
from hardneg.transforms.judge.false_negative_rate import DEFAULT_GAMMA, Choice, choose, extract
from hardneg.transforms.judge.gamma import estimate_gamma
from hardneg.transforms.judge.judge import Judge, apply_judge, cross_fit, fit_judge, single_signal_judge
from hardneg.transforms.judge.leak_rate import leak_rate_threshold

FALLBACK_LEAK_RATE = 0.05
FALLBACK_POSITIVES = 19  # the fewest that a leak rate of 0.05 can be had from
FALLBACK_MAX_SIGMOID = 0.1  # RocketQA (Qu et al. 2021)
_QUANTILES = 101

# A calibration sample: what was retrieved in the rank window, and all known positives. Then, per signal, a
# float32 column of its name.
SAMPLE = pa.schema(
    [
        ("query_id", pa.string()),
        ("passage_id", pa.string()),
        ("order", pa.float64()),  # the selection score; of no use where the order is the judge's own
        ("in_window", pa.bool_()),
        ("is_positive", pa.bool_()),  # known
        ("countable", pa.bool_()),  # of those, the ones that stand for unlabelled ones
        ("is_candidate", pa.bool_()),  # left by masks, guards and policies
    ]
)


def signals_of(sources: Sequence[Source]) -> list[str]:
    """Return the names of all signals of a pair."""
    return ["logit", *(source.signal for source in sources if source.signal)]


def judge_signals(name: JudgeName, sources: Sequence[Source]) -> list[str]:
    """Return the signals that a judge is made of."""
    if name == "combined":
        return signals_of(sources)
    return ["logit"] if name == "cross-encoder" else [first_similarity(sources)]


@dataclass(frozen=True, eq=False)
class SampleScores:
    """A calibration sample with scores of which none comes from a judge that was fitted on its own query.

    Rows stand by query id, then passage id. Arrays have one entry a row.
    """

    query_ids: list[str]
    query: IntArray
    scores: npt.NDArray[np.float32]
    judge: Judge
    published: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    similarity: FloatArray
    order: FloatArray
    candidate: BoolArray
    positive: BoolArray
    countable: BoolArray

    @property
    def entering(self) -> IntArray:
        """Rows that enter the counts, in selection order."""
        return selection_order(self.query, self.candidate | self.countable, self.order)

    def counts(self, negatives: int) -> Counts:
        """Run every candidate and known positive through the whole rule."""
        rows = self.entering
        return count(
            self.query_ids,
            self.query[rows],
            self.scores[rows],
            self.countable[rows],
            negatives,
            scale=self.judge.scale,
        )


def score_sample(
    sample: pa.Table, query_ids: Sequence[str], sources: Sequence[Source], policy: Policy, name: JudgeName
) -> SampleScores:
    """Fit a judge on a sample and score the sample by cross-fitting.

    Args:
        sample: of the SAMPLE schema and one column a signal, in any order; logits may be null where neither the
            judge nor a policy needs them.
        query_ids: all queries of the sample, those without rows too.
        sources: the retrievers.
        policy: what is demanded of a negative.
        name: the judge.
    """
    table = sample.sort_by([("query_id", "ascending"), ("passage_id", "ascending")]).combine_chunks()
    ids = sorted(query_ids)
    place = {identifier: row for row, identifier in enumerate(ids)}
    query = np.array([place[identifier] for identifier in table["query_id"].to_pylist()], dtype=np.int64)
    window, positive, countable, candidate = (
        table[column].to_numpy().copy() for column in ("in_window", "is_positive", "countable", "is_candidate")
    )
    signals = {column: table[column].to_numpy().astype(np.float64) for column in judge_signals(name, sources)}
    scored = table["logit"].is_valid().to_numpy()
    logits = table["logit"].fill_null(np.nan).to_numpy().astype(np.float32)
    if policy.needs_logit and scored.all():
        fixed = [reason is not None for reason in failing(logits, query, np.full(len(ids), np.inf), policy)]
        candidate &= ~np.array(fixed, dtype=np.bool_)
        countable &= ~np.array(fixed, dtype=np.bool_)
    if name == "combined":
        masks = {"is_candidate": candidate, "in_window": window}
        judge = fit_judge(signals, query, countable, **masks)
        scores = cross_fit(signals, ids, query, countable, **masks)
    else:
        (signal,) = signals
        judge = single_signal_judge(signal, "logit" if name == "cross-encoder" else "similarity")
        scores = _clipped(signals[signal], judge)
    published = apply_judge(judge, signals, query, in_window=window) if name == "combined" else scores
    order = scores.astype(np.float64) if policy.order == "judge" else table["order"].to_numpy()
    similarity = table[first_similarity(sources)].to_numpy().astype(np.float64)
    return SampleScores(ids, query, scores, judge, published, logits, similarity, order, candidate, positive, countable)


def _clipped(values: FloatArray, judge: Judge) -> npt.NDArray[np.float32]:
    """Return a single signal's scores; NaN stays, where nothing asked for the signal."""
    low, high = SCORE_RANGE[judge.scale]
    return np.clip(values, low, high).astype(np.float32)


def calibrate(scored: SampleScores, policy: Policy, target: Target) -> CalibratedJudge:
    """Choose the threshold for a target.

    Where a false-negative rate cannot be supported, a leak rate of ``FALLBACK_LEAK_RATE`` stands in, or, with fewer
    than ``FALLBACK_POSITIVES`` known positives, a sigmoid of ``FALLBACK_MAX_SIGMOID``.

    Args:
        scored: the sample.
        policy: what is demanded of a negative.
        target: what is asked of the judge.

    Raises:
        HardnegError: too few positives for the leak rate asked, or for a judge that has no sigmoid to fall back on.
    """
    positives = scored.scores[scored.countable]
    status, reason = None, ""
    choice: dict[str, Any] = {}
    leak: dict[str, Any] = {}
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
            leak = _leak(positives, FALLBACK_LEAK_RATE)
            reason += f"; a leak rate of {FALLBACK_LEAK_RATE:g} is used instead"
        elif not leak:
            max_sigmoid = FALLBACK_MAX_SIGMOID
            reason += f"; the cross-encoder's sigmoid below {FALLBACK_MAX_SIGMOID:g} is used instead"
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
        positive_median=_median(scored.published[scored.positive]),
        gap_quantiles=_gap_quantiles(scored),
        sample=_describe(scored),
        figures=_figures(scored, policy.negatives, threshold, max_sigmoid) if status else {},
    )


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
        raise HardnegError(
            f"{positives} known positives were retrieved in the calibration sample, too few to calibrate the judge "
            f"bi-encoder by (at least {FALLBACK_POSITIVES}), and it has no sigmoid to fall back on: give more "
            "positives, or --judge cross-encoder."
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
    lowest = np.full(len(scored.query_ids), np.inf)
    rows = np.flatnonzero(scored.positive)
    np.minimum.at(lowest, scored.query[rows], scored.similarity[rows])
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
        "positives": int(scored.positive.sum()),
        "positives_counted": int(scored.countable.sum()),
    }


def _figures(
    scored: SampleScores, negatives: int, threshold: float | None, max_sigmoid: float | None
) -> dict[str, Any]:
    """Return yield, hardness and leak rate of the sample at a threshold."""
    passing = np.ones(len(scored.query), dtype=np.bool_)
    if threshold is not None:
        passing &= scored.scores < threshold
    if max_sigmoid is not None:
        passing &= sigmoid(scored.logits) < np.float32(max_sigmoid)
    ordered = selection_order(scored.query, scored.candidate, scored.order)
    mined = select(scored.query, ordered, passing, negatives) > 0
    return {
        "mined": int(mined.sum()),
        "yield": float(mined.sum() / (negatives * len(scored.query_ids))),
        "hardness": float(scored.similarity[mined].mean()) if mined.any() else None,
        "leak_rate": float(passing[scored.countable].mean()) if scored.countable.any() else None,
    }

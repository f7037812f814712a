"""The block loop: score lazily, judge, select, and hand over what is to be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray
from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.core.source import Source, first_similarity
from hardneg.transforms.filters.order import select, selection_order, selection_score, try_lazily
from hardneg.transforms.filters.policy import Policy, Rules
from hardneg.transforms.filters.screen import Screened, below_lowest_positive, failing, screen
from hardneg.transforms.filters.verdicts import Reason, Verdict
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, difficulty
from hardneg.transforms.judge.judge import cheap_scores, complete_scores
from hardneg.transforms.mining.pair_scores import PairScores, Score, pair_scores


@dataclass
class Judged:
    """A block after judging. Arrays have one entry a candidate.

    Attributes:
        screened: verdicts and reasons, none of them open.
        logits: float32, NaN where not scored.
        scores: float32; the judge's, NaN where it lacks a signal.
        difficulty: float64; NaN but for negatives of queries with a positive.
        selected: int32; 1 to N, 0 where not mined.
        weak: bool; known positives that score like negatives.
        missing: pairs that would have had to be scored, and could not.
        cut: pairs that were scored now, and cut to the maximum length.
    """

    screened: Screened
    logits: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    difficulty: npt.NDArray[np.float64]
    selected: npt.NDArray[np.int32]
    weak: BoolArray
    missing: int
    cut: int


def judge_block(
    block: Block,
    rules: Rules,
    calibrated: CalibratedJudge,
    texts_of: TextsOf,
    score: Score | None,
    in_sample: BoolArray | None = None,
) -> Judged:
    """Judge a block's candidates and choose its negatives.

    Args:
        block: merged candidates, sorted by query and passage id.
        rules: retrievers, policy, evaluation sets.
        calibrated: the judge and its threshold.
        texts_of: passage strings by (segment, row).
        score: (query texts, passage strings) to (logits, cut to the maximum length).
        in_sample: bool (queries,); queries of the calibration sample, all of whose candidates are scored.
    """
    policy = effective(rules.policy, calibrated)
    screened = screen(block.queries, block.candidates, rules, texts_of)
    pairs = pair_scores(block, texts_of, score)
    judging = _Judging(screened, pairs, rules.sources, policy, calibrated)
    sampled = np.zeros(len(block.queries), dtype=np.bool_) if in_sample is None else in_sample
    judging.score_first(sampled)
    ids = block.queries["query_id"].combine_chunks().take(block.candidates["query"].combine_chunks())
    by = selection_score(block.candidates, ids, policy.order, rules.sources, policy.seed, judging.scores)
    ordered = selection_order(screened.query, screened.open & screened.in_window, by)
    if policy.score_all or not judging.costs:
        judging.try_rows(ordered)
    else:
        judging.try_rows(ordered[sampled[screened.query[ordered]]])
        try_lazily(screened.query, ordered, policy.negatives, judging.try_rows)
    judging.decide(ordered)
    return Judged(
        screened=screened,
        logits=pairs.logits,
        scores=judging.scores,
        difficulty=judging.difficulty(),
        selected=select(screened.query, ordered, judging.passing, policy.negatives),
        weak=judging.weak_positives(),
        missing=pairs.missing,
        cut=pairs.cut,
    )


def effective(policy: Policy, calibrated: CalibratedJudge) -> Policy:
    """Return the policy with the sigmoid threshold that calibration fell back on, if it did."""
    if calibrated.max_sigmoid is None:
        return policy
    own = 1.0 if policy.max_sigmoid is None else policy.max_sigmoid
    return replace(policy, max_sigmoid=min(own, calibrated.max_sigmoid))


class _Judging:
    """Scores and verdicts of one block's candidates, as they come to be known."""

    def __init__(
        self,
        screened: Screened,
        pairs: PairScores,
        sources: Sequence[Source],
        policy: Policy,
        calibrated: CalibratedJudge,
    ) -> None:
        self._standing, self._pairs, self._policy, self._calibrated = screened, pairs, policy, calibrated
        self._judge = calibrated.judge
        self._similarity = pairs.candidates[first_similarity(sources)].to_numpy().astype(np.float64)
        self._signals = {name: pairs.candidates[name].to_numpy() for name in self._judge.signals if name != "logit"}
        self._cheap = cheap_scores(self._judge, self._signals, screened.query, in_window=screened.in_window)
        rows = len(screened.query)
        self.costs = calibrated.needs_logit or policy.needs_logit  # whether trying a candidate takes the cross-encoder
        self.scores = np.full(rows, np.nan, dtype=np.float32)
        self.passing = np.zeros(rows, dtype=np.bool_)
        self._tried = np.zeros(rows, dtype=np.bool_)
        self._reasons = np.full(rows, None, dtype=object)
        self._limits = np.full(0, np.inf)

    def score_first(self, sampled: BoolArray) -> None:
        """Score what must be known before candidates are tried: positives, the sample, all for the judge's order."""
        screened = self._standing
        rows = screened.positive | sampled[screened.query] & screened.in_window
        if self._policy.score_all:
            rows |= screened.retrieved
        if self._policy.order == "judge":
            rows |= screened.open & screened.in_window
        self._score(np.flatnonzero(rows))
        self._limits = below_lowest_positive(self._pairs.logits, screened, absolute=self._policy.absolute_margin or 0.0)

    def _score(self, rows: IntArray) -> None:
        if self.costs:
            self._pairs.ask(rows)
        if "logit" in self._judge.signals:
            rows = rows[~np.isnan(self._pairs.logits[rows])]
        signals = {name: values[rows] for name, values in {**self._signals, "logit": self._pairs.logits}.items()}
        self.scores[rows] = complete_scores(self._judge, self._cheap[rows], signals)

    def try_rows(self, rows: IntArray) -> BoolArray:
        """Score some candidates and return which may be negatives."""
        self._score(rows)
        reasons = self._failing(rows, self._policy, self._limits)
        unknown = np.isnan(self._pairs.logits[rows]) if self.costs else np.zeros(len(rows), dtype=np.bool_)
        self._tried[rows] = ~unknown
        self._reasons[rows] = reasons
        self.passing[rows] = [reason is None for reason in reasons]
        # What is missing is taken to pass, so that no more is counted as missing than surely is.
        return self.passing[rows] | unknown

    def _failing(self, rows: IntArray, policy: Policy, limits: FloatArray) -> npt.NDArray[np.object_]:
        reasons = np.full(len(rows), None, dtype=object)
        if policy.needs_logit:
            reasons[:] = failing(self._pairs.logits[rows], self._standing.query[rows], limits, policy)
        if self._calibrated.threshold is not None:
            above = ~(self.scores[rows].astype(np.float64) < self._calibrated.threshold)
            reasons[above] = Reason.ABOVE_THRESHOLD
        return reasons

    def decide(self, ordered: IntArray) -> None:
        """Give every open candidate its verdict."""
        screened = self._standing
        open_, tried = np.zeros(len(self._tried), dtype=np.bool_), self._tried
        open_[ordered] = True
        screened.verdicts[open_ & ~tried] = Verdict.UNSCORED
        screened.verdicts[open_ & tried & self.passing] = Verdict.NEGATIVE
        failed = open_ & tried & ~self.passing
        suspected = failed & self._like_positives()
        screened.verdicts[failed] = Verdict.DROPPED
        screened.verdicts[suspected] = Verdict.SUSPECTED_POSITIVE
        screened.reasons[failed] = self._reasons[failed]

    def _like_positives(self) -> BoolArray:
        """Return which rows score at least like the lowest positive of their query, or the median of all positives."""
        limit = below_lowest_positive(self.scores, self._standing)
        if self._calibrated.positive_median is not None:
            limit = np.minimum(limit, self._calibrated.positive_median)
        return self.scores.astype(np.float64) >= limit[self._standing.query]  # NaN is not

    def difficulty(self) -> FloatArray:
        """Return how hard each negative is, by how near its query's lowest positive it lies."""
        screened = self._standing
        gaps = below_lowest_positive(self._similarity, screened)[screened.query] - self._similarity
        negative = np.array([verdict == Verdict.NEGATIVE for verdict in screened.verdicts], dtype=np.bool_)
        return np.where(negative, difficulty(gaps, self._calibrated.gap_quantiles), np.nan)

    def weak_positives(self) -> BoolArray:
        """Return which known positives would pass for negatives; margins to positives have no say in it."""
        policy = replace(self._policy, absolute_margin=None, min_sigmoid=None)
        weak = self._standing.positive & ~np.isnan(self.scores)
        if self._calibrated.threshold is None and not policy.needs_logit:
            return np.zeros(len(weak), dtype=np.bool_)
        rows = np.flatnonzero(weak)
        weak[rows] = [reason is None for reason in self._failing(rows, policy, self._limits)]
        return weak

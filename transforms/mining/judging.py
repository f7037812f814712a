"""The block loop: screen, score lazily, judge, select."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray
from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.core.source import LOGIT, first_similarity
from hardneg.transforms.filters.decisions import Decisions
from hardneg.transforms.filters.filter import Candidates, Filter
from hardneg.transforms.filters.margins import below_lowest_positive
from hardneg.transforms.filters.order import select, selection_order, selection_score, try_lazily
from hardneg.transforms.filters.policy import Policy, Rules
from hardneg.transforms.filters.screening import Screened, candidates_for
from hardneg.transforms.filters.threshold import passes
from hardneg.transforms.filters.verdicts import Reason, Verdict
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, difficulty
from hardneg.transforms.judge.judge import cheap_scores, complete_scores
from hardneg.transforms.mining.pair_scores import PairScores, Score
from hardneg.transforms.mining.sampling import rows_to_score
from hardneg.transforms.mining.screen_once import screen_rest


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
        pairs: with how many of them were scored, cut, missing.
    """

    screened: Screened
    logits: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    difficulty: npt.NDArray[np.float64]
    selected: npt.NDArray[np.int32]
    weak: BoolArray
    pairs: PairScores


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
        in_sample: bool (queries,); queries of the calibration sample, whose ``rows_to_score`` are scored.
    """
    policy = rules.policy if calibrated.max_sigmoid is None else rules.policy.at_most(calibrated.max_sigmoid)
    screened = screen_rest(block, rules, texts_of)
    pairs = PairScores.of(block, texts_of, score)
    seen = candidates_for(screened, block.queries, block.candidates, rules, texts_of)
    judging = _Judging(screened, pairs, seen, calibrated, policy)
    sampled = np.zeros(len(screened.query), dtype=np.bool_)
    if in_sample is not None and in_sample.any() and judging.costs:
        sampled = in_sample[screened.query] & (rows_to_score(block, screened, rules).weight > 0)
    judging.score_first(sampled)
    ids = block.queries["query_id"].combine_chunks().take(block.candidates["query"].combine_chunks())
    by = selection_score(block.candidates, ids, policy.order, rules.sources, policy.seed, judging.scores)
    ordered = selection_order(screened.query, screened.eligible, by)
    if policy.score_all or not judging.costs:
        judging.try_rows(ordered)
    else:
        judging.try_rows(ordered[sampled[ordered]])
        try_lazily(screened.query, ordered, policy.negatives, judging.try_rows)
    judging.decide(ordered)
    return Judged(
        screened=screened,
        logits=pairs.logits,
        scores=judging.scores,
        difficulty=judging.difficulty(),
        selected=select(screened.query, ordered, judging.passing, policy.negatives),
        weak=judging.weak_positives(),
        pairs=pairs,
    )


class _Judging:
    """Scores and verdicts of one block's candidates, as they come to be known."""

    def __init__(
        self, screened: Screened, pairs: PairScores, seen: Candidates, calibrated: CalibratedJudge, policy: Policy
    ) -> None:
        self._screened, self._pairs, self._seen = screened, pairs, seen
        self._calibrated, self._policy = calibrated, policy
        judge, table = calibrated.judge, pairs.candidates
        self._similarity = table[first_similarity(seen.sources)].to_numpy().astype(np.float64)
        self._signals = {name: table[name].to_numpy() for name in judge.signals if name != LOGIT}
        self._cheap = cheap_scores(judge, self._signals, screened.query, in_window=screened.in_window)
        rows = len(screened.query)
        self.costs = calibrated.needs_logit or policy.needs_logit  # whether trying a candidate takes the cross-encoder
        self.scores = np.full(rows, np.nan, dtype=np.float32)
        self.passing = np.zeros(rows, dtype=np.bool_)
        self._tried = np.zeros(rows, dtype=np.bool_)
        self._failed = Decisions.nothing(rows)  # its reasons alone

    def score_first(self, sampled: BoolArray) -> None:
        """Score what must be known before candidates are tried: positives, the sample, all for the judge's order."""
        screened = self._screened
        rows = screened.positive | sampled
        if self._policy.score_all:
            rows |= screened.retrieved
        if self._policy.order == "judge":
            rows |= screened.eligible
        self._score(np.flatnonzero(rows))

    def _score(self, rows: IntArray) -> None:
        judge = self._calibrated.judge
        if self.costs:
            self._pairs.ask(rows)
        logits = self._pairs.logits
        if LOGIT in judge.signals:
            rows = rows[~np.isnan(logits[rows])]
        signals = {name: values[rows] for name, values in {**self._signals, LOGIT: logits}.items()}
        self.scores[rows] = complete_scores(judge, self._cheap[rows], signals)

    def try_rows(self, rows: IntArray) -> BoolArray:
        """Score some candidates and return which may be negatives."""
        self._score(rows)
        failed = self._failing(rows, self._policy.thresholds)
        unknown = np.isnan(self._pairs.logits[rows]) if self.costs else np.zeros(len(rows), dtype=np.bool_)
        self._tried[rows] = ~unknown
        self._failed.put(rows, failed)
        self.passing[rows] = failed.open
        # What is missing is taken to pass, so that no more is counted as missing than surely is.
        return self.passing[rows] | unknown

    def _failing(self, rows: IntArray, thresholds: Sequence[Filter]) -> Decisions:
        """Return why some rows are no negatives, by their scores; what may be one is open."""
        failed = Decisions.nothing(len(rows))
        if self._calibrated.threshold is not None:
            above = ~passes(self.scores[rows], self._calibrated.threshold)
            failed.decide(above, Verdict.DROPPED, Reason.ABOVE_THRESHOLD)
        if thresholds:
            self._seen.logits = self._pairs.logits
            self._seen.asked = np.zeros(len(self.scores), dtype=np.bool_)
            self._seen.asked[rows] = True
        for each in thresholds:
            failed.decide(failed.open & each.applies(self._seen)[rows], Verdict.DROPPED, each.reason)
        return failed

    def decide(self, ordered: IntArray) -> None:
        """Give every open candidate its verdict."""
        decisions = self._screened.decisions
        open_ = np.zeros(len(self._tried), dtype=np.bool_)
        open_[ordered] = True
        decisions.decide(open_ & ~self._tried, Verdict.UNSCORED)
        decisions.decide(open_ & self._tried & self.passing, Verdict.NEGATIVE)
        failed = np.flatnonzero(open_ & self._tried & ~self.passing)
        decisions.put(failed, self._failed.taken(failed))
        suspected = failed[self._like_positives()[failed]]
        decisions.change(suspected, Verdict.SUSPECTED_POSITIVE)

    def _like_positives(self) -> BoolArray:
        """Return which rows score at least like the lowest positive of their query, or the median of all positives."""
        screened = self._screened
        limit = below_lowest_positive(self.scores, screened.query, screened.positive)
        if self._calibrated.positive_median is not None:
            limit = np.minimum(limit, self._calibrated.positive_median)
        return ~np.isnan(self.scores) & ~passes(self.scores, limit[screened.query])

    def difficulty(self) -> FloatArray:
        """Return how hard each negative is, by how near its query's lowest positive it lies."""
        screened = self._screened
        lowest = below_lowest_positive(self._similarity, screened.query, screened.positive)
        gaps = lowest[screened.query] - self._similarity
        negative = screened.decisions.are(Verdict.NEGATIVE)
        return np.where(negative, difficulty(gaps, self._calibrated.gap_quantiles), np.nan)

    def weak_positives(self) -> BoolArray:
        """Return which known positives would pass for negatives.

        Margins to positives have no say in it, nor what only takes out easy negatives.
        """
        deciding = [each for each in self._policy.thresholds if each.instead_of_target and not each.of_labels]
        weak = self._screened.positive & ~np.isnan(self.scores)
        if self._calibrated.threshold is None and not deciding:
            return np.zeros(len(weak), dtype=np.bool_)
        rows = np.flatnonzero(weak)
        weak[rows] = self._failing(rows, deciding).open
        return weak

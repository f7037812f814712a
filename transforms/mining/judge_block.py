"""The block loop: score lazily, judge, select, and hand over what is to be written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray
from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.core.source import Source, first_similarity
from hardneg.transforms.filters.order import select, selection_order, selection_score, try_lazily
from hardneg.transforms.filters.screen import Policy, Standing, below_lowest_positive, failing, stand
from hardneg.transforms.filters.verdicts import Reason, Verdict
from hardneg.transforms.inputs.evaluation_sets import NOTHING_HELD_OUT, Holdout
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, difficulty
from hardneg.transforms.judge.judge import cheap_scores, complete_scores

Score = Callable[[Sequence[str], Sequence[str]], tuple[np.ndarray, np.ndarray]]


@dataclass
class PairScores:
    """The cross-encoder's logits of a block's pairs, computed when first asked for.

    Attributes:
        candidates: the block's; a column ``logit`` has what was scored before (null elsewhere).
        query_texts: object (queries,).
        texts_of: passage strings by (segment, row).
        score: (query texts, passage strings) to (logits, cut to the maximum length); None: nothing can be scored,
            and what would have to be is counted as missing.
    """

    candidates: pa.Table
    query_texts: npt.NDArray[np.object_]
    texts_of: TextsOf
    score: Score | None
    known: npt.NDArray[np.float32] = field(init=False)
    logits: npt.NDArray[np.float32] = field(init=False)
    missing: int = 0
    cut: int = 0

    def __post_init__(self) -> None:
        self.known = np.full(len(self.candidates), np.nan, dtype=np.float32)
        if "logit" in self.candidates.column_names:
            self.known = self.candidates["logit"].fill_null(np.nan).to_numpy().astype(np.float32)
        self.logits = np.full(len(self.candidates), np.nan, dtype=np.float32)

    def ask(self, rows: IntArray) -> None:
        """Fill in the logits of some rows."""
        rows = rows[np.isnan(self.logits[rows])]
        new = rows[np.isnan(self.known[rows])]
        if len(new) and self.score is None:
            self.missing += len(new)
        elif len(new) and self.score is not None:
            query, segments, places = (self.candidates[name].to_numpy()[new] for name in ("query", "segment", "row"))
            texts = self.texts_of(segments, places)
            self.known[new], cut_pairs = self.score(self.query_texts[query].tolist(), texts)
            self.cut += int(cut_pairs.sum())
        self.logits[rows] = self.known[rows]


def pair_scores(block: Block, texts_of: TextsOf, score: Score | None) -> PairScores:
    """Return a block's pairs, none of them asked for yet."""
    return PairScores(block.candidates, np.array(block.queries["text"].to_pylist(), dtype=object), texts_of, score)


@dataclass
class Judged:
    """A block after judging. Arrays have one entry a candidate.

    Attributes:
        standing: verdicts and reasons, none of them open.
        logits: float32, NaN where not scored.
        scores: float32; the judge's, NaN where it lacks a signal.
        difficulty: float64; NaN but for negatives of queries with a positive.
        selected: int32; 1 to N, 0 where not mined.
        weak: bool; known positives that score like negatives.
        missing: pairs that would have had to be scored, and could not.
        cut: pairs that were scored now, and cut to the maximum length.
    """

    standing: Standing
    logits: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    difficulty: npt.NDArray[np.float64]
    selected: npt.NDArray[np.int32]
    weak: BoolArray
    missing: int
    cut: int


def judge_block(
    block: Block,
    sources: Sequence[Source],
    policy: Policy,
    denoising: CalibratedJudge,
    texts_of: TextsOf,
    score: Score | None,
    in_sample: BoolArray | None = None,
    holdout: Holdout = NOTHING_HELD_OUT,
) -> Judged:
    """Judge a block's candidates and choose its negatives.

    Args:
        block: merged candidates, sorted by query and passage id.
        sources: the retrievers.
        policy: what is demanded of a negative.
        denoising: the judge and its threshold.
        texts_of: passage strings by (segment, row).
        score: (query texts, passage strings) to (logits, cut to the maximum length).
        in_sample: bool (queries,); queries of the calibration sample, all of whose candidates are scored.
        holdout: the evaluation sets.
    """
    policy = effective(policy, denoising)
    standing = stand(block.queries, block.candidates, sources, policy, texts_of, holdout)
    pairs = pair_scores(block, texts_of, score)
    judging = _Judging(standing, pairs, sources, policy, denoising)
    sampled = np.zeros(len(block.queries), dtype=np.bool_) if in_sample is None else in_sample
    judging.score_first(sampled)
    ids = block.queries["query_id"].combine_chunks().take(block.candidates["query"].combine_chunks())
    by = selection_score(block.candidates, ids, policy.order, sources, policy.seed, judging.scores)
    ordered = selection_order(standing.query, standing.open & standing.in_window, by)
    if policy.score_all or not judging.costs:
        judging.try_rows(ordered)
    else:
        judging.try_rows(ordered[sampled[standing.query[ordered]]])
        try_lazily(standing.query, ordered, policy.negatives, judging.try_rows)
    judging.decide(ordered)
    return Judged(
        standing=standing,
        logits=pairs.logits,
        scores=judging.scores,
        difficulty=judging.difficulty(),
        selected=select(standing.query, ordered, judging.passing, policy.negatives),
        weak=judging.weak_positives(),
        missing=pairs.missing,
        cut=pairs.cut,
    )


def effective(policy: Policy, denoising: CalibratedJudge) -> Policy:
    """Return the policy with the sigmoid threshold that calibration fell back on, if it did."""
    if denoising.max_sigmoid is None:
        return policy
    own = 1.0 if policy.max_sigmoid is None else policy.max_sigmoid
    return replace(policy, max_sigmoid=min(own, denoising.max_sigmoid))


class _Judging:
    """Scores and verdicts of one block's candidates, as they come to be known."""

    def __init__(
        self,
        standing: Standing,
        pairs: PairScores,
        sources: Sequence[Source],
        policy: Policy,
        denoising: CalibratedJudge,
    ) -> None:
        self._standing, self._pairs, self._policy, self._denoising = standing, pairs, policy, denoising
        self._judge = denoising.judge
        self._similarity = pairs.candidates[first_similarity(sources)].to_numpy().astype(np.float64)
        self._signals = {name: pairs.candidates[name].to_numpy() for name in self._judge.signals if name != "logit"}
        self._cheap = cheap_scores(self._judge, self._signals, standing.query, in_window=standing.in_window)
        rows = len(standing.query)
        self.costs = denoising.needs_logit or policy.needs_logit  # whether trying a candidate takes the cross-encoder
        self.scores = np.full(rows, np.nan, dtype=np.float32)
        self.passing = np.zeros(rows, dtype=np.bool_)
        self._tried = np.zeros(rows, dtype=np.bool_)
        self._reasons = np.full(rows, None, dtype=object)
        self._limits = np.full(0, np.inf)

    def score_first(self, sampled: BoolArray) -> None:
        """Score what must be known before candidates are tried: positives, the sample, all for the judge's order."""
        standing = self._standing
        rows = standing.positive | sampled[standing.query] & standing.in_window
        if self._policy.score_all:
            rows |= standing.retrieved
        if self._policy.order == "judge":
            rows |= standing.open & standing.in_window
        self._score(np.flatnonzero(rows))
        self._limits = below_lowest_positive(self._pairs.logits, standing, absolute=self._policy.absolute_margin or 0.0)

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
        if self._denoising.threshold is not None:
            above = ~(self.scores[rows].astype(np.float64) < self._denoising.threshold)
            reasons[above] = Reason.ABOVE_THRESHOLD
        return reasons

    def decide(self, ordered: IntArray) -> None:
        """Give every open candidate its verdict."""
        standing = self._standing
        open_, tried = np.zeros(len(self._tried), dtype=np.bool_), self._tried
        open_[ordered] = True
        standing.verdicts[open_ & ~tried] = Verdict.UNSCORED
        standing.verdicts[open_ & tried & self.passing] = Verdict.NEGATIVE
        failed = open_ & tried & ~self.passing
        suspected = failed & self._like_positives()
        standing.verdicts[failed] = Verdict.DROPPED
        standing.verdicts[suspected] = Verdict.SUSPECTED_POSITIVE
        standing.reasons[failed] = self._reasons[failed]

    def _like_positives(self) -> BoolArray:
        """Return which rows score at least like the lowest positive of their query, or the median of all positives."""
        limit = below_lowest_positive(self.scores, self._standing)
        if self._denoising.positive_median is not None:
            limit = np.minimum(limit, self._denoising.positive_median)
        return self.scores.astype(np.float64) >= limit[self._standing.query]  # NaN is not

    def difficulty(self) -> FloatArray:
        """Return how hard each negative is, by how near its query's lowest positive it lies."""
        standing = self._standing
        gaps = below_lowest_positive(self._similarity, standing)[standing.query] - self._similarity
        negative = np.array([verdict == Verdict.NEGATIVE for verdict in standing.verdicts], dtype=np.bool_)
        return np.where(negative, difficulty(gaps, self._denoising.gap_quantiles), np.nan)

    def weak_positives(self) -> BoolArray:
        """Return which known positives would pass for negatives; margins to positives have no say in it."""
        policy = replace(self._policy, absolute_margin=None, min_sigmoid=None)
        weak = self._standing.positive & ~np.isnan(self.scores)
        if self._denoising.threshold is None and not policy.needs_logit:
            return np.zeros(len(weak), dtype=np.bool_)
        rows = np.flatnonzero(weak)
        weak[rows] = [reason is None for reason in self._failing(rows, policy, self._limits)]
        return weak

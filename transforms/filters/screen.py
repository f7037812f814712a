"""Everything that can be decided about a block's candidates, before and after their logits are there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray, sigmoid
from hardneg.transforms.core.block import TextsOf
from hardneg.transforms.core.source import first_similarity
from hardneg.transforms.filters.known import mask_known
from hardneg.transforms.filters.near_duplicates import near_duplicates
from hardneg.transforms.filters.policy import Policy, Rules
from hardneg.transforms.filters.verdicts import Reason, Verdict


@dataclass
class Screened:
    """Where each candidate of a block stands before anything is scored. Arrays have one entry a candidate.

    Attributes:
        query: int64; the row of its query in the block.
        retrieved: bool; some retriever found it.
        in_window: bool; retrieved, with a fused rank inside the window.
        verdicts: object; None where nothing has been decided yet.
        reasons: object.
        grades: float64; NaN where unjudged.
        countable: bool; known positives that stand for unlabelled ones in a calibration: in the window, and not
            removed by what removes candidates, judged against the query's *other* positives.
        held_out: bool; must not appear in a triplet.
    """

    query: IntArray
    retrieved: BoolArray
    in_window: BoolArray
    verdicts: npt.NDArray[np.object_]
    reasons: npt.NDArray[np.object_]
    grades: FloatArray
    countable: BoolArray
    held_out: BoolArray
    positive: BoolArray = field(init=False)

    def __post_init__(self) -> None:
        self.positive = np.array([verdict == Verdict.POSITIVE for verdict in self.verdicts], dtype=np.bool_)

    @property
    def open(self) -> BoolArray:
        """Candidates that nothing has been decided about."""
        return np.array([verdict is None for verdict in self.verdicts], dtype=np.bool_)

    def decide(self, rows: BoolArray, verdict: Verdict, reason: Reason) -> None:
        self.verdicts[rows] = verdict
        self.reasons[rows] = reason


def screen(
    queries: pa.Table,
    candidates: pa.Table,
    rules: Rules,
    texts_of: TextsOf,
) -> Screened:
    """Apply masks, guards and every policy that needs no cross-encoder.

    Args:
        queries: the block's, of the JOINED schema.
        candidates: merged ones, sorted by query and passage id. If they have the columns ``verdict``, ``reason``
            and ``grade`` of a finished run, its masks are taken over instead of made again.
        rules: retrievers, policy, evaluation sets.
        texts_of: passage strings by (segment, row).
    """
    policy = rules.policy
    masked = _masks_of_run(candidates) if "verdict" in candidates.column_names else None
    verdicts, reasons, grades = masked or mask_known(queries, candidates, policy.min_relevance)
    rank = candidates["fused_rank"].fill_null(0).to_numpy()
    screened = Screened(
        query=candidates["query"].to_numpy().astype(np.int64),
        retrieved=rank > 0,
        in_window=(rank >= policy.min_rank) & (rank <= (policy.max_rank or np.iinfo(np.int32).max)),
        verdicts=verdicts,
        reasons=reasons,
        grades=grades,
        countable=np.zeros(len(candidates), dtype=np.bool_),
        held_out=rules.holdout.passages(candidates["passage_id"], candidates["text_digest"]),
    )
    open_ = screened.open & screened.retrieved
    screened.countable = screened.positive & screened.in_window & ~screened.held_out
    screened.countable &= ~_repeats_other_positive(candidates, screened)
    screened.decide(open_ & screened.held_out, Verdict.DROPPED, Reason.HELD_OUT)
    screened.decide(screened.open & screened.retrieved & ~screened.in_window, Verdict.DROPPED, Reason.OUTSIDE_RANKS)
    if policy.group_column and policy.same_group != "allow":
        _guard_groups(candidates, screened, policy)
    if policy.near_duplicates is not None:
        _guard_near_duplicates(candidates, screened, policy.near_duplicates, texts_of)
    if policy.relative_margin is not None:
        similarity = candidates[first_similarity(rules.sources)].to_numpy()
        limit = below_lowest_positive(similarity, screened, relative=policy.relative_margin)
        far = screened.open & screened.in_window & ~(similarity < limit[screened.query])
        screened.decide(far, Verdict.DROPPED, Reason.RELATIVE_MARGIN)
    return screened


def below_lowest_positive(
    score: npt.NDArray[np.floating], screened: Screened, relative: float = 0.0, absolute: float = 0.0
) -> FloatArray:
    """Return each query's lowest positive score, lowered by a margin: float64 (queries,); infinite without one.

    The relative margin is that of NV-Retriever (Moreira et al. 2024), sign-safe: a share of the score's
    magnitude, so that it lowers negative scores too.
    """
    lowest = np.full(int(screened.query.max(initial=-1)) + 1, np.inf)
    rows = np.flatnonzero(screened.positive & ~np.isnan(score))
    np.minimum.at(lowest, screened.query[rows], score[rows].astype(np.float64))
    finite = np.where(np.isfinite(lowest), lowest, 0.0)
    return lowest - relative * np.abs(finite) - absolute


def failing(logits: npt.NDArray[np.float32], query: IntArray, limits: FloatArray, policy: Policy) -> list:
    """Return why each scored pair is no negative by its logit alone; None where it may be one.

    Args:
        logits: float32 (n,).
        query: int64 (n,).
        limits: float64 (queries,); what the logit must be below (``--absolute-margin``).
        policy: what is demanded.
    """
    scores = sigmoid(logits)
    reasons = np.full(len(logits), None, dtype=object)
    if policy.min_sigmoid is not None:
        reasons[~(scores >= np.float32(policy.min_sigmoid))] = Reason.BELOW_MIN_SIGMOID
    if policy.absolute_margin is not None:
        reasons[~(logits < limits[query])] = Reason.ABSOLUTE_MARGIN
    if policy.max_sigmoid is not None:
        reasons[~(scores < np.float32(policy.max_sigmoid))] = Reason.ABOVE_MAX_SIGMOID
    return list(reasons)


# What masks decide. A stored run's other verdicts came from its policies, and are made again.
_MASKS = {
    str(reason)
    for reason in (
        Reason.POSITIVE_OF_EQUAL_QUERY,
        Reason.PARTIALLY_RELEVANT,
        Reason.NEGATIVE_GRADE,
        Reason.EQUAL_TO_POSITIVE,
        Reason.EQUAL_TO_QUERY,
        Reason.DUPLICATE,
    )
}


def _masks_of_run(candidates: pa.Table) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_], FloatArray]:
    verdicts = np.full(len(candidates), None, dtype=object)
    reasons = np.full(len(candidates), None, dtype=object)
    stored = zip(candidates["verdict"].to_pylist(), candidates["reason"].to_pylist(), strict=True)
    for row, (verdict, reason) in enumerate(stored):
        if verdict == Verdict.POSITIVE:
            verdicts[row] = Verdict.POSITIVE
        elif reason in _MASKS:
            verdicts[row], reasons[row] = Verdict.DROPPED, Reason(reason)
    grades = candidates["grade"].cast(pa.float64()).fill_null(np.nan).to_numpy()
    return verdicts, reasons, grades.astype(np.float64)


def _repeats_other_positive(candidates: pa.Table, screened: Screened) -> BoolArray:
    """Return which positives have the text of another of their query: as candidates they would be masked."""
    repeats = np.zeros(len(candidates), dtype=np.bool_)
    seen: dict[tuple[int, bytes], int] = {}
    rows = np.flatnonzero(screened.positive)
    digests = candidates["text_digest"].take(pa.array(rows)).to_pylist()
    for row, digest in zip(rows.tolist(), digests, strict=True):
        other = seen.setdefault((int(screened.query[row]), digest), row)
        if other != row:
            repeats[[row, other]] = True
    return repeats


def _guard_groups(candidates: pa.Table, screened: Screened, policy: Policy) -> None:
    groups = candidates[policy.group_column].to_pylist()
    owners: dict[tuple[int, object], list[int]] = {}
    for row in np.flatnonzero(screened.positive).tolist():
        if groups[row] is not None:
            owners.setdefault((int(screened.query[row]), groups[row]), []).append(row)
    same = np.zeros(len(groups), dtype=np.bool_)
    for row, (query, group) in enumerate(zip(screened.query.tolist(), groups, strict=True)):
        same[row] = any(other != row for other in owners.get((query, group), ()))
    verdict = Verdict.SUSPECTED_POSITIVE if policy.same_group == "suspect" else Verdict.DROPPED
    screened.countable &= ~same
    screened.decide(same & screened.open & screened.retrieved, verdict, Reason.SAME_GROUP)


def _guard_near_duplicates(candidates: pa.Table, screened: Screened, threshold: float, texts_of: TextsOf) -> None:
    positives = np.flatnonzero(screened.positive)
    looked_at = np.flatnonzero(screened.open & screened.in_window | screened.countable)
    if not len(positives) or not len(looked_at):
        return
    segments, rows = candidates["segment"].to_numpy(), candidates["row"].to_numpy()
    place = np.full(len(candidates), -1, dtype=np.int64)
    place[positives] = np.arange(len(positives))
    repeated = near_duplicates(
        screened.query[looked_at],
        texts_of(segments[looked_at], rows[looked_at]),
        screened.query[positives],
        texts_of(segments[positives], rows[positives]),
        threshold,
        left_out=place[looked_at],
    )
    flagged = np.zeros(len(candidates), dtype=np.bool_)
    flagged[looked_at[repeated]] = True
    screened.countable &= ~flagged
    screened.decide(flagged & screened.open, Verdict.DROPPED, Reason.NEAR_DUPLICATE)

"""What a user may demand of a negative, as pure functions over a block's candidates.

What can be decided without the cross-encoder (``stand``) is decided before anything is scored; the rest
(``failing``) once a pair's logit is there. The first policy that fires is the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray, sigmoid
from hardneg.transforms.core.block import TextsOf
from hardneg.transforms.core.source import Source, first_similarity
from hardneg.transforms.filters.known import mask_known
from hardneg.transforms.filters.near_duplicates import near_duplicates
from hardneg.transforms.filters.order import Order
from hardneg.transforms.filters.verdicts import Reason, Verdict
from hardneg.transforms.inputs.evaluation_sets import NOTHING_HELD_OUT, Holdout

SameGroup = Literal["allow", "forbid", "suspect"]


@dataclass(frozen=True)
class Policy:
    """Which candidates may be negatives, in which order they are tried, and how many a query gets.

    The judge's threshold is not here: it comes from calibration (``denoising.CalibratedJudge``).

    Attributes:
        negatives: N, asked of each query.
        order: the selection order.
        seed: of the order ``random``.
        min_relevance: grades from here on are positives.
        score_all: score what is retrieved, all of it.
        max_sigmoid: the logit's sigmoid must be below this.
        min_sigmoid: and not below this: what is, is too easy.
        absolute_margin: the logit must be this far below the lowest of the query's positives.
        relative_margin: the similarity must be below the lowest of the query's positives by this share of it.
        min_rank, max_rank: the window on the fused rank, ends included.
        near_duplicates: shingle containment from which a candidate repeats a positive; None: not looked at.
        group_column: passages with one value of it belong together.
        same_group: what becomes of a candidate of a positive's group.
        relabel_suspected: suspected positives become further positives of the triplets.
        drop_weak_positives: positives that score like negatives are left out of the triplets.
        pass_through: corpus columns to copy into ``candidates/``.
    """

    negatives: int
    order: Order
    seed: int = 0
    min_relevance: float = 1.0
    score_all: bool = False
    max_sigmoid: float | None = None
    min_sigmoid: float | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    min_rank: int = 1
    max_rank: int | None = None
    near_duplicates: float | None = None
    group_column: str | None = None
    same_group: SameGroup = "allow"
    relabel_suspected: bool = False
    drop_weak_positives: bool = False
    pass_through: tuple[str, ...] = ()

    @property
    def needs_logit(self) -> bool:
        """Whether the policies, the judge aside, look at the cross-encoder's score."""
        return not (self.max_sigmoid is self.min_sigmoid is self.absolute_margin is None)

    @property
    def of_labels(self) -> tuple[str, ...]:
        """The policies in use that treat a query's other candidates by its own labelled positives.

        They change with which passages are labelled, so no rate can be estimated from labelled ones under them.
        """
        named = {"--relative-margin": self.relative_margin, "--absolute-margin": self.absolute_margin}
        return tuple(name for name, value in named.items() if value is not None)


@dataclass
class Standing:
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


def stand(
    queries: pa.Table,
    candidates: pa.Table,
    sources: Sequence[Source],
    policy: Policy,
    texts_of: TextsOf,
    holdout: Holdout = NOTHING_HELD_OUT,
) -> Standing:
    """Apply masks, guards and every policy that needs no cross-encoder.

    Args:
        queries: the block's, of the JOINED schema.
        candidates: merged ones, sorted by query and passage id. If they have the columns ``verdict``, ``reason``
            and ``grade`` of a finished run, its masks are taken over instead of made again.
        sources: the retrievers.
        policy: what is demanded.
        texts_of: passage strings by (segment, row).
        holdout: the evaluation sets.
    """
    masked = _masks_of_run(candidates) if "verdict" in candidates.column_names else None
    verdicts, reasons, grades = masked or mask_known(queries, candidates, policy.min_relevance)
    rank = candidates["fused_rank"].fill_null(0).to_numpy()
    standing = Standing(
        query=candidates["query"].to_numpy().astype(np.int64),
        retrieved=rank > 0,
        in_window=(rank >= policy.min_rank) & (rank <= (policy.max_rank or np.iinfo(np.int32).max)),
        verdicts=verdicts,
        reasons=reasons,
        grades=grades,
        countable=np.zeros(len(candidates), dtype=np.bool_),
        held_out=holdout.passages(candidates["passage_id"], candidates["text_digest"]),
    )
    open_ = standing.open & standing.retrieved
    standing.countable = standing.positive & standing.in_window & ~standing.held_out
    standing.countable &= ~_repeats_other_positive(candidates, standing)
    standing.decide(open_ & standing.held_out, Verdict.DROPPED, Reason.HELD_OUT)
    standing.decide(standing.open & standing.retrieved & ~standing.in_window, Verdict.DROPPED, Reason.OUTSIDE_RANKS)
    if policy.group_column and policy.same_group != "allow":
        _guard_groups(candidates, standing, policy)
    if policy.near_duplicates is not None:
        _guard_near_duplicates(candidates, standing, policy.near_duplicates, texts_of)
    if policy.relative_margin is not None:
        similarity = candidates[first_similarity(sources)].to_numpy()
        limit = below_lowest_positive(similarity, standing, relative=policy.relative_margin)
        far = standing.open & standing.in_window & ~(similarity < limit[standing.query])
        standing.decide(far, Verdict.DROPPED, Reason.RELATIVE_MARGIN)
    return standing


def below_lowest_positive(
    score: npt.NDArray[np.floating], standing: Standing, relative: float = 0.0, absolute: float = 0.0
) -> FloatArray:
    """Return each query's lowest positive score, lowered by a margin: float64 (queries,); infinite without one.

    The relative margin is that of NV-Retriever (Moreira et al. 2024), sign-safe: a share of the score's
    magnitude, so that it lowers negative scores too.
    """
    lowest = np.full(int(standing.query.max(initial=-1)) + 1, np.inf)
    rows = np.flatnonzero(standing.positive & ~np.isnan(score))
    np.minimum.at(lowest, standing.query[rows], score[rows].astype(np.float64))
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


def _repeats_other_positive(candidates: pa.Table, standing: Standing) -> BoolArray:
    """Return which positives have the text of another of their query: as candidates they would be masked."""
    repeats = np.zeros(len(candidates), dtype=np.bool_)
    seen: dict[tuple[int, bytes], int] = {}
    rows = np.flatnonzero(standing.positive)
    digests = candidates["text_digest"].take(pa.array(rows)).to_pylist()
    for row, digest in zip(rows.tolist(), digests, strict=True):
        other = seen.setdefault((int(standing.query[row]), digest), row)
        if other != row:
            repeats[[row, other]] = True
    return repeats


def _guard_groups(candidates: pa.Table, standing: Standing, policy: Policy) -> None:
    groups = candidates[policy.group_column].to_pylist()
    owners: dict[tuple[int, object], list[int]] = {}
    for row in np.flatnonzero(standing.positive).tolist():
        if groups[row] is not None:
            owners.setdefault((int(standing.query[row]), groups[row]), []).append(row)
    same = np.zeros(len(groups), dtype=np.bool_)
    for row, (query, group) in enumerate(zip(standing.query.tolist(), groups, strict=True)):
        same[row] = any(other != row for other in owners.get((query, group), ()))
    verdict = Verdict.SUSPECTED_POSITIVE if policy.same_group == "suspect" else Verdict.DROPPED
    standing.countable &= ~same
    standing.decide(same & standing.open & standing.retrieved, verdict, Reason.SAME_GROUP)


def _guard_near_duplicates(candidates: pa.Table, standing: Standing, threshold: float, texts_of: TextsOf) -> None:
    positives = np.flatnonzero(standing.positive)
    looked_at = np.flatnonzero(standing.open & standing.in_window | standing.countable)
    if not len(positives) or not len(looked_at):
        return
    segments, rows = candidates["segment"].to_numpy(), candidates["row"].to_numpy()
    place = np.full(len(candidates), -1, dtype=np.int64)
    place[positives] = np.arange(len(positives))
    repeated = near_duplicates(
        standing.query[looked_at],
        texts_of(segments[looked_at], rows[looked_at]),
        standing.query[positives],
        texts_of(segments[positives], rows[positives]),
        threshold,
        left_out=place[looked_at],
    )
    flagged = np.zeros(len(candidates), dtype=np.bool_)
    flagged[looked_at[repeated]] = True
    standing.countable &= ~flagged
    standing.decide(flagged & standing.open, Verdict.DROPPED, Reason.NEAR_DUPLICATE)

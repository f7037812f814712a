"""A finished run's calibration sample as one judge sees it, and what is mined of it at a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray, FloatArray
from hardneg.transforms.core.source import LOGIT, Source, first_similarity
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.judge.calibrated_judge import JudgeName
from hardneg.transforms.judge.calibration import estimated_gamma
from hardneg.transforms.judge.judge import Judge, cheap_scores, complete_scores
from hardneg.transforms.judge.sample import SampleScores, score_sample


@dataclass(frozen=True, eq=False)
class RunSample:
    """The calibration sample of a finished run.

    Attributes:
        rows: of the SAMPLE schema, then one column a signal (``logit`` null where the run did not score), and
            ``fused_rank`` (null where not retrieved); by query id, then passage id.
        query_ids: all its queries, sorted, those without rows too.
    """

    rows: pa.Table
    query_ids: list[str]

    @property
    def missing(self) -> int:
        """Pairs that should be scored, and are not."""
        return int((self.rows[LOGIT].is_null().to_numpy() & (self.rows["weight"].to_numpy() > 0)).sum())

    @property
    def left_out(self) -> int:
        """Candidates that need no score, as others stand for them."""
        return int((self.rows["is_candidate"].to_numpy() & (self.rows["weight"].to_numpy() == 0)).sum())

    @property
    def asked(self) -> int:
        """Pairs that should be scored."""
        return int((self.rows["weight"].to_numpy() > 0).sum())


@dataclass(frozen=True)
class Kept:
    """What is mined of some queries.

    Attributes:
        queries: how many there are.
        queries_full: those with all negatives that were asked for.
        queries_none: those without any.
        asked: negatives asked for.
        mined: negatives mined.
        yielded: mined / asked; None if nothing was asked.
        similarity: mean similarity of the mined, by the first bi-encoder; None if nothing is mined.
        fused_rank: their mean fused rank.
    """

    queries: int
    queries_full: int
    queries_none: int
    asked: int
    mined: int
    yielded: float | None
    similarity: float | None
    fused_rank: float | None

    def to_json(self) -> dict[str, Any]:
        return {"yield" if name == "yielded" else name: value for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class SampleView:
    """A sample as one judge sees it. Arrays have one entry a row.

    Attributes:
        scored: the scores, and which rows enter.
        ranks: fused ranks, NaN where not retrieved.
        complete: whether all is scored that an estimate needs.
        gamma: the allowance for unlabelled passages; None unless complete.
    """

    scored: SampleScores
    ranks: FloatArray
    complete: bool
    gamma: float | None


def view_sample(
    sample: RunSample, sources: Sequence[Source], policy: Policy, name: JudgeName, judge: Judge, gamma: float | None
) -> SampleView:
    """Score a sample: by cross-fitting where all of it is scored, else what is, by the judge that is there.

    Args:
        sample: the run's.
        sources: the retrievers.
        policy: what is demanded of a negative, thresholds aside.
        name: the judge's name.
        judge: the one for a sample that is not complete.
        gamma: as in ``Target``.
    """
    rows = sample.rows
    complete = not (sample.missing and (name != "bi-encoder" or policy.needs_logit))
    if complete:
        scored = score_sample(rows, sample.query_ids, sources, policy, name)
        gamma = gamma or estimated_gamma(scored)
    else:
        scored = score_known(sample, sources, policy, judge)
    ranks = rows["fused_rank"].cast(pa.float64()).fill_null(np.nan).to_numpy()
    return SampleView(scored, ranks, complete, gamma if complete else None)


def score_known(sample: RunSample, sources: Sequence[Source], policy: Policy, judge: Judge) -> SampleScores:
    """Score those rows of a sample whose signals are all there; no other row enters.

    Args:
        sample: the run's, in part without logits.
        sources: the retrievers.
        policy: what is demanded of a negative.
        judge: a finished one.
    """
    table, ids = sample.rows, sample.query_ids
    place = {identifier: row for row, identifier in enumerate(ids)}
    query = np.array([place[identifier] for identifier in table["query_id"].to_pylist()], dtype=np.int64)
    window, positive, countable, candidate = (
        table[column].to_numpy().copy() for column in ("in_window", "is_positive", "countable", "is_candidate")
    )
    logits = table[LOGIT].fill_null(np.nan).to_numpy().astype(np.float32)
    signals = {name: table[name].to_numpy().astype(np.float64) for name in judge.signals if name != LOGIT}
    cheap = cheap_scores(judge, signals, query, in_window=window)
    known = ~np.isnan(logits) | (LOGIT not in judge.signals and not policy.needs_logit)
    scores = np.full(len(table), np.nan, dtype=np.float32)
    every = {**signals, LOGIT: logits}
    scores[known] = complete_scores(judge, cheap[known], {name: every[name][known] for name in judge.signals})
    in_order, weight = table["in_order"].to_numpy(), table["weight"].to_numpy()
    if LOGIT not in judge.signals and not policy.needs_logit:
        in_order, weight = np.ones(len(table), dtype=np.bool_), np.ones(len(table), dtype=np.int64)
    order = scores.astype(np.float64) if policy.order == "judge" else table["order"].to_numpy()
    similarity = table[first_similarity(sources)].to_numpy().astype(np.float64)
    return SampleScores(
        query_ids=ids,
        query=query,
        scores=scores,
        judge=judge,
        published=scores,
        logits=logits,
        similarity=similarity,
        order=order,
        candidate=candidate & known,
        positive=positive,
        countable=countable & known,
        in_order=in_order,
        weight=weight,
    )


def keep(seen: SampleView, passing: BoolArray, negatives: int) -> Kept | None:
    """Select from the rows that pass; None where no candidate is scored."""
    scored = seen.scored
    if not scored.candidate.any():
        return None
    rows, taken = scored.mined(passing, negatives)
    have = np.bincount(scored.query[rows], taken, minlength=len(scored.query_ids)).astype(np.int64)
    total = int(taken.sum())
    return Kept(
        queries=len(have),
        queries_full=int((have >= negatives).sum()),
        queries_none=int((have == 0).sum()),
        asked=negatives * len(have),
        mined=total,
        yielded=total / (negatives * len(have)) if len(have) else None,
        similarity=float((scored.similarity[rows] * taken).sum() / total) if total else None,
        fused_rank=float((seen.ranks[rows] * taken).sum() / total) if total else None,
    )

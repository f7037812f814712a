"""A calibration sample, scored: by the judge that is fitted on it, each query by one that did not see it.

Constants and weights are fitted in float64 on the sample's rows brought together, sorted by query and passage id:
fitted in parts they would depend on how the queries were cut into blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray
from hardneg.transforms.core.source import LOGIT, Source, first_similarity
from hardneg.transforms.filters.order import selection_order
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.judge.calibrated_judge import JudgeName
from hardneg.transforms.judge.counts import SCORE_RANGE, Counts, selection_counts
from hardneg.transforms.judge.judge import Judge, apply_judge, cross_fit, fit_judge, single_signal_judge
from hardneg.transforms.judge.sample_rows import units_taken

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
        ("is_candidate", pa.bool_()),  # left by masks and filters
        ("in_order", pa.bool_()),  # scored, with all that stand before it
        ("weight", pa.int64()),  # how many rows this one stands for where a logit is needed; 0: not scored
    ]
)


def signals_of(sources: Sequence[Source]) -> list[str]:
    """Return the names of all signals of a pair."""
    return [LOGIT, *(source.signal for source in sources if source.signal)]


def judge_signals(name: JudgeName, sources: Sequence[Source]) -> list[str]:
    """Return the signals that a judge is made of."""
    if name == "combined":
        return signals_of(sources)
    return [LOGIT] if name == "cross-encoder" else [first_similarity(sources)]


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
    in_order: BoolArray
    weight: IntArray

    @property
    def scored_candidate(self) -> BoolArray:
        """Candidates that were scored: the first in selection order, and what was drawn from the rest."""
        return self.candidate & (self.weight > 0) & ~np.isnan(self.scores)

    @property
    def entering(self) -> IntArray:
        """Rows that enter the counts, in selection order."""
        return selection_order(self.query, self.scored_candidate | self.countable, self.order)

    def mined(self, passing: BoolArray, negatives: int) -> tuple[IntArray, IntArray]:
        """Return the candidates that would be mined of those that pass, and how many each stands for among them."""
        rows = selection_order(self.query, self.scored_candidate & passing, self.order)
        return rows, units_taken(self.query[rows], self.weight[rows], negatives)

    def tried(self, passing: BoolArray, negatives: int) -> float:
        """Return how many candidates a query tries on average until it has its negatives, or has no more."""
        rows = selection_order(self.query, self.scored_candidate, self.order)
        query, weight = self.query[rows], self.weight[rows]
        sums = np.concatenate([[0], np.cumsum(weight * passing[rows])])
        found_before = sums[:-1] - sums[np.searchsorted(query, query)]
        return float(weight[found_before < negatives].sum() / max(len(self.query_ids), 1))

    def counts(self, negatives: int, scores: FloatArray | None = None) -> Counts:
        """Run every candidate and known positive through the whole rule; ``scores``: others than its own, per row."""
        rows = self.entering
        return selection_counts(
            self.query_ids,
            self.query[rows],
            (self.scores if scores is None else scores)[rows],
            self.countable[rows],
            negatives,
            scale=self.judge.scale,
            in_order=self.in_order[rows],
            weight=self.weight[rows],
        )


def score_sample(
    sample: pa.Table, query_ids: Sequence[str], sources: Sequence[Source], policy: Policy, name: JudgeName
) -> SampleScores:
    """Fit a judge on a sample and score the sample by cross-fitting.

    Args:
        sample: of the SAMPLE schema and one column a signal, in any order; logits may be null where the weight is 0,
            and where neither the judge nor a filter needs them.
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
    logits = table[LOGIT].fill_null(np.nan).to_numpy().astype(np.float32)
    columns = judge_signals(name, sources)
    in_order, weight = table["in_order"].to_numpy(), table["weight"].to_numpy()
    if LOGIT not in columns and not policy.needs_logit:  # nothing has to be scored, so all of it is there
        in_order, weight = np.ones(len(query), dtype=np.bool_), np.ones(len(query), dtype=np.int64)
    signals = {column: table[column].fill_null(np.nan).to_numpy().astype(np.float64) for column in columns}
    if name == "combined":
        masks = {"is_candidate": candidate, "in_window": window, "weight": weight}
        judge = fit_judge(signals, query, countable, **masks)
        scores = cross_fit(signals, ids, query, countable, **masks)
    else:
        (signal,) = signals
        judge = single_signal_judge(signal, "logit" if name == "cross-encoder" else "similarity")
        scores = _clipped(signals[signal], judge)
    published = scores
    if name == "combined":
        published = apply_judge(judge, {**signals, LOGIT: np.nan_to_num(logits)}, query, in_window=window)
        for made in (scores, published):
            made[np.isnan(logits)] = np.nan
    order = scores.astype(np.float64) if policy.order == "judge" else table["order"].to_numpy()
    similarity = table[first_similarity(sources)].to_numpy().astype(np.float64)
    return SampleScores(
        query_ids=ids,
        query=query,
        scores=scores,
        judge=judge,
        published=published,
        logits=logits,
        similarity=similarity,
        order=order,
        candidate=candidate,
        positive=positive,
        countable=countable,
        in_order=in_order,
        weight=weight,
    )


def _clipped(values: FloatArray, judge: Judge) -> npt.NDArray[np.float32]:
    """Return a single signal's scores; NaN stays, where nothing asked for the signal."""
    low, high = SCORE_RANGE[judge.scale]
    return np.clip(values, low, high).astype(np.float32)

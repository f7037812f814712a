"""What a whole run kept, counted shard by shard: verdicts, who found what, and histograms of its scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.core.source import LOGIT, Source, first_similarity
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.judge.counts import EDGES, Scale, bins, edges
from hardneg.transforms.reports.sample_view import Kept

HISTOGRAM_BARS = 20
# What the candidates of a run are told apart by, in histograms and by source.
GROUPS = ("positive", "mined", "passed", "suspected_positive", "other")


@dataclass(frozen=True, eq=False)
class Tally:
    """What was counted in some of a run's ``candidates/``.

    Attributes:
        verdicts, reasons: rows of each.
        sources: rows by (source, group of ``GROUPS``); a row counts for every source that found it.
        groups: rows by group.
        numbers: sums over the mined, ``similarity``, ``fused_rank`` and ``similarity NAME`` by source; ``queries_full``
            and ``queries_any``: queries with all their negatives, or with one at least.
        scores: int64 (groups, 513), per score name; rows by the bin of their score.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    numbers: dict[str, float] = field(default_factory=dict)
    scores: dict[str, IntArray] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        names = {**self.scores, **other.scores}
        nothing = np.zeros((len(GROUPS), EDGES + 1), dtype=np.int64)
        return Tally(
            self.verdicts + other.verdicts,
            self.reasons + other.reasons,
            self.sources + other.sources,
            self.groups + other.groups,
            {name: self.number(name) + other.number(name) for name in {**self.numbers, **other.numbers}},
            {name: self.scores.get(name, nothing) + other.scores.get(name, nothing) for name in names},
        )

    def number(self, name: str) -> float:
        return self.numbers.get(name, 0)

    def kept(self, queries: int, negatives: int) -> Kept:
        """Return what was mined of all queries of the run."""
        mined = self.groups["mined"]
        return Kept(
            queries=queries,
            queries_full=int(self.number("queries_full")),
            queries_none=queries - int(self.number("queries_any")),
            asked=queries * negatives,
            mined=mined,
            yielded=mined / (queries * negatives) if queries else None,
            similarity=self.number("similarity") / mined if mined else None,
            fused_rank=self.number("fused_rank") / mined if mined else None,
        )


def tally(table: pa.Table, sources: Sequence[Source], negatives: int, scale: Scale) -> Tally:
    """Count a shard of ``candidates/``.

    Args:
        table: all rows of its queries.
        sources: the retrievers.
        negatives: N.
        scale: of ``judge_score``.
    """
    verdict = table["verdict"]
    mined = table["selected"].is_valid().to_numpy()
    negative = pc.equal(verdict, Verdict.NEGATIVE).to_numpy()
    of_group = {
        "positive": pc.equal(verdict, Verdict.POSITIVE).to_numpy(),
        "mined": mined,
        "passed": negative & ~mined,
        "suspected_positive": pc.equal(verdict, Verdict.SUSPECTED_POSITIVE).to_numpy(),
    }
    of_group["other"] = ~np.logical_or.reduce(list(of_group.values()))
    similarity = table[first_similarity(sources)].to_numpy().astype(np.float64)
    ranks = table["fused_rank"].fill_null(0).to_numpy().astype(np.int64)
    _, have = np.unique(table["query_id"].filter(pa.array(mined)).to_numpy(), return_counts=True)
    numbers: dict[str, float] = {
        "queries_any": len(have),
        "queries_full": int((have >= negatives).sum()),
        "similarity": float(similarity[mined].sum()),
        "fused_rank": int(ranks[mined].sum()),
    }
    by_source: Counter[tuple[str, str]] = Counter()
    for source in sources:
        found = table[source.rank].is_valid().to_numpy()
        by_source.update({(source.name, name): int((found & rows).sum()) for name, rows in of_group.items()})
        numbers[f"similarity {source.name}"] = float(similarity[mined & found].sum())
    return Tally(
        _values(verdict),
        _values(table["reason"]),
        by_source,
        Counter({name: int(rows.sum()) for name, rows in of_group.items()}),
        numbers,
        {
            "judge_score": _by_bin(table["judge_score"], of_group, scale),
            LOGIT: _by_bin(table[LOGIT], of_group, "logit"),
        },
    )


def _values(column: pa.ChunkedArray) -> Counter[str]:
    counted = pc.value_counts(column.drop_null()).to_pylist()
    return Counter({each["values"]: each["counts"] for each in counted})


def _by_bin(column: pa.ChunkedArray, of_group: dict[str, BoolArray], scale: Scale) -> IntArray:
    """Return how many rows of each group fall into each bin of a score: int64 (groups, 513); nulls into none."""
    score = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    return np.stack(
        [
            np.bincount(bins(score[of_group[name] & ~np.isnan(score)], scale), minlength=EDGES + 1)
            for name in GROUPS
        ]
    )  # fmt: skip


@dataclass(frozen=True)
class Histogram:
    """How a score is distributed.

    Attributes:
        score: the column.
        edges: ends of the bars, one more than there are bars; scores outside count to the first or last bar.
        counts: per group, rows in each bar.
        unscored: per group, rows without a score.
        threshold: of the run, on this score; None if it has none.
    """

    score: str
    edges: tuple[float, ...]
    counts: dict[str, list[int]]
    unscored: dict[str, int]
    threshold: float | None


def histogram(
    counted: Tally, score: str, scale: Scale, threshold: float | None, bars: int = HISTOGRAM_BARS
) -> Histogram:
    """Join the bins of a score to a few bars over the range that is in use.

    Args:
        counted: of all shards.
        score: ``judge_score`` or ``logit``.
        scale: its scale.
        threshold: of the run, for what is printed.
        bars: at most so many.
    """
    fine = counted.scores.get(score, np.zeros((len(GROUPS), EDGES + 1), dtype=np.int64))
    unscored = {name: counted.groups[name] - int(row.sum()) for name, row in zip(GROUPS, fine, strict=True)}
    used = np.flatnonzero(fine.sum(axis=0))
    if not len(used):
        return Histogram(score, (), {name: [] for name in GROUPS}, unscored, threshold)
    first, last = int(used[0]), int(used[-1])
    width = -(-(last - first + 1) // bars)
    starts = np.arange(first, last + 1, width)
    # Bin b ends at edge b.
    ends = np.clip(np.append(starts, starts[-1] + width) - 1, 0, EDGES - 1)
    joined = np.add.reduceat(fine[:, : last + 1], starts, axis=1)
    return Histogram(
        score,
        tuple(float(each) for each in edges(scale)[ends]),
        {name: row.tolist() for name, row in zip(GROUPS, joined, strict=True)},
        unscored,
        threshold,
    )


def total(parts: Iterable[Tally]) -> Tally:
    """Add what was counted in disjoint shards."""
    whole = Tally()
    for part in parts:
        whole = whole + part
    return whole

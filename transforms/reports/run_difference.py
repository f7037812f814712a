"""A run beside an earlier one: what became of its triplets, and its figures then and now; ``diff.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.core.arrays import FloatArray
from hardneg.transforms.core.source import Source
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.judge.counts import EDGES, Scale, edges
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.run_tables import read_shard
from hardneg.transforms.reports.tallies import GROUPS, HISTOGRAM_BARS, Tally, tally, total
from hardneg.transforms.reports.triplet_changes import Changes, changes_between

DIFFERENCE = "diff.json"
_SHOWN_GROUPS = ("positive", "mined")


@dataclass(frozen=True)
class Side:
    """One of two runs that are compared.

    Attributes:
        run: the run.
        date: what it is called.
        sources: its retrievers.
        negatives: asked of each query.
        relabel: whether suspected positives are positives of its triplets.
        scale: of its judge's score.
        judge: the judge's fingerprint.
    """

    run: FinishedRun
    date: str
    sources: Sequence[Source]
    negatives: int
    relabel: bool
    scale: Scale
    judge: str


@dataclass(frozen=True)
class SideFigures:
    """What a run came to: a figure by name, its scores by bin, the judge's scores of its known positives."""

    figures: dict[str, float | int | None]
    counted: Tally
    positives: FloatArray


def figures_of(side: Side) -> SideFigures:
    """Count a run, shard by shard.

    Raises:
        HardnegError: a table is missing or can't be read.
    """
    scores: list[FloatArray] = []

    def counted() -> Iterator[Tally]:
        for path in side.run.shards("candidates").values():
            table = read_shard(path)
            scores.append(_positives(table))
            yield tally(table, side.sources, side.negatives, side.scale)

    whole = total(counted())
    counts = side.run.counts
    promised = side.run.manifest.get("denoising", {})
    kept = whole.kept(counts.get("queries", 0), side.negatives)
    rows = sum(each["rows"] for each in side.run.manifest["shards"] if each["name"].startswith("triplets/"))
    figures = {
        "triplets": rows,
        "queries": kept.queries,
        "mined": kept.mined,
        "yield": kept.yielded,
        "hardness": kept.similarity,
        "queries_without_negatives": kept.queries_none,
        "share_without_negatives": kept.queries_none / kept.queries if kept.queries else None,
        "false_negative_rate_at_most": promised.get("upper_bound"),
        "false_negative_rate_expected": promised.get("expected_rate"),
    }
    return SideFigures(figures, whole, np.concatenate([np.zeros(0), *scores]))


def _positives(table: pa.Table) -> FloatArray:
    rows = pc.equal(table["verdict"], Verdict.POSITIVE)
    return table["judge_score"].filter(rows).drop_null().to_numpy().astype(np.float64)


def difference(before: Side | None, now: Side) -> dict[str, Any]:
    """Return what ``diff.json`` says of a run and the one before; JSON values, nothing is NaN.

    Args:
        before: the earlier run; None: there was none, so only what there is now is said.
        now: the later one.

    Raises:
        HardnegError: a table is missing or can't be read.
    """
    new = figures_of(now)
    told: dict[str, Any] = {"before": before.date if before else None, "now": now.date}
    if before is None:
        figures = {name: [None, value] for name, value in new.figures.items()}
        return {**told, "triplets": None, "queries": None, "figures": figures, "scores": {}, "drift": None,
                "store": shares_of_store(now.run.counts)}  # fmt: skip
    old = figures_of(before)
    changes = changes_between(before.run, now.run, (before.relabel, now.relabel))
    same_judge = before.judge == now.judge
    return {
        **told,
        "same_judge": same_judge,
        "triplets": _triplets(changes),
        "queries": {"gained": changes.gained.to_json(), "lost": changes.lost.to_json()},
        "figures": {name: [old.figures[name], value] for name, value in new.figures.items()},
        "scores": {
            **({"judge_score": _histograms(old, new, "judge_score", now.scale)} if same_judge else {}),
            "logit": _histograms(old, new, "logit", "logit"),
        },
        "drift": drift(old.positives, new.positives) if same_judge else None,
        "store": shares_of_store(now.run.counts),
    }


def _triplets(changes: Changes) -> dict[str, Any]:
    """Return the changes of triplets, with the churn: which share of the earlier ones is gone or another."""
    before = changes.kept + changes.changed.count + changes.removed.count
    gone = changes.removed.count + changes.changed.count
    return {
        "before": before,
        "now": changes.kept + changes.changed.count + changes.added.count,
        "kept": changes.kept,
        "added": changes.added.to_json(),
        "removed": changes.removed.to_json(),
        "changed": changes.changed.to_json(),
        "churn": gone / before if before else None,
    }


def drift(before: FloatArray, now: FloatArray) -> dict[str, Any] | None:
    """Return the two-sample statistic of Kolmogorov and Smirnov on the positives' scores; None without positives."""
    if not len(before) or not len(now):
        return None
    from scipy.stats import ks_2samp

    found = ks_2samp(before, now)
    return {
        "statistic": float(found.statistic),
        "p_value": float(found.pvalue),
        "positives": [len(before), len(now)],
        "medians": [float(np.median(before)), float(np.median(now))],
    }


def shares_of_store(counts: Mapping[str, int]) -> dict[str, float | None]:
    """Return which shares of a run's pairs, passages and queries were in the store; None: unknown, or there are none.

    Args:
        counts: the manifest's.
    """
    names = {
        "pairs": ("logits_found", "logits_computed"),
        "passages": ("passages_encoded_before", "passages_encoded"),
        "queries": ("queries_encoded_before", "queries_encoded"),
    }
    shares: dict[str, float | None] = {}
    for kind, (before, computed) in names.items():
        found, needed = counts.get(before, 0), counts.get(before, 0) + counts.get(computed, 0)
        shares[kind] = found / needed if needed else None
    return shares


def _histograms(old: SideFigures, new: SideFigures, score: str, scale: Scale) -> dict[str, Any]:
    """Return how a score is distributed in both runs: bars over the range that is in use, by group: [then, now]."""
    empty = np.zeros((len(GROUPS), EDGES + 1), dtype=np.int64)
    fine = [side.counted.scores.get(score, empty) for side in (old, new)]
    used = np.flatnonzero(sum(each.sum(axis=0) for each in fine))
    if not len(used):
        return {"edges": []}
    first, last = int(used[0]), int(used[-1])
    width = -(-(last - first + 1) // HISTOGRAM_BARS)
    starts = np.arange(first, last + 1, width)
    ends = np.clip(np.append(starts, starts[-1] + width) - 1, 0, EDGES - 1)
    joined = [np.add.reduceat(each[:, : last + 1], starts, axis=1) for each in fine]
    told = {name: [each[GROUPS.index(name)].tolist() for each in joined] for name in _SHOWN_GROUPS}
    return {"edges": [float(each) for each in edges(scale)[ends]], **told}

"""What a snapshot's ``diff.json`` says, in words: for the terminal in 80 columns, and for the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from rich.table import Table

from hardneg.errors import RunError
from hardneg.pipelines.options.stored import config_of
from hardneg.pipelines.report.tables import number, share
from hardneg.transforms.core import storage
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.reports.run_difference import DIFFERENCE, Side

_FIGURES = {
    "triplets": "triplets",
    "queries": "queries",
    "mined": "negatives mined",
    "yield": "yield",
    "hardness": "hardness (mean similarity)",
    "share_without_negatives": "queries without a negative",
    "false_negative_rate_at_most": "false-negative rate at most",
    "false_negative_rate_expected": "expected at gamma 1",
}
_SHARES = {"yield", "share_without_negatives", "false_negative_rate_at_most", "false_negative_rate_expected"}
_STORE = {"pairs": "pairs", "passages": "passages", "queries": "queries"}


def side_of(run: FinishedRun, date: str) -> Side:
    """Return a run as one side of a comparison.

    Raises:
        RunError: its options or its judge can't be read.
    """
    config, judge = config_of(run), run.judge
    return Side(
        run,
        date,
        config.sources,
        config.negatives,
        config.relabel_suspected,
        judge.judge.scale,
        judge.judge.fingerprint,
    )


def read_difference(folder: str) -> dict[str, Any] | None:
    """Return a snapshot's ``diff.json``; None where a run has none.

    Raises:
        RunError: it is damaged.
    """
    path = storage.join(folder, DIFFERENCE)
    if not storage.exists(path):
        return None
    try:
        told = json.loads(storage.read_file(path))
        _ = told["figures"], told["before"], told["store"]
        return told
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{path} is no diff.json of ours: delete it, or refresh again.", path=path) from None


def figure_rows(told: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (what, then, now) of each figure that either run has."""
    rows = []
    for name, title in _FIGURES.items():
        then, now = told["figures"].get(name, [None, None])
        if then is not None or now is not None:
            rows.append((title, _value(name, then), _value(name, now)))
    if told.get("drift"):
        then, now = told["drift"]["medians"]
        rows.append(("median judge score of positives", number(then, 3), number(now, 3)))
    return rows


def _value(name: str, value: float | int | None) -> str:
    if value is None:
        return "-"
    if name in _SHARES:
        return share(value)
    return f"{value:,}" if isinstance(value, int) else number(value, 3)


def change_rows(told: Mapping[str, Any]) -> list[tuple[str, int, list[str]]]:
    """Return (what, how many, the first of them by ids) of what changed."""
    if not told["triplets"]:
        return []
    rows = [(f"triplets {name}", told["triplets"][name]) for name in ("added", "removed", "changed")]
    rows += [(f"queries {name}", told["queries"][name]) for name in ("gained", "lost")]
    return [(name, kind["count"], [" / ".join(ids) for ids in kind["examples"]]) for name, kind in rows]


def store_line(told: Mapping[str, Any]) -> str:
    """Return which shares of what a run needed were in the store."""
    found = told["store"]
    said = [
        f"{title} {share(found[name]) if found.get(name) is not None else 'unknown'}" for name, title in _STORE.items()
    ]
    return f"Found in the store: {', '.join(said)}."


def drift_line(told: Mapping[str, Any]) -> str | None:
    """Return how far the positives' scores moved; None where there is nothing to compare."""
    if told["before"] is None:
        return None
    if not told.get("same_judge"):
        return "Another judge than before: its scores do not compare."
    moved = told["drift"]
    if moved is None:
        return None
    return (
        f"The positives' judge scores moved by {moved['statistic']:.3f} (Kolmogorov-Smirnov, p {moved['p_value']:.2g})."
    )


def difference_table(told: Mapping[str, Any]) -> Table:
    """Return figures then and now, for a terminal."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column(told["before"] or "before", justify="right")
    table.add_column(told["now"], justify="right")
    for row in figure_rows(told):
        table.add_row(*row)
    return table


def change_line(told: Mapping[str, Any]) -> str | None:
    """Return what became of triplets and queries, in one sentence; None for a first snapshot."""
    rows = change_rows(told)
    if not rows:
        return None
    triplets = ", ".join(f"{count:,} {name.removeprefix('triplets ')}" for name, count, _ in rows[:3])
    queries = ", ".join(f"{count:,} {name.removeprefix('queries ')}" for name, count, _ in rows[3:])
    churn = told["triplets"]["churn"]
    said = f" ({share(churn)} of {told['before']} gone or another)" if churn is not None else ""
    return f"Triplets: {triplets}{said}. Queries: {queries}."


def score_rows(drawn: Mapping[str, Any]) -> list[list[str]]:
    """Return a score's distribution as rows: (bar, positives then, now, mined then, now)."""
    columns = [each for name in ("positive", "mined") for each in drawn[name]]
    return [
        [f"{low:.3g} to {high:.3g}", *(f"{column[place]:,}" for column in columns)]
        for place, (low, high) in enumerate(pairwise(drawn["edges"]))
    ]

"""What the checking commands found, as tables for a terminal, or as JSON; nothing here prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from rich.table import Table
from rich.text import Text

from hardneg.transforms.core import storage
from hardneg.transforms.inputs.files import explaining

if TYPE_CHECKING:  # each command needs its own alone, and evaluation loads SciPy
    from hardneg.pipelines.commands.audit import AuditReport
    from hardneg.pipelines.commands.evaluate import Evaluation
    from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
    from hardneg.transforms.reports.evaluation import Figure

FIGURE_TITLES = {
    "false_negative_rate": "false-negative rate",
    "leak_rate": "leak rate, of the scored",
    "leak_rate_over_all": "leak rate, of all relevant",
    "yield": "yield",
    "fused_rank": "hardness: mean fused rank",
    "similarity": "hardness: mean similarity",
    "logit_gap": "hardness: mean logit gap to the lowest positive",
}
_RATES = ("false_negative_rate", "leak_rate", "leak_rate_over_all", "yield")
_DIGITS = {"fused_rank": 1, "similarity": 3, "logit_gap": 2}


def mined_lines(output: str, manifest: dict[str, Any]) -> list[str | Text]:
    """Return what a run gave, what it promises, and what there is to say of its input.

    Args:
        output: its folder.
        manifest: its manifest.
    """
    from hardneg.pipelines.report.tables import denoising_line  # here: it loads what an audit has no need of

    counts = manifest["counts"]
    rows = sum(shard["rows"] for shard in manifest["shards"] if shard["name"].startswith("triplets/"))
    retrieved, scored = counts.get("pairs_retrieved", 0), counts.get("pairs_scored", 0)
    promised = denoising_line(manifest["denoising"])
    return [
        f"{rows:,} triplets of {counts.get('queries', 0):,} queries in {output} ({manifest['wall_seconds']:,.0f} s).",
        f"{retrieved:,} pairs retrieved, {scored:,} scored; {counts.get('mined', 0):,} negatives mined; "
        f"{counts.get('verdict_suspected_positive', 0):,} suspected positives left out; "
        f"{counts.get('queries_short', 0):,} queries have fewer negatives than asked for.",
        *([promised] if promised else []),
        *manifest.get("notes", ()),
        f"To look at it: {output.rstrip('/')}/report.html",
    ]


def fault_table(report: AuditReport) -> Table:
    """Return the faults of a data set: each with its count and examples."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("count", justify="right")
    table.add_column("found, for example", overflow="fold")
    for fault in report.faults:
        table.add_row(f"{fault.count:,}", Text(fault.title, style="bold"))
        for example in fault.examples:
            table.add_row("", Text(f"{example.place}: {example.text}"))
    return table


def judge_table(denoising: CalibratedJudge) -> Table:
    """Return what a judge is made of: each signal, how well it separates positives from candidates, its share."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("signal")
    for column in ("separation", "weight", "mean", "deviation"):
        table.add_column(column, justify="right")
    for part in denoising.judge.parts:
        separation = "" if part.separation is None else f"{part.separation:.3f}"
        table.add_row(part.name, separation, f"{part.weight:.3f}", f"{part.mean:.3f}", f"{part.deviation:.3f}")
    return table


def figure_table(evaluation: Evaluation) -> Table:
    """Return the figures of a run, with their intervals and, where there is one, what was promised."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for column in ("value", "95 % interval", "n"):
        table.add_column(column, justify="right")
    judged = {figure.name: figure for figure in evaluation.judged_figures}
    if judged:
        table.add_column("judged queries", justify="right")
        table.add_column("95 % interval", justify="right")
    if evaluation.promised:
        table.add_column("promised")
    if certificate := evaluation.certificate:
        bound = f"at most {certificate.upper_bound:.1%}"
        cells = [f"{certificate.relevant:,} found", bound, f"{certificate.marked:,}", *[""] * (2 * bool(judged))]
        table.add_row(f"false-negative rate ({certificate.status})", *cells, *[""] * bool(evaluation.promised))
    for figure in evaluation.figures:
        cells = [_value(figure), _interval(figure), f"{figure.n:,}"]
        if judged:
            cells += [_value(judged[figure.name]), _interval(judged[figure.name])]
        if evaluation.promised:
            cells.append(evaluation.promised.get(figure.name, ""))
        table.add_row(FIGURE_TITLES[figure.name], *cells)
    return table


def pair_table(evaluation: Evaluation) -> Table:
    """Return the mined pairs that a person found relevant."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("query", "passage", "query's text", "passage's text"):
        table.add_column(column, overflow="fold")
    for pair in evaluation.relevant_pairs:
        table.add_row(*(_cell(pair[name]) for name in ("query_id", "passage_id", "query", "passage")))
    return table


def _cell(text: str, most: int = 100) -> Text:
    plain = "".join(character if character.isprintable() else " " for character in text[: most + 1])
    return Text(plain if len(text) <= most else plain[: most - 3] + "...")


def _value(figure: Figure) -> str:
    return "none" if figure.value is None else _number(figure.name, figure.value)


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{_number(figure.name, figure.low)} to {_number(figure.name, figure.high)}"


def _number(name: str, value: float) -> str:
    return f"{value:.1%}" if name in _RATES else f"{value:.{_DIGITS[name]}f}"


class Found(Protocol):
    """An evaluation, a report."""

    def to_json(self) -> dict[str, Any]: ...


def write_json(path: str, found: Found) -> None:
    """Write what a command found; nothing in it is NaN.

    Raises:
        HardnegError: it can't be written.
    """
    data = json.dumps(found.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with explaining(path):
        storage.write_file(path, lambda sink: sink.write(data.encode()))

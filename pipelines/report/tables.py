"""What `hardneg report` found, as tables for a terminal; nothing here prints."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from hardneg.pipelines.report.report import Report
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.reports.other_thresholds import UNSUPPORTED, Outcome
from hardneg.transforms.reports.tallies import GROUPS, Histogram

KIND_TITLES = {
    "false_negative_rate": "false-negative rate",
    "leak_rate": "leak rate",
    "sigmoid": "sigmoid of the logit",
}
GROUP_TITLES = {
    "positive": "known positives",
    "mined": "mined",
    "passed": "passed, not mined",
    "suspected_positive": "suspected positives",
    "other": "dropped, unscored",
}
SCORE_TITLES = {"judge_score": "judge's score", LOGIT: "logit"}
_BLOCKS = "▁▂▃▄▅▆▇█"
_NONE = "-"


def outcome_tables(found: Report) -> list[Table]:
    """Return what targets and thresholds would keep, a table a kind.

    A rate never stands without its status, yield and hardness.
    """
    kinds = dict.fromkeys(each.kind for each in found.outcomes)
    return [_outcome_table([each for each in found.outcomes if each.kind == kind], found) for kind in kinds]


def _outcome_table(rows: list[Outcome], found: Report) -> Table:
    headings = (
        *("", "below", f"all {found.negatives},\nnone", "mined", "yield", "simi-\nlarity", "fused\nrank"),
        *("false:\nexpected", "at\nmost", "status", "gamma\nup to", "leak\nrate"),
    )
    cells = [outcome_cells(each) for each in rows]
    return _grid(headings, cells, ("status",), f"By {KIND_TITLES[rows[0].kind]}", gap=1)


def outcome_cells(each: Outcome) -> list[str]:
    """Return a target or threshold, what it keeps, and its rates, in the order of the table's columns."""
    kept = each.kept
    threshold = _NONE if each.threshold is None else f"{each.threshold:.3g}"
    if each.scale == "sigmoid" and each.kind != "sigmoid":
        threshold = f"sigmoid {threshold}"
    figures = [_NONE] * 5
    if kept:
        figures = [
            f"{kept.queries_full:,}, {kept.queries_none:,}",
            f"{kept.mined:,}",
            share(kept.yielded),
            number(kept.similarity, 3),
            number(kept.fused_rank, 1),
        ]
    rates = [share(each.expected_rate), share(each.upper_bound)]
    largest = number(each.largest_gamma, 2)
    return [f"{each.value:g}", threshold, *figures, *rates, each.status, largest, share(each.leak_rate)]


def sample_line(found: Report) -> Text:
    """Return what the outcomes are counted on."""
    gammas = sorted({each.gamma for each in found.outcomes if each.gamma is not None})
    text = (
        f"What would be kept of the calibration sample: {found.sample['queries']:,} queries, "
        f"{found.sample['positives_counted']:,} known positives to estimate from; the judge is {found.judge}"
    )
    if gammas:
        text += f"; the most that may be false is at gamma {' and '.join(f'{each:.3g}' for each in gammas)}"
    return Text(plain(text + "."))


def reason_lines(found: Report) -> list[Text]:
    """Return why what is unsupported is so, one line a reason."""
    by_reason: dict[str, list[str]] = {}
    for each in found.outcomes:
        if each.status == UNSUPPORTED:
            by_reason.setdefault(each.reason, []).append(f"{KIND_TITLES[each.kind]} {each.value:g}")
    return [
        Text(plain(f"{', '.join(rows)}: {UNSUPPORTED}: {reason.removesuffix('.')}."))
        for reason, rows in by_reason.items()
    ]


def mined_line(found: Report) -> Text:
    """Return what the run itself kept."""
    mined = found.mined
    return Text(
        f"{mined.mined:,} negatives of {mined.queries:,} queries mined: yield {share(mined.yielded)}, mean similarity "
        f"{number(mined.similarity, 3)}, mean fused rank {number(mined.fused_rank, 1)}; {mined.queries_full:,} "
        f"queries have {'their one' if found.negatives == 1 else f'all {found.negatives}'}, "
        f"{mined.queries_none:,} none."
    )


def count_table(found: Report) -> Table:
    """Return how many candidates have each verdict and each reason."""
    verdicts = sorted(found.verdicts.items(), key=lambda pair: -pair[1])
    reasons = sorted(found.reasons.items(), key=lambda pair: -pair[1])
    cells = []
    for place in range(max(len(verdicts), len(reasons))):
        pairs = [counted[place] if place < len(counted) else ("", None) for counted in (verdicts, reasons)]
        cells.append([cell for name, number in pairs for cell in (name, "" if number is None else f"{number:,}")])
    return _grid(("verdict", "pairs", "reason", "pairs"), cells, ("verdict", "reason"))


def source_table(found: Report) -> Table:
    """Return what each retriever found, and its share of all; a passage may have several sources."""
    headings = ("found by", *(GROUP_TITLES[group].replace(" ", "\n", 1) for group in GROUPS), "similarity\nof mined")
    cells = []
    for name, counts in found.sources.items():
        shares = [f"{counts[group]:,}{_of(counts[group], found.groups[group])}" for group in GROUPS]
        cells.append([name, *shares, number(counts["similarity_of_mined"], 3)])
    cells.append(["all", *(f"{found.groups[group]:,}" for group in GROUPS), number(found.mined.similarity, 3)])
    return _grid(headings, cells, ("found by",))


def histogram_table(drawn: Histogram) -> Table:
    """Return a histogram: a line a group, its tallest bar full; under them the run's threshold."""
    low, high = (f"{each:.3g}" for each in (drawn.edges[0], drawn.edges[-1])) if drawn.edges else ("", "")
    bars = max(1, len(drawn.edges) - 1)
    score, axis = f"by {SCORE_TITLES[drawn.score]}", f"{low}{high.rjust(max(1, bars - len(low)))}"
    cells = [
        [
            GROUP_TITLES[group],
            f"{sum(drawn.counts[group]):,}",
            f"{drawn.unscored[group]:,}",
            bar_line(drawn.counts[group]),
        ]
        for group in GROUPS
    ]
    if drawn.threshold is not None and drawn.edges:
        place = sum(each <= drawn.threshold for each in drawn.edges[1:-1])
        cells.append([f"threshold {drawn.threshold:.3g}", "", "", " " * place + "^"])
    return _grid((score, "scored", "unscored", axis), cells, (score, axis))


def bar_line(counts: list[int]) -> str:
    """Return counts as bars of one line; one that is not 0 is never invisible."""
    most = max(counts, default=0)
    return "".join(_BLOCKS[-(-each * len(_BLOCKS) // most) - 1] if each else " " for each in counts)


def _grid(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: Collection[str],
    title: str | None = None,
    gap: int = 2,
) -> Table:
    """Return a table as wide as it must be: a figure cut short would be another one, so a narrow terminal wraps."""
    rows = [[plain(cell) for cell in row] for row in rows]
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, gap, 0, 0)
    )
    table.width = gap * (len(headings) - 1)
    for place, heading in enumerate(headings):
        table.width += max(cell_len(line) for line in (*heading.split("\n"), *(row[place] for row in rows)))
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell, style="yellow" if cell == UNSUPPORTED else "") for cell in row))
    return table


def share(value: float | None) -> str:
    """Return a share as per cent."""
    return _NONE if value is None else f"{value:.1%}"


def number(value: float | None, digits: int) -> str:
    """Return a number with so many digits after the point."""
    return _NONE if value is None else f"{value:.{digits}f}"


def _of(part: int, whole: int) -> str:
    return f" {part / whole:.0%}" if whole else ""


def plain(text: str) -> str:
    """Return text without what moves a cursor or starts a line."""
    return "".join(character if character.isprintable() else " " for character in text)


def denoising_text(denoising: dict[str, Any]) -> str | None:
    """Return the same without a style; None where nothing is promised."""
    if denoising.get("status") is None:
        return None
    figures, status, text = denoising["figures"], denoising["status"], denoising["reason"]
    text = text if text.startswith(status) else f"{status}: {text}"
    if denoising["threshold"] is not None:
        text += f" (threshold {denoising['threshold']:.4g} on the judge {denoising['judge']})"
    if figures.get("hardness") is not None:
        text += (
            f"; in the sample of {denoising['sample']['queries']:,} queries: yield {figures['yield']:.1%}, hardness "
            f"{figures['hardness']:.3f}"
        )
    return text + "."


def denoising_line(denoising: dict[str, Any]) -> Text | None:
    """Return what is promised of the negatives: always the status, and yield and hardness beside it."""
    text = denoising_text(denoising)
    return None if text is None else Text(text, style="yellow" if denoising["status"] == "unsupported" else "")

"""`report.html`: a run's report as one page that loads nothing, for a person to read in a minute."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hardneg.errors import RunError
from hardneg.pipelines.options.finished import REPORT
from hardneg.pipelines.options.stored import config_of
from hardneg.pipelines.report import plots as report_plots
from hardneg.pipelines.report.difference import (
    change_line,
    change_rows,
    drift_line,
    figure_rows,
    read_difference,
    score_rows,
    store_line,
)
from hardneg.pipelines.report.page import (
    Overlap,
    drop_groups,
    first_line,
    overlap_of,
    pairs_of,
    promise_rows,
    queries_line,
    ran_on,
    readable,
    status_of,
    steps_of,
    triplets_of,
)
from hardneg.pipelines.report.report import Report
from hardneg.pipelines.report.tables import (
    GROUP_TITLES,
    KIND_TITLES,
    SCORE_TITLES,
    number,
    outcome_cells,
    reason_lines,
    sample_line,
)
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.files import first_line as first_line_of
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.reports.funnel import Step
from hardneg.transforms.reports.highlights import Highlights, highlights
from hardneg.transforms.reports.tallies import GROUPS, Histogram

_TEMPLATE = "report_page.html"
_OVERLAP_TITLES = {"all": "all pairs", "mined": "mined", "positive": "known positives"}
_OUTCOME_HEADINGS = (
    *("", "status", "below", "queries with all, none", "mined", "yield", "similarity", "fused rank"),
    *("false: expected", "at most", "gamma up to", "leak rate"),
)


def write_report(found: Report) -> str:
    """Write a run's page into its folder; return the page's path.

    Raises:
        HardnegError: it can't be written, or the run lacks what it needs.
    """
    run = FinishedRun.open(found.run)
    config = config_of(run)
    seen = highlights(run, config.sources, config.relabel_suspected)
    data = page(found, run, seen).encode("utf-8", "replace")
    path = storage.join(found.run, REPORT)
    try:
        storage.write_file(path, lambda sink: sink.write(data))
    except Exception as error:  # the clients of object stores have exceptions of their own
        raise RunError(f"{path} can't be written ({first_line_of(error)}).") from error
    return path


def page(found: Report, run: FinishedRun, seen: Highlights) -> str:
    """Return a run's page.

    Args:
        found: its report.
        run: the run itself.
        seen: its highlights.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["readable"] = readable
    environment.filters["whole_options"] = _whole_options
    template = environment.from_string(Path(__file__).with_name(_TEMPLATE).read_text(encoding="utf-8"))
    steps, overlap = steps_of(found, seen), overlap_of(seen)
    manifest, config = run.manifest, config_of(run)
    return template.render(
        name=found.run.rstrip("/").rsplit("/", 1)[-1],
        first_line=first_line(found),
        status=status_of(found.promised),
        ran_on=ran_on(manifest, config, run.judge),
        queries_line=queries_line(found, manifest),
        funnel=_funnel_plot(steps),
        drops=drop_groups(steps),
        histograms=[(drawn, _histogram_plot(drawn), _histogram_rows(drawn)) for drawn in found.histograms],
        score_titles=SCORE_TITLES,
        promise=promise_rows(found.promised),
        overlap=overlap,
        overlap_plot=_overlap_plot(overlap),
        colours=report_plots.SHARE_COLOURS,
        overlap_titles=list(_OVERLAP_TITLES.values()),
        difficulty=_difficulty_plot(seen),
        triplets=triplets_of(seen),
        suspicious_positives=pairs_of(seen, seen.positives, "positive"),
        suspicious_negatives=pairs_of(seen, seen.negatives, "negative"),
        seconds=_seconds_plot(manifest.get("seconds", {})),
        wall_seconds=manifest.get("wall_seconds"),
        sample_line=sample_line(found).plain,
        outcomes=_outcome_tables(found),
        outcome_headings=_OUTCOME_HEADINGS,
        reasons=[line.plain for line in reason_lines(found)],
        difference=_difference(found.run),
        notes=found.notes,
        version=manifest.get("hardneg", ""),
    )


def _difference(folder: str) -> dict[str, Any] | None:
    """Return what the page says of a snapshot's difference to the one before; None for a run that is none."""
    told = read_difference(folder)
    if told is None or told["before"] is None:
        return None
    return {
        "before": told["before"],
        "now": told["now"],
        "changed": ", ".join(told.get("changed", [])),
        "figures": figure_rows(told),
        "lines": [line for line in (change_line(told), drift_line(told), store_line(told)) if line],
        "changes": change_rows(told),
        "scores": [(SCORE_TITLES[name], score_rows(drawn)) for name, drawn in told["scores"].items() if drawn["edges"]],
    }


def _whole_options(text: str) -> Any:
    """Return a sentence of ours as markup in which no option's name is broken at the end of a line."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"--[a-z][a-z-]*", r'<span class="option">\g<0></span>', str(escape(readable(text)))))


def _markup(svg: str) -> Any:
    """Say that a plot is markup already: what stands in it was escaped when it was drawn."""
    from markupsafe import Markup

    return Markup(svg)


def _funnel_plot(steps: Sequence[Step]) -> Any:
    rows = [(step.name, step.left, f"{step.left:,}") for step in steps]
    return _markup(report_plots.bar_plot("funnel", "Pairs that are left at each step.", rows))


def _histogram_plot(drawn: Histogram) -> Any:
    if not drawn.edges:
        return None
    title = f"Histograms of the {SCORE_TITLES[drawn.score]}, by group."
    return _markup(report_plots.histogram_plot(drawn.score, title, drawn, SCORE_TITLES[drawn.score]))


def _histogram_rows(drawn: Histogram) -> list[list[str]]:
    """Return a histogram as a table: its groups, then a row a bar, then those without a score."""
    bars = [
        [f"{low:.3g} to {high:.3g}", *(f"{drawn.counts[group][place]:,}" for group in GROUPS)]
        for place, (low, high) in enumerate(zip(drawn.edges, drawn.edges[1:], strict=False))
    ]
    return [
        ["", *(GROUP_TITLES[group] for group in GROUPS)],
        *bars,
        ["no score", *(f"{drawn.unscored[group]:,}" for group in GROUPS)],
    ]


def _overlap_plot(overlap: Overlap) -> Any:
    rows = [(_OVERLAP_TITLES[group], counts) for group, counts in overlap.by_group.items()]
    title = "Share of pairs by the retrievers that found them."
    colours = report_plots.SHARE_COLOURS[: len(overlap.names)]
    return _markup(report_plots.share_plot("overlap", title, rows, overlap.names, colours))


def _difficulty_plot(seen: Highlights) -> Any:
    if not seen.difficulty.sum():
        return None
    return _markup(
        report_plots.difficulty_plot("difficulty", "Mined negatives by difficulty.", seen.difficulty.tolist())
    )


def _seconds_plot(seconds: dict[str, float]) -> Any:
    if not seconds:
        return None
    rows = [
        (stage, value, f"{number(value, 0 if value >= 10 else 1)} s")
        for stage, value in sorted(seconds.items(), key=lambda item: (-item[1], item[0]))
    ]
    return _markup(report_plots.bar_plot("seconds", "Seconds per stage.", rows, report_plots.GREY))


def _outcome_tables(found: Report) -> list[tuple[str, list[tuple[bool, list[str]]]]]:
    """Return what other targets and thresholds would keep: (title, rows); the run's own target is marked."""
    own = found.promised.get("target")
    return [
        (
            f"By {KIND_TITLES[kind]}",
            [
                (kind == "false_negative_rate" and each.value == own, _status_first(outcome_cells(each)))
                for each in found.outcomes
                if each.kind == kind
            ],
        )
        for kind in dict.fromkeys(each.kind for each in found.outcomes)
    ]


def _status_first(cells: list[str]) -> list[str]:
    """Return the cells of an outcome with its status after what was asked: a narrow window shows it with the rest."""
    asked, *figures, status, gamma, leak = cells
    return [asked, status, *figures, gamma, leak]

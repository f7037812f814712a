"""The commands that read finished data, as the command line has them: audit, evaluate, report, export."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import App, Parameter

from hardneg.errors import HardnegError
from hardneg.pipelines.options.command_line import JSON_FILE, WHY, option_of
from hardneg.pipelines.options.exit_codes import DONE, FAULTS
from hardneg.pipelines.options.finished import (
    AUDIT_DEFAULTS,
    EVALUATE_DEFAULTS,
    REPORT_DEFAULTS,
    AuditOptions,
    EvaluateOptions,
    ExportOptions,
    ReportOptions,
)
from hardneg.pipelines.terminal.said import LOG, OUTPUT, TOLD


def add_finished_commands(app: App) -> None:
    """Add them to a command line."""
    app.command(_audit, name="audit")
    app.command(_evaluate, name="evaluate")
    app.command(_report_run, name="report")
    app.command(_export, name="export")


def _audit(
    triplets: Annotated[
        list[str], Parameter(help="A run of ours, a folder, or files: triplets, n-tuples or lists, Parquet or JSONL.")
    ],
    /,
    *,
    config: Annotated[AuditOptions, Parameter(name="*")] = AUDIT_DEFAULTS,
) -> int:
    """Check a set of training data, ours or another tool's: exit code 1 if anything is wrong with it."""
    from hardneg.pipelines.commands.audit import audit
    from hardneg.pipelines.terminal.tables import fault_table

    report = audit(triplets, config)
    OUTPUT.print(
        f"{report.rows:,} rows with {report.negatives:,} negatives of {report.anchors:,} different anchors in "
        f"{report.files:,} files: {'nothing wrong was found.' if report.clean else 'this is wrong:'}"
    )
    for note in [*report.notes, *(report.batches.sentences() if report.batches else ())]:
        OUTPUT.print(note, markup=False)
    faults = {fault.kind: fault.count for fault in report.faults}
    figures: dict[str, Any] = {"rows": report.rows, "negatives": report.negatives, "faults": faults}
    if report.batches:
        figures["batches"] = asdict(report.batches)
    TOLD.update(figures=figures, notes=report.notes)
    if report.clean:
        return DONE
    OUTPUT.print(fault_table(report))
    return FAULTS


def _evaluate(
    folder: Annotated[str, Parameter(name="RUN", help="The --output folder of a finished run.")],
    /,
    *,
    json_file: Annotated[str | None, Parameter(name="--json", help=JSON_FILE[0])] = None,
    config: Annotated[EvaluateOptions, Parameter(name="*")] = EVALUATE_DEFAULTS,
) -> int:
    """Evaluate a finished run against judgements it was not told of, or against a person's."""
    from hardneg.pipelines.commands.evaluate import evaluate
    from hardneg.pipelines.terminal import tables
    from hardneg.pipelines.terminal.tables import write_json

    evaluation = evaluate(folder, config)
    if evaluation.drawn:
        OUTPUT.print(
            f"{evaluation.drawn:,} mined pairs in {config.sheet}. Write y in the last column where the negative is "
            "relevant to the query after all, n where it is not, from the first row on without leaving one out; then "
            f"give the file to --marked{f' with --seed {config.seed}' if config.seed else ''}.",
            markup=False,
        )
    if evaluation.figures:
        OUTPUT.print(tables.figure_table(evaluation))
    for note in evaluation.notes:
        OUTPUT.print(note)
    if evaluation.relevant_pairs:
        OUTPUT.print("Found relevant:", tables.pair_table(evaluation), sep="\n")
    if json_file:
        write_json(json_file, evaluation)
    TOLD.update(evaluation.to_json())
    return DONE


def _report_run(
    folder: Annotated[str, Parameter(name="RUN", help="The --output folder of a finished run.")],
    /,
    *,
    json_file: Annotated[str | None, Parameter(name="--json", help=JSON_FILE[0])] = None,
    pair: Annotated[
        tuple[str, str] | None,
        Parameter(name="--why", allow_leading_hyphen=True, help=WHY[0]),
    ] = None,
    config: Annotated[ReportOptions, Parameter(name="*")] = REPORT_DEFAULTS,
) -> int:
    """Report what a finished run kept, and what it would keep at other targets; writes RUN/report.html again."""
    if pair:
        return _why(folder, *pair)
    from hardneg.pipelines.report import tables as report_tables
    from hardneg.pipelines.report.html import write_report
    from hardneg.pipelines.report.report import report
    from hardneg.pipelines.report.tables import denoising_line
    from hardneg.pipelines.terminal.tables import write_json

    found = report(folder, config)
    OUTPUT.print(report_tables.mined_line(found))
    if line := denoising_line(found.promised):
        OUTPUT.print(line)
    for table in (report_tables.count_table(found), report_tables.source_table(found)):
        OUTPUT.print("", table, sep="\n")
    for drawn in found.histograms:
        OUTPUT.print("", report_tables.histogram_table(drawn), sep="\n")
    OUTPUT.print("", report_tables.sample_line(found), sep="\n")
    for table in report_tables.outcome_tables(found):
        OUTPUT.print("", table, sep="\n")
    for reason in report_tables.reason_lines(found):
        OUTPUT.print(reason)
    for note in found.notes:
        OUTPUT.print(note, markup=False)
    if json_file:
        write_json(json_file, found)
    TOLD.update(figures=found.mined.to_json(), run=folder)
    try:
        page = write_report(found)
        TOLD.update(paths={"report": page})
        OUTPUT.print(f"All of it as a page: {page}", markup=False)
    except HardnegError as error:
        LOG.print(
            f"No page was written: {error.told(option_of)}",
            style="yellow",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return DONE


def _why(folder: str, query: str, passage: str) -> int:
    from hardneg.pipelines.report.why import why
    from hardneg.pipelines.report.why_table import why_table

    for place, answer in enumerate(why(folder, query, passage)):
        if place:
            OUTPUT.print()
        OUTPUT.print(why_table(answer))
    return DONE


def _export(
    folder: Annotated[str, Parameter(name="RUN", help="The --output folder of a finished run.")],
    /,
    *,
    config: Annotated[ExportOptions, Parameter(name="*")],
) -> int:
    """Export a finished run in the form that a trainer takes."""
    from hardneg.pipelines.commands.export import export, summary

    lines = list(summary(export(folder, config), config.output))
    for line in lines:
        OUTPUT.print(line, markup=False)
    TOLD.update(said=lines, paths={"output": config.output})
    return DONE

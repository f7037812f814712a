"""`hardneg SUBCOMMAND`: the only module that parses arguments and prints."""

# ruff: noqa: E402 - what is set up here must be set before other libraries are imported

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

# Before transformers is imported: neither its advice nor its download bars belong in this program's output.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

# Beam warns of missing cloud libraries while it is imported.
logging.getLogger().setLevel(logging.ERROR)

import cyclopts
from cyclopts import App, Parameter
from pydantic import BaseModel, ValidationError
from rich.console import Console

from hardneg import __version__
from hardneg.errors import HardnegError, OptionError, parameter

FAULTS = 1  # what an audit found, in the user's data
USER_ERROR = 2
INTERRUPTED = 130

app = App(
    name="hardneg",
    version=__version__,
    help="Denoised hard negatives for embedding models. Options of Apache Beam, the runner included, go after `--`.",
    default_parameter=Parameter(
        negative=(), consume_multiple=True, show_default=lambda value: str(value) if value else None
    ),
)
_output = Console(soft_wrap=True, highlight=False)
_log = Console(stderr=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 a mistake of the user's, 130 interrupted, 1 a bug or a finding."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Run the command line; return the exit code."""
    _quiet()
    here, beam_args = _split(argv)
    try:
        if here and here[0] in _MINING:
            refuse_unwritten(here)
        command, bound, _ = app.parse_args(here, exit_on_error=False, print_error=False)
        if command in (_mine, _calibrate, _refresh, _train_judge):
            return command(*bound.args, **bound.kwargs, beam_args=beam_args)
        result = command(*bound.args, **bound.kwargs)
        return result if isinstance(result, int) else 0
    except cyclopts.CycloptsError as error:
        return _complain(_text_of(error))
    except HardnegError as error:
        return _complain(error.told(told_to_mine if here and here[0] in _MINING else option_of))
    except KeyboardInterrupt:
        _log.print(
            "Interrupted. What was embedded and scored so far stays in the work folder (OUTPUT.work unless --work "
            "says otherwise); the same command goes on from there.",
            soft_wrap=True,
        )
        return INTERRUPTED


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Split the arguments at the first ``--``: ours, then Beam's."""
    if "--" not in argv:
        return argv, []
    place = argv.index("--")
    return argv[:place], argv[place + 1 :]


def _tell(line: str) -> None:
    _log.print(line, markup=False, highlight=False, soft_wrap=True)


def _complain(message: str) -> int:
    _log.print(f"hardneg: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    return USER_ERROR


def _text_of(error: cyclopts.CycloptsError) -> str:
    from hardneg.pipelines.options.files import problems_of

    if isinstance(error, cyclopts.UnknownOptionError) and (gone := gone_option(error.token.keyword or "")):
        return gone.told(option_of)
    cause = error.__cause__ or error.__context__
    return OptionError(problems_of(cause)).told(option_of) if isinstance(cause, ValidationError) else str(error)


def _quiet() -> None:
    """Keep other libraries' chatter out; their warnings name things that our users cannot change."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    for name in ("transformers", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Beam logs every exception of a worker with its traceback, and raises it too.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)


from hardneg.pipelines.options.command_line import (
    CONFIG,
    DRY_RUN,
    JSON_FILE,
    WHY,
    arguments_of,
    config_of_arguments,
    gone_option,
    option_of,
    options_of_arguments,
    refuse_unwritten,
    told_to_mine,
)
from hardneg.pipelines.options.finished import (
    AUDIT_DEFAULTS,
    EVALUATE_DEFAULTS,
    REPORT_DEFAULTS,
    AuditOptions,
    EvaluateOptions,
    ExportOptions,
    ReportOptions,
)
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.refresh import ASIDE, RefreshOptions
from hardneg.pipelines.options.train import TrainOptions

if TYPE_CHECKING:
    MineArguments = BaseModel
    RefreshArguments = BaseModel
else:
    MineArguments = arguments_of(MineConfig)
    RefreshArguments = arguments_of(MineConfig, ASIDE)
NOTHING_GIVEN = MineArguments()
NOTHING_TO_REFRESH = RefreshArguments()
_MINING = ("mine", "calibrate", "refresh")


@app.command(name="mine")
def _mine(
    *,
    config_file: Annotated[Path | None, Parameter(name="--config", help=CONFIG[0])] = None,
    dry_run: Annotated[bool, Parameter(help=DRY_RUN[0])] = False,
    given: Annotated[MineArguments, Parameter(name="*")] = NOTHING_GIVEN,
    beam_args: Annotated[list[str], Parameter(parse=False)],
) -> int:
    """Mine hard negatives: from a corpus, queries and known positives to Parquet triplets."""
    from hardneg.pipelines.commands.driver import mine
    from hardneg.pipelines.runs.work_folder import notes
    from hardneg.pipelines.terminal.display import watching

    config = config_of_arguments(given, config_file)
    if dry_run and config.from_run:
        raise OptionError(
            f"{parameter('dry_run')} has nothing to tell of {parameter('from_run')} RUN: it takes seconds; run it."
        )
    if dry_run:
        from hardneg.pipelines.commands.estimate import estimate, scratch

        with scratch(config) as trial, watching(trial.work_folder, _log):
            lines = estimate(trial, beam_args)
        for line in lines:
            _output.print(line, markup=False)
        return 0
    for note in notes(config):
        _log.print(note, soft_wrap=True)
    with watching(config.work_folder, _log):
        manifest = mine(config, beam_args)
    _report(config.output, manifest)
    return 0


def _report(output: str, manifest: dict[str, Any]) -> None:
    from hardneg.pipelines.terminal.tables import mined_lines

    for line in mined_lines(output, manifest):
        _output.print(line, markup=False)
    if not any(shard["name"].startswith("triplets/") for shard in manifest["shards"]):
        _log.print("No triplet was written: no candidate passed. See the verdicts in candidates/.", style="yellow")


@app.command(name="calibrate")
def _calibrate(
    *,
    config_file: Annotated[Path | None, Parameter(name="--config", help=CONFIG[0])] = None,
    given: Annotated[MineArguments, Parameter(name="*")] = NOTHING_GIVEN,
    beam_args: Annotated[list[str], Parameter(parse=False)],
) -> int:
    """Calibrate the judge and its threshold on a sample; --output is the judge.json for `mine --judge-file`."""
    from hardneg.pipelines.commands.calibrate import calibrate
    from hardneg.pipelines.report.tables import denoising_line
    from hardneg.pipelines.terminal import tables
    from hardneg.pipelines.terminal.display import watching

    config = config_of_arguments(given, config_file)
    with watching(config.work_folder, _log):
        judge, notes = calibrate(config, beam_args)
    _output.print(tables.judge_table(judge))
    _output.print(denoising_line(judge.manifest_entry()) or "No target was asked for; nothing is promised.")
    for note in notes:
        _output.print(note, markup=False)
    return 0


@app.command(name="refresh")
def _refresh(
    *,
    config_file: Annotated[Path | None, Parameter(name="--config", help=CONFIG[0])] = None,
    asked: Annotated[RefreshOptions, Parameter(name="*")],
    given: Annotated[RefreshArguments, Parameter(name="*")] = NOTHING_TO_REFRESH,
    beam_args: Annotated[list[str], Parameter(parse=False)],
) -> int:
    """Mine again what changed, into a dated snapshot of a store; publish it if it passes its gates."""
    from hardneg.pipelines.commands.refresh import refresh
    from hardneg.pipelines.terminal.display import watching
    from hardneg.transforms.core import storage

    with watching(storage.join(asked.store, "work"), _log):
        done = refresh(asked, options_of_arguments(given, config_file), beam_args, _tell)
    _output.print(f"{done.date}: {', '.join(done.changed) or 'nothing changed'}")
    return 0


@app.command(name="publish")
def _publish(work: Annotated[str, Parameter(name="WORK", help="The work folder of a run.")], /) -> int:
    """Publish a run whose pipeline has ended: manifest, card, page, formats, gates, LATEST. May be called twice."""
    from hardneg.pipelines.commands.publish import publish

    done = publish(work, _tell)
    _output.print(f"{done.folder}: {'published before' if done.again else 'published'}")
    return 0


@app.command(name="train-judge")
def _train_judge(
    *,
    config: Annotated[TrainOptions, Parameter(name="*")],
    beam_args: Annotated[list[str], Parameter(parse=False)],
) -> int:
    """Train a cross-encoder on known positives, with negatives of hardneg's own, or on scored pairs."""
    from hardneg.pipelines.commands.train_judge import train_judge
    from hardneg.pipelines.terminal.display import TrainingDisplay

    with TrainingDisplay(_log) as display:
        trained = train_judge(config, beam_args, display)
    retrieved = "" if trained.mrr_retrieved is None else f", {trained.mrr_retrieved:.3f} as retrieved"
    _output.print(
        f"{config.output}: MRR@10 of the held-out queries {trained.mrr_trained:.3f}; {trained.mrr_base:.3f} by the "
        f"base{retrieved}."
    )
    if trained.mrr_trained <= trained.mrr_base:
        _log.print("It is no better than its base: give more data, or another base.", style="yellow")
    return 0


@app.command(name="audit")
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
    _output.print(
        f"{report.rows:,} rows with {report.negatives:,} negatives of {report.anchors:,} different anchors in "
        f"{report.files:,} files: {'nothing wrong was found.' if report.clean else 'this is wrong:'}"
    )
    for note in report.notes:
        _output.print(note, markup=False)
    if report.clean:
        return 0
    _output.print(fault_table(report))
    return FAULTS


@app.command(name="evaluate")
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

    evaluation = evaluate(folder, config)
    if evaluation.drawn:
        _output.print(
            f"{evaluation.drawn:,} mined pairs in {config.sheet}. Write y in the last column where the negative is "
            "relevant to the query after all, n where it is not, from the first row on without leaving one out; then "
            f"give the file to --marked{f' with --seed {config.seed}' if config.seed else ''}.",
            markup=False,
        )
    if evaluation.figures:
        _output.print(tables.figure_table(evaluation))
    for note in evaluation.notes:
        _output.print(note)
    if evaluation.relevant_pairs:
        _output.print("Found relevant:", tables.pair_table(evaluation), sep="\n")
    if json_file:
        tables.write_json(json_file, evaluation)
    return 0


@app.command(name="report")
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
    from hardneg.pipelines.terminal.tables import write_json

    found = report(folder, config)
    _output.print(report_tables.mined_line(found))
    if line := report_tables.denoising_line(found.promised):
        _output.print(line)
    for table in (report_tables.count_table(found), report_tables.source_table(found)):
        _output.print("", table, sep="\n")
    for drawn in found.histograms:
        _output.print("", report_tables.histogram_table(drawn), sep="\n")
    _output.print("", report_tables.sample_line(found), sep="\n")
    for table in report_tables.outcome_tables(found):
        _output.print("", table, sep="\n")
    for reason in report_tables.reason_lines(found):
        _output.print(reason)
    for note in found.notes:
        _output.print(note, markup=False)
    if json_file:
        write_json(json_file, found)
    try:
        _output.print(f"All of it as a page: {write_report(found)}", markup=False)
    except HardnegError as error:
        said = f"No page was written: {error.told(option_of)}"
        _log.print(said, style="yellow", markup=False, highlight=False, soft_wrap=True)
    return 0


def _why(folder: str, query: str, passage: str) -> int:
    from hardneg.pipelines.report.why import why
    from hardneg.pipelines.report.why_table import why_table

    for place, answer in enumerate(why(folder, query, passage)):
        if place:
            _output.print()
        _output.print(why_table(answer))
    return 0


@app.command(name="export")
def _export(
    folder: Annotated[str, Parameter(name="RUN", help="The --output folder of a finished run.")],
    /,
    *,
    config: Annotated[ExportOptions, Parameter(name="*")],
) -> int:
    """Export a finished run in the form that a trainer takes."""
    from hardneg.pipelines.commands.export import export, summary

    for line in summary(export(folder, config), config.output):
        _output.print(line, markup=False)
    return 0


@app.command(name="store")
def _store(
    root: Annotated[str, Parameter(name="STORE", help="The folder of `mine --store` or `refresh --store`.")],
    /,
    *,
    verify: Annotated[bool, Parameter(help="Read everything again; damaged files are set aside. Exit code 1.")] = False,
    gc: Annotated[bool, Parameter(help="Drop what no kept output uses, and put small files together.")] = False,
    json_line: Annotated[bool, Parameter(name="--json", help="Print one line of JSON instead.")] = False,
) -> int:
    """Say what a store holds, by model; verify it, or drop what no kept output uses."""
    from hardneg.pipelines.commands.store import Store
    from hardneg.pipelines.terminal import store_tables

    store = Store(root)
    done: dict[str, Any] = {"store": root}
    if verify:
        done["verify"] = store.verify()
    if gc:
        done["gc"] = store.collect()
    if not (verify or gc):
        done["list"] = store.shelves()
    if json_line:
        _output.print(json.dumps(done, ensure_ascii=False), markup=False)
    else:
        for part in store_tables.told(done):
            _output.print(part, markup=False)
    return FAULTS if verify and done["verify"]["damaged"] else 0


if __name__ == "__main__":
    main()

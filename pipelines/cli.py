"""`hardneg SUBCOMMAND`: parses arguments and prints, with the commands of finished data in ``terminal``."""

# ruff: noqa: E402 - what is set up here must be set before other libraries are imported

from __future__ import annotations

import logging
import os
import sys
import traceback
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

from hardneg import __version__
from hardneg.errors import HardnegError, OptionError, parameter
from hardneg.pipelines.options.exit_codes import DONE, FAULTS, INTERRUPTED, REFUSED, code_of

app = App(
    name="hardneg",
    version=__version__,
    help="Denoised hard negatives for embedding models. Options of Apache Beam, the runner included, go after `--`.",
    default_parameter=Parameter(
        negative=(), consume_multiple=True, show_default=lambda value: str(value) if value else None
    ),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit; ``exit_codes`` says what each code means, 1 a bug or a finding."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Run the command line; return the exit code."""
    quiet()
    argv, as_json = without_flag(argv) if argv else (argv, False)
    TOLD.clear()
    error: BaseException | None = None
    try:
        code = _run(argv)
    except Exception as failure:
        if not as_json:
            raise
        traceback.print_exc()
        code, error = FAULTS, failure
    if as_json:
        told = dict(TOLD)
        if error is None:
            error = told.pop("error", None)
        print(json_line(argv[0] if argv else "", code, told, error))
    return code


def _run(argv: list[str]) -> int:
    here, beam_args = split_arguments(argv)
    try:
        if here and here[0] in _MINING:
            refuse_unwritten(here)
        if here and here[0] == "refresh":
            here = with_rollback(here)
        command, bound, _ = app.parse_args(here, exit_on_error=False, print_error=False)
        if command in (_mine, _calibrate, _refresh, _train_judge):
            return command(*bound.args, **bound.kwargs, beam_args=beam_args)
        result = command(*bound.args, **bound.kwargs)
        return result if isinstance(result, int) else DONE
    except cyclopts.CycloptsError as error:
        told = OptionError(_text_of(error))
        return _complain(told, str(told))
    except HardnegError as error:
        return _complain(error, error.told(told_to_mine if here and here[0] in _MINING else option_of))
    except KeyboardInterrupt:
        LOG.print(
            "Interrupted. What was embedded and scored so far stays in the work folder (OUTPUT.work unless --work "
            "says otherwise; STORE/work of a refresh); the same command goes on from there.",
            soft_wrap=True,
        )
        return INTERRUPTED


def split_arguments(argv: list[str]) -> tuple[list[str], list[str]]:
    """Split the arguments at the first ``--``: ours, then Beam's."""
    if "--" not in argv:
        return argv, []
    place = argv.index("--")
    return argv[:place], argv[place + 1 :]


def _complain(error: HardnegError, message: str) -> int:
    TOLD["error"] = error
    LOG.print(f"hardneg: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    return code_of(error)


def _text_of(error: cyclopts.CycloptsError) -> str:
    from hardneg.pipelines.options.files import problems_of

    if isinstance(error, cyclopts.UnknownOptionError) and (gone := gone_option(error.token.keyword or "")):
        return gone.told(option_of)
    cause = error.__cause__ or error.__context__
    return OptionError(problems_of(cause)).told(option_of) if isinstance(cause, ValidationError) else str(error)


from hardneg.pipelines.options.command_line import (
    CONFIG,
    DRY_RUN,
    NO_WAIT,
    ROLLBACK,
    arguments_of,
    config_of_arguments,
    gone_option,
    option_of,
    options_of_arguments,
    refuse_unwritten,
    told_to_mine,
)
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.refresh import ASIDE, RefreshOptions, with_rollback
from hardneg.pipelines.options.train import TrainOptions
from hardneg.pipelines.terminal.finished_commands import add_finished_commands
from hardneg.pipelines.terminal.json_line import json_line, of_run, without_flag
from hardneg.pipelines.terminal.said import LOG, OUTPUT, TOLD, quiet, tell

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
    no_wait: Annotated[bool, Parameter(help=NO_WAIT[0])] = False,
    given: Annotated[MineArguments, Parameter(name="*")] = NOTHING_GIVEN,
    beam_args: Annotated[list[str], Parameter(parse=False)],
) -> int:
    """Mine hard negatives: from a corpus, queries and known positives to Parquet triplets."""
    from hardneg.pipelines.commands.driver import mine, submit
    from hardneg.pipelines.runs.work_folder import notes
    from hardneg.pipelines.terminal.display import watching
    from hardneg.pipelines.terminal.tables import mined_lines

    config = config_of_arguments(given, config_file)
    if dry_run and config.from_run:
        raise OptionError(
            f"{parameter('dry_run')} has nothing to tell of {parameter('from_run')} RUN: it takes seconds; run it."
        )
    if dry_run:
        from hardneg.pipelines.commands.estimate import estimate, scratch

        with scratch(config) as trial, watching(trial.work_folder, LOG):
            lines = estimate(trial, beam_args)
        for line in lines:
            OUTPUT.print(line, markup=False)
        TOLD.update(estimate=lines)
        return DONE
    for note in notes(config):
        LOG.print(note, soft_wrap=True)
    if no_wait:
        submit(config, beam_args)
        return _say_submitted(config.work_folder)
    with watching(config.work_folder, LOG):
        manifest = mine(config, beam_args)
    for said in mined_lines(config.output, manifest):
        OUTPUT.print(said, markup=False)
    if not any(shard["name"].startswith("triplets/") for shard in manifest["shards"]):
        LOG.print("No triplet was written: no candidate passed. See the verdicts in candidates/.", style="yellow")
    TOLD.update(of_run(config.output, manifest))
    return DONE


def _say_submitted(work: str) -> int:
    TOLD.update(submitted=True, work=work)
    OUTPUT.print(f"The job is submitted. When it has ended: hardneg publish {work}", markup=False, soft_wrap=True)
    return DONE


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
    with watching(config.work_folder, LOG):
        judge, notes = calibrate(config, beam_args)
    OUTPUT.print(tables.judge_table(judge))
    OUTPUT.print(denoising_line(judge.manifest_entry()) or "No target was asked for; nothing is promised.")
    for note in notes:
        OUTPUT.print(note, markup=False)
    TOLD.update(figures={"status": judge.status, "threshold": judge.threshold}, paths={"judge": config.output})
    return DONE


@app.command(name="refresh")
def _refresh(
    *,
    config_file: Annotated[Path | None, Parameter(name="--config", help=CONFIG[0])] = None,
    rollback: Annotated[
        str | None,
        Parameter(help=ROLLBACK[0]),
    ] = None,
    no_wait: Annotated[bool, Parameter(help=NO_WAIT[0])] = False,
    asked: Annotated[RefreshOptions, Parameter(name="*")],
    given: Annotated[RefreshArguments, Parameter(name="*")] = NOTHING_TO_REFRESH,
    beam_args: Annotated[list[str], Parameter(parse=False)],
) -> int:
    """Mine again what changed, into a dated snapshot of a store; publish it if it passes its gates."""
    from hardneg.pipelines.commands.refresh import refresh, roll_back
    from hardneg.pipelines.terminal.display import watching
    from hardneg.transforms.core import storage

    if rollback is not None:
        before, now = roll_back(asked.store, rollback, tell)
        OUTPUT.print(f"LATEST of {asked.store} names {now}; it named {before or 'nothing readable'}.", markup=False)
        TOLD.update(store=asked.store, snapshot=now, before=before)
        return DONE
    with watching(storage.join(asked.store, "work"), LOG):
        done = refresh(asked, options_of_arguments(given, config_file), beam_args, tell, wait=not no_wait)
    TOLD.update(store=asked.store, snapshot=done.date)
    if not done.changed:
        OUTPUT.print(f"Nothing changed since {done.date}: LATEST names it still.")
        TOLD.update(changed=[], **of_run(done.folder, done.manifest))
        return DONE
    if done.submitted:
        return _say_submitted(storage.join(asked.store, "work"))
    return _say_snapshot(done.folder, done.date, done.manifest, done.refused, done.notes)


def _say_snapshot(folder: str, date: str, manifest: dict[str, Any], refused: list[str], notes: list[str]) -> int:
    from hardneg.pipelines.report.difference import read_difference
    from hardneg.pipelines.terminal.refreshed import refreshed_lines, snapshot_figures

    diff = read_difference(folder)
    for line in refreshed_lines(date, folder, manifest, diff, refused):
        OUTPUT.print(line, markup=False)
    for note in notes:
        LOG.print(note, style="yellow", markup=False, soft_wrap=True)
    TOLD.update(of_run(folder, manifest), refused=refused, notes=notes, **snapshot_figures(diff))
    return REFUSED if refused else DONE


@app.command(name="publish")
def _publish(work: Annotated[str, Parameter(name="WORK", help="The work folder of a run.")], /) -> int:
    """Publish a run whose pipeline has ended: manifest, card, page, formats, gates, LATEST. May be called twice."""
    from hardneg.pipelines.commands.publish import publish
    from hardneg.pipelines.terminal.tables import mined_lines

    done = publish(work, tell)
    TOLD.update(again=done.again)
    if done.again:
        OUTPUT.print(f"It was published before, as {done.folder}; nothing was left to do.", markup=False)
    if done.date is not None:
        TOLD.update(snapshot=done.date)
        return _say_snapshot(done.folder, done.date, done.manifest, done.refused, done.notes)
    for line in mined_lines(done.folder, done.manifest):
        OUTPUT.print(line, markup=False)
    TOLD.update(of_run(done.folder, done.manifest))
    return DONE


@app.command(name="train-judge")
def _train_judge(
    *,
    config: Annotated[TrainOptions, Parameter(name="*")],
    beam_args: Annotated[list[str], Parameter(parse=False)],
) -> int:
    """Train a cross-encoder on known positives, with negatives of hardneg's own, or on scored pairs."""
    from hardneg.pipelines.commands.train_judge import train_judge
    from hardneg.pipelines.terminal.display import TrainingDisplay

    with TrainingDisplay(LOG) as display:
        trained = train_judge(config, beam_args, display)
    retrieved = "" if trained.mrr_retrieved is None else f", {trained.mrr_retrieved:.3f} as retrieved"
    OUTPUT.print(
        f"{config.output}: MRR@10 of the held-out queries {trained.mrr_trained:.3f}; {trained.mrr_base:.3f} by the "
        f"base{retrieved}."
    )
    if trained.mrr_trained <= trained.mrr_base:
        LOG.print("It is no better than its base: give more data, or another base.", style="yellow")
    TOLD.update(
        figures={"mrr_trained": trained.mrr_trained, "mrr_base": trained.mrr_base}, paths={"output": config.output}
    )
    return DONE


@app.command(name="store")
def _store(
    root: Annotated[str, Parameter(name="STORE", help="The folder of `mine --store` or `refresh --store`.")],
    /,
    *,
    verify: Annotated[bool, Parameter(help="Read everything again; damaged files are set aside. Exit code 1.")] = False,
    gc: Annotated[bool, Parameter(help="Drop what no kept output uses, and put small files together.")] = False,
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
    TOLD.update(done)
    for part in store_tables.told(done):
        OUTPUT.print(part, markup=False)
    return FAULTS if verify and done["verify"]["damaged"] else DONE


add_finished_commands(app)

if __name__ == "__main__":
    main()

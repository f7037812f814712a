"""`hardneg refresh`: mine again into a dated snapshot of a store, publish it if it is sound. Prints nothing.

Beam and the models are loaded once it is clear that something changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hardneg.errors import NotEndedError, OptionError, RunError, parameter
from hardneg.pipelines.options.gates import gates_of
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.refresh import BEFORE, KEEP, RefreshOptions, config_of_refresh
from hardneg.pipelines.runs.lock import holding
from hardneg.pipelines.runs.marked import read_all_marks
from hardneg.pipelines.runs.output_place import explaining_full_disks
from hardneg.pipelines.runs.plan import Plan, read_judge
from hardneg.pipelines.runs.publishing import Publication
from hardneg.pipelines.runs.state import JUDGE_CHANGED, State, differences, state_of
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.marks import MARKS, write_marked_pairs
from hardneg.transforms.inputs.planning import plan_inputs
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.manifest import JUDGE, describe_inputs
from hardneg.transforms.output.snapshots import (
    earlier_snapshot,
    free_date,
    latest_snapshot,
    point_at,
    snapshot_dates,
    snapshot_folder,
)


@dataclass(frozen=True)
class Refreshed:
    """What a refresh came to.

    Attributes:
        store: the store.
        date: the snapshot that was made; of one that changed nothing, the last one.
        folder: where it lies.
        manifest: its manifest.
        before: the date of the last snapshot before; None: it is the first.
        changed: what changed since, in words; empty: nothing, so nothing was mined.
        refused: the sentences of the gates that were not passed.
        notes: what else there is to say.
        submitted: whether an engine has the job and nobody waited: there is no snapshot and no manifest yet.
    """

    store: str
    date: str
    folder: str
    manifest: dict[str, Any]
    before: str | None
    changed: list[str]
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    submitted: bool = False


def refresh(
    asked: RefreshOptions,
    options: Mapping[str, Any],
    beam_args: Sequence[str],
    say: Callable[[str], object] = lambda line: None,
    wait: bool = True,
) -> Refreshed:
    """Mine again into a snapshot of a store.

    Args:
        asked: the store and its snapshots.
        options: those of ``mine`` that were given.
        beam_args: Beam's own.
        say: is told what a person should know while it runs.
        wait: whether to wait for the engine that runs it, and publish.

    Raises:
        LockedError: another refresh holds the store.
        HardnegError: anything else that is wrong with the input or the options.
    """
    if not storage.is_local(asked.store):
        use_filesystem_options(beam_args)
    with explaining_full_disks(), holding(asked.store, say) as lock:
        return _refresh(asked, options, beam_args, lock.check, wait)


def _refresh(
    asked: RefreshOptions,
    options: Mapping[str, Any],
    beam_args: Sequence[str],
    still_ours: Callable[[], None],
    wait: bool,
) -> Refreshed:
    store, gates = asked.store, gates_of(options.get("gates", {}), asked.gate)
    before = latest_snapshot(store)
    last = FinishedRun.open(snapshot_folder(store, before)) if before else None
    judge = storage.join(last.path, JUDGE) if last and not asked.recalibrate else None
    date = free_date(store, datetime.now(), asked.date)
    told = dict(options) | {"marks": _marks(options.get("marks") or [], store, last)}
    config = config_of_refresh(told, store, date, judge)
    inputs, state = _look_at(config)
    pending = _pending(config.work_folder, state, before)
    if pending and (asked.date is None or pending.startswith(asked.date)):
        date = pending
        config = config_of_refresh(told, store, date, judge)
    changed = ["there was no snapshot"]
    if last is not None:
        changed = differences(state, last.manifest.get("refresh", {}).get("state", {}))
        if asked.recalibrate:
            changed = [*(each for each in changed if each != JUDGE_CHANGED), "the judge is calibrated anew"]
        if not changed:
            if pending == before:  # only the end of its publication was cut off
                from hardneg.pipelines.commands.publish import publish_run

                publish_run(config.work_folder, still_ours=still_ours)
            return Refreshed(store, str(before), last.path, last.manifest, before, [])
    if judge is not None and config.judge_file:
        _refuse_other_models(read_judge(config), state, config.judge_file)
    from hardneg.pipelines.commands.driver import mine_snapshot

    snapshot = {
        "store": store,
        "date": date,
        "before": before,
        "changed": changed,
        "judged": "by the judge that was given"
        if options.get("judge_file")
        else "as before"
        if judge
        else "calibrated",
        "gates": gates.model_dump(),
        "keep": asked.keep or options.get("keep") or KEEP,
    }
    done = mine_snapshot(config, beam_args, inputs, state, snapshot, still_ours, wait)
    if done is None:
        return Refreshed(store, date, "", {}, before, changed, submitted=True)
    return Refreshed(store, date, done.folder, done.manifest, before, changed, done.refused, done.notes)


def _marks(given: list[str], store: str, last: FinishedRun | None) -> list[str]:
    """Return the file of the marks of this refresh: those given, as pairs of ids, or else the last snapshot's."""
    if not given:
        own = storage.join(last.path, MARKS) if last else None
        return [own] if own and storage.exists(own) else []
    runs = [snapshot_folder(store, date) for date in reversed(snapshot_dates(store))]
    path = storage.join(store, "work", MARKS)
    write_marked_pairs(path, read_all_marks(given, runs))
    return [path]


def use_filesystem_options(beam_args: Sequence[str]) -> None:
    """Let object stores be reached as Beam's options say, before there is a pipeline."""
    from apache_beam.io.filesystems import FileSystems

    from hardneg.pipelines.runs.runner import pipeline_options

    FileSystems.set_options(pipeline_options(beam_args))


def roll_back(
    store: str, date: str = BEFORE, say: Callable[[str], object] = lambda line: None
) -> tuple[str | None, str]:
    """Let LATEST name an earlier snapshot; return the date that it named (None: it was damaged), and the one now.

    Args:
        store: the store.
        date: of the snapshot; BEFORE: the last one before that which LATEST names.
        say: is told of a lock that is taken over.

    Raises:
        LockedError: a refresh holds the store.
        OptionError: there is no such snapshot.
    """
    if not snapshot_dates(store):
        raise OptionError(f"{parameter('store')} {store} has no snapshot: there is nothing to go back to.")
    with holding(store, say):
        try:
            before = latest_snapshot(store)
        except RunError:
            before = None
        wanted = date
        if date == BEFORE:
            wanted = (earlier_snapshot(store, before) if before else None) or ""
        if wanted not in snapshot_dates(store):
            what = f"no snapshot before {before}" if date == BEFORE else f"no snapshot {date}"
            raise OptionError(
                f"{parameter('rollback')}: {store} has {what}; it has {', '.join(snapshot_dates(store))}.", store=store
            )
        point_at(store, wanted)
    return before, wanted


def _pending(work: str, state: State, before: str | None) -> str | None:
    """Return the date of a refresh of this very state that was cut off; None if there is none."""
    try:
        asked = Publication.read(work)
    except NotEndedError:
        return None
    date = asked.snapshot.get("date")
    same = not differences(state, asked.state) and before in (asked.snapshot.get("before"), date)
    return date if same else None


def _refuse_other_models(judge: CalibratedJudge, state: State, path: str) -> None:
    """Raise OptionError where a model is another than the judge was calibrated with, before any is loaded."""
    for name, model in state["models"].items():
        known = judge.models.get(name, {}).get("files")
        if known and model.get("files") and known != model["files"]:
            raise OptionError(
                f"The model {name} is another than the judge {path} was calibrated with, so its threshold says nothing "
                f"of it: pass {parameter('recalibrate')} to calibrate anew, or give {parameter('judge_file')}.",
                source=name,
            )


def _look_at(config: MineConfig) -> tuple[list[dict[str, Any]], State]:
    """Return the inputs, and what decides the result."""
    judge = read_judge(config) if config.judge_file else None
    files = plan_inputs(config.inputs, config.policy.pass_through)
    inputs = describe_inputs(files)
    plan = Plan(config, files, config.work_folder, "", None, denoising=judge)
    return inputs, state_of(config, inputs, plan.scores)

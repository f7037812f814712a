"""`hardneg refresh`: mine again into a dated snapshot of a store, publish it if it is sound. Prints nothing.

Beam and the models are loaded once it is clear that something changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hardneg.errors import NotEndedError
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.refresh import RefreshOptions, config_of_refresh
from hardneg.pipelines.runs.lock import holding
from hardneg.pipelines.runs.plan import Plan, read_judge
from hardneg.pipelines.runs.publishing import Publication
from hardneg.pipelines.runs.state import State, differences, state_of
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.planning import plan_inputs
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.manifest import JUDGE, describe_inputs
from hardneg.transforms.output.snapshots import free_date, latest_snapshot, snapshot_folder


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
    """

    store: str
    date: str
    folder: str
    manifest: dict[str, Any]
    before: str | None
    changed: list[str]
    refused: list[str] = field(default_factory=list)


def refresh(
    asked: RefreshOptions,
    options: Mapping[str, Any],
    beam_args: Sequence[str],
    say: Callable[[str], object] = lambda line: None,
) -> Refreshed:
    """Mine again into a snapshot of a store.

    Args:
        asked: the store and its snapshots.
        options: those of ``mine`` that were given.
        beam_args: Beam's own.
        say: is told what a person should know while it runs.

    Raises:
        LockedError: another refresh holds the store.
        HardnegError: anything else that is wrong with the input or the options.
    """
    with holding(asked.store, say) as lock:
        return _refresh(asked, options, beam_args, lock.check)


def _refresh(
    asked: RefreshOptions, options: Mapping[str, Any], beam_args: Sequence[str], still_ours: Callable[[], None]
) -> Refreshed:
    store = asked.store
    before = latest_snapshot(store)
    last = FinishedRun.open(snapshot_folder(store, before)) if before else None
    judge = storage.join(last.path, JUDGE) if last and not asked.recalibrate else None
    date = free_date(store, datetime.now(), asked.date)
    config = config_of_refresh(options, store, date, judge)
    inputs, state = _look_at(config)
    pending = _pending(config.work_folder, state, before)
    if pending and (asked.date is None or pending.startswith(asked.date)):
        date = pending
        config = config_of_refresh(options, store, date, judge)
    changed = ["there was no snapshot"]
    if last is not None:
        changed = differences(state, last.manifest.get("refresh", {}).get("state", {}))
        changed += ["the judge is calibrated anew"] if asked.recalibrate else []
        if not changed:
            if pending == before:  # only the end of its publication was cut off
                from hardneg.pipelines.commands.publish import publish_run

                publish_run(config.work_folder, still_ours=still_ours)
            return Refreshed(store, str(before), last.path, last.manifest, before, [])
    from hardneg.pipelines.commands.driver import mine_snapshot

    snapshot = {"store": store, "date": date, "before": before}
    done = mine_snapshot(config, beam_args, inputs, state, snapshot, still_ours)
    return Refreshed(store, date, done.folder, done.manifest, before, changed, done.refused)


def _pending(work: str, state: State, before: str | None) -> str | None:
    """Return the date of a refresh of this very state that was cut off; None if there is none."""
    try:
        asked = Publication.read(work)
    except NotEndedError:
        return None
    date = asked.snapshot.get("date")
    same = not differences(state, asked.state) and before in (asked.snapshot.get("before"), date)
    return date if same else None


def _look_at(config: MineConfig) -> tuple[list[dict[str, Any]], State]:
    """Return the inputs, and what decides the result."""
    judge = read_judge(config) if config.judge_file else None
    files = plan_inputs(config.inputs, config.policy.pass_through)
    inputs = describe_inputs(files)
    plan = Plan(config, files, config.work_folder, "", None, denoising=judge)
    return inputs, state_of(config, inputs, plan.scores)

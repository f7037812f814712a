"""From a finished graph's tables to a published output: whole, or not there.

All that publishing needs beside the tables stands in the work folder: ``plan.json``, written before the graph runs,
and ``summary.json``, the graph's last step. So a run can be published by another process than the one that ran it,
and a publication that was cut off is done again from its beginning, with the same bytes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from hardneg.errors import NotEndedError, RunError, parameter
from hardneg.pipelines.options.finished import REPORT
from hardneg.pipelines.runs.output_place import put_in_place
from hardneg.pipelines.runs.plan import Plan
from hardneg.pipelines.runs.state import State, state_digest
from hardneg.pipelines.runs.work_folder import PLAN, PUBLISHED, SUMMARY
from hardneg.transforms.core import storage
from hardneg.transforms.core.progress import read_progress
from hardneg.transforms.export.registry import export_formats
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.output.finished_run import RUN_TABLES
from hardneg.transforms.output.manifest import (
    CARD,
    JUDGE,
    MANIFEST,
    make_manifest,
    write_card,
    write_manifest,
)
from hardneg.transforms.output.snapshots import refused_folder, snapshot_folder

_FORMAT = 2


@dataclass(frozen=True)
class Publication:
    """What is to be published, and what its manifest says of where it came from; ``plan.json``.

    Attributes:
        options: the run's, as the manifest has them.
        result: the folder that the graph writes its tables to.
        inputs: as ``describe_inputs`` gives them, taken before the run: what changes while it runs is seen the next
            time.
        state: what decides the result, ``state_of``.
        started: seconds since the epoch.
        notes: what there is to say of how inputs were read.
        snapshot: of a refresh: the store, its date, the date before, what its gates are; empty for ``mine``.
    """

    options: dict[str, Any]
    result: str
    inputs: list[dict[str, Any]]
    state: State
    started: float
    notes: list[str] = field(default_factory=list)
    snapshot: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, inputs: list[dict[str, Any]], state: State, snapshot: dict[str, Any]) -> Publication:
        """Return what publishing a run that begins now needs."""
        return cls(plan.config.model_dump(), plan.result, inputs, state, time.time(), list(plan.notes), snapshot)

    @classmethod
    def read(cls, work: str) -> Publication:
        """Return what a work folder's run is to be published as.

        Raises:
            NotEndedError: it holds no run.
        """
        path = storage.join(work, PLAN)
        if not storage.exists(path):
            raise NotEndedError(
                f"{work} has no {PLAN}, so there is no run to publish: it has not begun, or was published already.",
                path=work,
            )
        try:
            told = json.loads(storage.read_file(path))
            if told.pop("format") != _FORMAT:
                raise ValueError
            return cls(**told)
        except (ValueError, KeyError, TypeError):
            raise NotEndedError(f"{path} is of another version of hardneg: run the same command again.") from None

    def write(self, work: str) -> None:
        told = {"format": _FORMAT, **asdict(self)}
        data = (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()
        storage.write_file(storage.join(work, PLAN), lambda sink: sink.write(data))

    @property
    def output(self) -> str:
        return self.options["output"]

    @property
    def key(self) -> str:
        """A digest of all that must be the same for the work of one run to be another's."""
        told = {**asdict(self), "started": None, "notes": None}
        return state_digest(told)

    @property
    def places(self) -> list[str]:
        """Where it may have been put already."""
        if not self.snapshot:
            return [self.output]
        store, date = self.snapshot["store"], self.snapshot["date"]
        return [snapshot_folder(store, date), refused_folder(store, date)]


def clear(output: str) -> None:
    """Delete an object store's output before a run, which writes in place: nothing can be moved away there.

    The manifest goes first, so that what is left does not look finished; other files are not ours to delete.
    """
    if not storage.is_local(output):
        for pattern in (MANIFEST, CARD, JUDGE, REPORT, *(f"{table}/**" for table in (*RUN_TABLES, *export_formats()))):
            storage.delete_files(storage.join(output, pattern))


def read_summary(work: str) -> dict[str, Any] | None:
    """Return what the graph's last step wrote; None where it has not ended."""
    path = storage.join(work, SUMMARY)
    return json.loads(storage.read_file(path)) if storage.exists(path) else None


def lacking(folder: str, summary: dict[str, Any]) -> Iterator[str]:
    """Yield the shards of a run that a folder has not."""
    for shard in summary["shards"]:
        if not storage.exists(storage.join(folder, *shard["name"].split("/"))):
            yield shard["name"]


def holds(folder: str, summary: dict[str, Any]) -> bool:
    """Return whether a folder is this very run, published."""
    path = storage.join(folder, MANIFEST)
    if not storage.exists(path):
        return False
    known = {shard["name"]: shard["sha256"] for shard in json.loads(storage.read_file(path)).get("shards", [])}
    return known == {shard["name"]: shard["sha256"] for shard in summary["shards"]}


def ended_before(work: str, asked: Publication) -> bool:
    """Return whether a work folder holds this very run, its pipeline ended: only its publication was cut off."""
    if not storage.exists(storage.join(work, PLAN)):
        return False
    try:
        there = Publication.read(work)
    except NotEndedError:
        return False
    summary = read_summary(work)
    if summary is None or there.key != asked.key:
        return False
    if not any(lacking(asked.result, summary)):
        return True
    return any(holds(folder, summary) for folder in asked.places)


def write_about(work: str, asked: Publication, summary: dict[str, Any], refresh: dict[str, Any]) -> dict[str, Any]:
    """Write judge, card and manifest beside the tables; return the manifest."""
    told = dict(summary)
    told["notes"] = asked.notes + told.get("notes", []) + _damage(told["counts"])
    if run := asked.options.get("from_run"):
        check_nothing_missing(run, told["counts"])
        _copy_rejected(run, asked.result)
    judge = json.dumps(told.pop("judge"), indent=1, ensure_ascii=False) + "\n"
    storage.write_file(storage.join(asked.result, JUDGE), lambda sink: sink.write(judge.encode()))
    told["denoising"] = CalibratedJudge.from_json(judge).manifest_entry()
    seconds = max(0.0, told.get("ended", asked.started) - asked.started)
    manifest = make_manifest(asked.options, asked.inputs, told, read_progress(work), seconds, refresh)
    write_card(asked.result, manifest)
    write_manifest(asked.result, manifest)
    return manifest


def put(result: str, output: str, keep: bool = True) -> None:
    """Put a result into its place: by a rename on a local disk; file by file, its manifest last, in an object store."""
    if result == output:
        return
    if storage.is_local(output):
        put_in_place(result, output, keep)
        return
    names = [path[len(result) :].lstrip("/") for path in storage.list_files(storage.join(result, "**"))]
    for name in sorted(names, key=lambda name: name == MANIFEST):
        storage.copy_file(storage.join(result, name), storage.join(output, name))


def _damage(counts: dict[str, int]) -> list[str]:
    if not (damaged := counts.get("store_files_damaged", 0)):
        return []
    return [
        f"{damaged:,} files of the store were damaged, and are set aside in its folders named damaged; what they held "
        "was computed again."
    ]


def _copy_rejected(run: str, result: str) -> None:
    """Copy the rows that the run's inputs had rejected: its inputs are those of what is mined from it."""
    for path in storage.list_files(storage.join(run, "rejected", "*")):
        data = storage.read_file(path)
        storage.write_file(storage.join(result, "rejected", path.rsplit("/", 1)[-1]), partial(_write, data))


def _write(data: bytes, sink: IO[bytes]) -> None:
    sink.write(data)


def check_nothing_missing(run: str, counts: dict[str, int]) -> None:
    """Raise RunError where stored scores did not decide every query."""
    if missing := counts.get("pairs_missing", 0):
        raise RunError(
            f"{parameter('from_run')} {run}: these options need at least {missing:,} pairs that it did not score; add "
            f"{parameter('score_missing')} to score only what is missing.",
            path=run,
        )


def left_of(work: str) -> dict[str, Any] | None:
    """Return what a run that was published left in its work folder; None where there is nothing."""
    path = storage.join(work, PUBLISHED)
    if storage.is_local(work) and not Path(path).is_file():
        return None
    return json.loads(storage.read_file(path)) if storage.exists(path) else None

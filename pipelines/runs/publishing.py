"""From a finished graph's tables to a published output: whole, or not there."""

from __future__ import annotations

import json
from functools import partial
from typing import IO, Any

from hardneg.errors import RunError, parameter
from hardneg.pipelines.options.finished import REPORT
from hardneg.pipelines.runs.output_place import put_in_place
from hardneg.pipelines.runs.plan import Plan
from hardneg.pipelines.runs.work_folder import SUMMARY, release
from hardneg.transforms.core import storage
from hardneg.transforms.core.progress import read_progress
from hardneg.transforms.export.registry import export_formats
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.output.finished_run import RUN_TABLES
from hardneg.transforms.output.manifest import (
    CARD,
    JUDGE,
    MANIFEST,
    describe_inputs,
    make_manifest,
    write_card,
    write_manifest,
)


def clear(output: str) -> None:
    """Delete an object store's output before a run, which writes in place: nothing can be moved away there.

    The manifest goes first, so that what is left does not look finished; other files are not ours to delete.
    """
    if not storage.is_local(output):
        for pattern in (MANIFEST, CARD, JUDGE, REPORT, *(f"{table}/**" for table in (*RUN_TABLES, *export_formats()))):
            storage.delete_files(storage.join(output, pattern))


def publish(plan: Plan, wall_seconds: float) -> dict[str, Any]:
    """Write card and manifest and move the result to its place; return the manifest."""
    config = plan.config
    summary = json.loads(storage.read_file(storage.join(plan.work, SUMMARY)))
    inputs = describe_inputs(plan.files)
    quoted = [file.path for file in plan.files if file.delimiter == "\t"]
    unquoted = [f"{path}: its cells are quoted as csv writers quote, and were unquoted." for path in quoted]
    summary["notes"] = unquoted + summary.get("notes", [])
    if config.from_run:
        check_nothing_missing(config.from_run, summary["counts"])
        inputs = plan.stored["inputs"]
        _copy_rejected(config.from_run, plan.result)
    judge = json.dumps(summary.pop("judge"), indent=1, ensure_ascii=False) + "\n"
    storage.write_file(storage.join(plan.result, JUDGE), lambda sink: sink.write(judge.encode()))
    summary["denoising"] = CalibratedJudge.from_json(judge).manifest_entry()
    manifest = make_manifest(config.model_dump(), inputs, summary, read_progress(plan.work), wall_seconds)
    write_card(plan.result, manifest)
    write_manifest(plan.result, manifest)
    if storage.is_local(config.output):
        put_in_place(plan.result, config.output)
    release(plan)
    return manifest


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

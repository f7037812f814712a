"""The folder that a run works in: one run at a time, and what a later one must not read, or can go on from."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hardneg.errors import OptionError, RunError, parameter
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.runs.lock import alive
from hardneg.pipelines.runs.output_place import refuse_existing, replaced_by
from hardneg.pipelines.runs.plan import STORE, Plan
from hardneg.pipelines.runs.within_reach import INPUTS
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.marks import MARKS
from hardneg.transforms.models.loaded import run_in_this_process
from hardneg.transforms.output.manifest import JUDGE
from hardneg.transforms.store.uses import begin_use

PLAN = "plan.json"
SUMMARY = "summary.json"
PUBLISHED = "published.json"
ESTIMATE = "estimate.json"
# Of a former run; must not be read.
_MADE = ("progress", INPUTS, "result", "parts", "segments", "statistics", "embeddings")
_STALE = (*_MADE, PLAN, SUMMARY, PUBLISHED, JUDGE)
_KEPT = (STORE, "lock", ESTIMATE, MARKS)


def notes(config: MineConfig) -> list[str]:
    """Return what a person should know before the run starts, about traces of earlier runs."""
    said = []
    if storage.is_local(config.output):
        old = replaced_by(config.output)
        if old.exists() and not Path(config.output).exists():
            said.append(f"{old} is the output that an interrupted --overwrite moved away; this run does not touch it.")
    if storage.is_local(config.work_folder) and Path(config.work_folder).exists():
        said.append(f"{config.work_folder} is left from an earlier run; what it embedded and scored is used again.")
    return said


@contextmanager
def working(plan: Plan, ended: bool = False) -> Iterator[None]:
    """Hold the work folder for one run: refuse a second one, clear what an earlier one must not leave.

    What models computed stays: it lies in a store, under the address of its content, and a killed run goes on from it.

    Args:
        plan: the run.
        ended: whether the folder holds this very run, ended, so that nothing is to be cleared.
    """
    output, work = plan.config.output, plan.work
    if not ended:
        refuse_existing(output, plan.config.overwrite)
    with run_in_this_process(), held(output, work, () if ended else _STALE):
        if not ended:
            begin_use(plan.place, output)
        yield


@contextmanager
def held(output: str, work: str, stale: Sequence[str] = ()) -> Iterator[None]:
    """Hold a work folder, and clear some of what an earlier run left in it.

    Raises:
        RunError: another run holds it.
        OptionError: it can't be written, or holds what is not a run's.
    """
    if storage.is_local(work):
        with _locked(output, Path(work), stale):
            yield
        return
    for name in stale:
        storage.delete_files(storage.join(work, name))
        storage.delete_files(storage.join(work, name, "**"))
    yield


@contextmanager
def _locked(output: str, folder: Path, stale: Sequence[str]) -> Iterator[None]:
    _refuse_foreign(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if storage.is_local(output):
            Path(output).parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
    except OSError as error:
        raise OptionError(f"{parameter('output')} {output}: {folder} cannot be written ({error.strerror}).") from None
    try:
        for name in stale:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        yield
    finally:
        lock.unlink(missing_ok=True)


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder with anything else in it than a run's work: it is deleted when the run has finished."""
    ours = (*_STALE, *_KEPT)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in ours and not path.name.startswith(tuple(f".{name}." for name in ours)):
            raise OptionError(
                f"{parameter('work')} {folder}: it holds {path.name}, which is not a run's, and the work "
                "folder is deleted when the run has finished; give a new or an empty folder."
            )


def _lock(folder: Path) -> Path:
    lock = folder / "lock"
    mine = f"{socket.gethostname()} {os.getpid()}"
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        host, _, process = lock.read_text(encoding="utf-8").partition(" ")
        if host != socket.gethostname() or (process.isdigit() and alive(int(process))):
            raise RunError(
                f"{folder}: another run holds it (process {process} on {host}); wait for it, or, if it is dead, "
                f"delete {lock}."
            ) from None
        lock.unlink()
        return _lock(folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(mine)
    return lock


def release(work: str, left: dict[str, Any] | None = None) -> None:
    """Delete the work folder of a run that has finished.

    Args:
        work: the folder.
        left: what is to be found there instead, for who asks for the same run to be published again; None: nothing.
    """
    if left is not None:
        data = (json.dumps(left, indent=1, ensure_ascii=False) + "\n").encode()
        storage.write_file(storage.join(work, PUBLISHED), lambda sink: sink.write(data))
    if not storage.is_local(work):
        kept = storage.join(work, PUBLISHED)
        storage.delete_all([path for path in storage.list_files(storage.join(work, "**")) if path != kept])
        return
    if left is None:
        shutil.rmtree(work, ignore_errors=True)
        return
    for path in Path(work).iterdir():
        if path.name not in (PUBLISHED, "lock"):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

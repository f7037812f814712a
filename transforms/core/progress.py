"""Progress and timing records that workers append to the run's work folder, and their sums.

A local runner returns only at the end and fuses its stages, so what a person watches cannot come from it. Records
are appended only where the work folder is a local one, or one that all machines share as such; where it is an object
store, Beam's counters are the progress, which whoever waits for the job tells here.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hardneg.transforms.core.storage import is_local

_lock = threading.Lock()


@dataclass
class StageProgress:
    """What a stage has done, and what is known of the rest.

    Attributes:
        done: items finished.
        expected: items that are known to come or to be done; 0 if unknown.
        seconds: spent in it, over all workers.
        begun: items that were begun, where beginning tells something.
        each: how many items a query of the rest takes, by the calibration sample; 0 if unknown.
    """

    done: int = 0
    expected: int = 0
    seconds: float = 0.0
    begun: int = 0
    each: float = 0.0


_counted: dict[str, StageProgress] = {}  # by an engine


def tell_counted(stages: dict[str, StageProgress]) -> None:
    """Take what an engine has counted so far as the progress of the run that this process waits for."""
    global _counted
    _counted = stages


def record(
    work: str,
    stage: str,
    *,
    done: int = 0,
    expected: int = 0,
    seconds: float = 0.0,
    begun: int = 0,
    each: float = 0.0,
) -> None:
    """Append one record; its numbers are added to those that the stage has, but for ``each``: the last is true."""
    if not is_local(work):
        return
    folder = Path(work) / "progress"
    numbers = {"done": done, "expected": expected, "seconds": round(seconds, 6), "begun": begun, "each": each}
    line = json.dumps({"stage": stage} | {name: number for name, number in numbers.items() if number})
    with _lock:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{socket.gethostname()}-{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


@contextmanager
def timed(work: str, stage: str, done: int = 0) -> Iterator[None]:
    """Record the seconds that a block of code takes, and ``done`` items when it ends."""
    start = time.perf_counter()
    try:
        yield
    finally:
        record(work, stage, done=done, seconds=time.perf_counter() - start)


def read_progress(work: str) -> dict[str, StageProgress]:
    """Return the sums of all records so far, per stage; of a work folder in an object store, what was counted."""
    if not is_local(work):
        return dict(_counted)
    stages: dict[str, StageProgress] = defaultdict(StageProgress)
    for path in sorted((Path(work) / "progress").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # a worker is in the middle of writing it
            stage = stages[entry["stage"]]
            stage.done += entry.get("done", 0)
            stage.expected += entry.get("expected", 0)
            stage.seconds += entry.get("seconds", 0.0)
            stage.begun += entry.get("begun", 0)
            stage.each = entry.get("each", stage.each)
    return dict(stages)

"""What a person sees while a run works: a live table on a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from hardneg.transforms.core.progress import StageProgress, read_progress

_LIVE_EVERY = 0.5
_PLAIN_EVERY = 15.0


@contextmanager
def watching(work: str, console: Console) -> Iterator[None]:
    """Show the progress records of a work folder until the block ends."""
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(work, console, stop), daemon=True)
    watch.start()
    try:
        yield
    finally:
        stop.set()
        watch.join()


def _watch(work: str, console: Console, stop: threading.Event) -> None:
    start = time.monotonic()
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            while not stop.wait(_LIVE_EVERY):
                live.update(_table(read_progress(work), time.monotonic() - start))
        return
    said = ""
    while not stop.wait(_PLAIN_EVERY):
        line = "; ".join(_phrase(name, stage) for name, stage in read_progress(work).items())
        if line and line != said:
            console.print(f"{time.monotonic() - start:6.0f} s  {line}", highlight=False, soft_wrap=True)
            said = line


def _table(stages: dict[str, StageProgress], seconds: float) -> Table:
    table = Table(box=None, pad_edge=False, title=f"{seconds:,.0f} s", title_justify="left")
    for column in ("stage", "done", "", "seconds", "rate"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, stage in stages.items():
        share = f"{min(1, stage.done / stage.expected):4.0%}" if stage.expected else ""
        rate = f"{stage.done / stage.seconds:,.0f}/s" if stage.seconds and stage.done else ""
        table.add_row(name, f"{stage.done:,}", share, f"{stage.seconds:,.0f}", rate)
    return table


def _phrase(name: str, stage: StageProgress) -> str:
    return f"{name} {stage.done:,}" + (f" of {stage.expected:,}" if stage.expected else "")


class TrainingDisplay:
    """What a person sees of a training: a bar on a terminal, a plain line now and then otherwise; notes on both."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = self._said = time.monotonic()
        self._first: int | None = None
        columns = (TextColumn("train"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("train", total=None)

    def __enter__(self) -> TrainingDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def mining(self, work: str) -> AbstractContextManager[None]:
        """Show the run that mines the negatives, until the block ends."""
        return watching(work, self._console)

    def note(self, text: str) -> None:
        self._console.print(f"{self._seconds():6.0f} s  {text}", highlight=False, markup=False, soft_wrap=True)

    def step(self, done: int, of: int) -> None:
        """Tell how many steps are done; those that a former start had done say nothing of the time to come."""
        if self._first is None:
            self._first, self._start_of_steps = done, time.monotonic()
            self._bar.start()
        self._bar.update(self._task, completed=done, total=of)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said >= 2 * _PLAIN_EVERY and done > self._first:
            self._said = now
            left = (now - self._start_of_steps) / (done - self._first) * (of - done)
            self.note(f"step {done:,} of {of:,}, about {left / 60:,.0f} minutes left")

    def _seconds(self) -> float:
        return time.monotonic() - self._start

"""What a person sees while a run works: a live table on a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from hardneg.transforms.core.progress import StageProgress, read_progress

_LIVE_EVERY = 0.5
_PLAIN_EVERY = 15.0
_PRESENT = 120.0  # seconds over which the present rate is taken


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
    rates = Rates()
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            while not stop.wait(_LIVE_EVERY):
                stages = read_progress(work)
                now = time.monotonic()
                rates.see(stages, now)
                live.update(_table(stages, rates, now - start))
        return
    said = ""
    while not stop.wait(_PLAIN_EVERY):
        stages = read_progress(work)
        rates.see(stages, time.monotonic())
        line = "; ".join(phrase(name, stages, rates) for name in stages)
        if line and line != said:
            console.print(f"{time.monotonic() - start:6.0f} s  {line}", highlight=False, soft_wrap=True)
            said = line


class Rates:
    """How many items of each stage are done a second at present, over the last ``_PRESENT`` seconds."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def see(self, stages: Mapping[str, StageProgress], now: float) -> None:
        """Note what is done at a moment, in seconds of any clock."""
        for name, stage in stages.items():
            seen = self._seen.setdefault(name, deque())
            seen.append((now, stage.done))
            while len(seen) > 2 and seen[1][0] <= now - _PRESENT:
                seen.popleft()

    def of(self, name: str) -> float:
        """Return a stage's items a second; 0: nothing moved."""
        seen = self._seen.get(name) or [(0.0, 0)]
        (first, before), (last, after) = seen[0], seen[-1]
        return (after - before) / (last - first) if last > first else 0.0


def total_of(name: str, stages: Mapping[str, StageProgress]) -> int:
    """Return how many items a stage will have done in the end, as far as is known; 0: unknown."""
    stage = stages[name]
    mine = stages.get("mine", StageProgress())
    return stage.expected + round(stage.each * max(0, mine.expected - mine.begun))


def phrase(name: str, stages: Mapping[str, StageProgress], rates: Rates) -> str:
    """Return what is done of a stage, of how many, and how long the rest takes at the present rate."""
    done, total = stages[name].done, total_of(name, stages)
    if not total:
        return f"{name} {done:,}"
    left = _left(total - done, rates.of(name))
    return f"{name} {done:,} of {'about ' if stages[name].each else ''}{total:,}" + (f" ({left} left)" if left else "")


def _left(items: int, rate: float) -> str:
    if items <= 0 or rate <= 0:
        return ""
    seconds = items / rate
    return (
        f"{seconds:,.0f} s"
        if seconds < 100
        else f"{seconds / 60:,.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:,.1f} h"
    )


def _table(stages: dict[str, StageProgress], rates: Rates, seconds: float) -> Table:
    table = Table(box=None, pad_edge=False, title=f"{seconds:,.0f} s", title_justify="left")
    for column in ("stage", "done", "", "seconds", "rate", "left"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, stage in stages.items():
        total, rate = total_of(name, stages), rates.of(name)
        share = f"{min(1, stage.done / total):4.0%}" if total else ""
        told = f"{rate:,.0f}/s" if rate else ""
        left = _left(total - stage.done, rate)
        table.add_row(name, f"{stage.done:,}", share, f"{stage.seconds:,.0f}", told, left)
    return table


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

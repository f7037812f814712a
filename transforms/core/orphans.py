"""Worker processes of this machine end with the run that started them, even where it was killed.

Beam's local workers notice that their runner is gone only when they next ask it for something, after the bundle that
they are at: minutes of all cores for a run that nobody waits for.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_RUN = "HARDNEG_RUN_PROCESS"  # in the environment, which worker processes of this machine inherit
_SECONDS = 2.0


@contextmanager
def ending_with_this_process() -> Iterator[None]:
    """Let workers that are started meanwhile know whose they are."""
    before = os.environ.get(_RUN)
    os.environ[_RUN] = str(os.getpid())
    try:
        yield
    finally:
        if before is None:
            del os.environ[_RUN]
        else:
            os.environ[_RUN] = before


@functools.cache
def end_with_the_run() -> None:
    """From now on, end this process when the run that it works for has ended; nothing in that run's own process."""
    run = int(os.environ.get(_RUN, os.getpid()))
    if run != os.getpid() and os.name == "posix":
        threading.Thread(target=_watch, args=(run,), daemon=True).start()


def _watch(run: int) -> None:
    while _alive(run):
        time.sleep(_SECONDS)
    os._exit(1)  # nobody is there to be told anything


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # only asks
    except ProcessLookupError:
        return False
    return True

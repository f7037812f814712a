"""How many cores a run may use: a container, a scheduler or a user may have given it fewer than there are."""

from __future__ import annotations

import os

_LIMIT = "OMP_NUM_THREADS"


def usable_cores() -> int:
    """Return the cores that this process may run on, of those of the machine."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_of(workers: int) -> int:
    """Return the threads of each of some workers that share the cores: at most OMP_NUM_THREADS, if that is set."""
    share = max(1, usable_cores() // workers)
    limit = os.environ.get(_LIMIT, "").split(",")[0].strip()  # one number, or one for each level of nesting
    return min(share, int(limit)) if limit.isdecimal() and int(limit) else share

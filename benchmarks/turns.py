"""Runs that take turns, so that another load on the machine meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable


def taking_turns(rounds: int, *runs: Callable[[], object]) -> list[list[float]]:
    """Return each run's seconds, one a round."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for place, run in enumerate(runs):
            start = time.perf_counter()
            run()
            seconds[place].append(time.perf_counter() - start)
    return seconds

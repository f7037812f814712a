"""Counters that every engine shows beside a running job, under one namespace.

``progress`` is what a person watches on this machine; these are what Flink's and Dataflow's own pages show.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

NAMESPACE = "hardneg"


def count(name: str, number: int = 1) -> None:
    """Add to a counter of the job; call it while a bundle is processed. Elsewhere it counts for nobody.

    Args:
        name: what is counted, in the words of the manifest: ``pairs_scored``, ``reason_near_duplicate``, ...
        number: how many more; whole milliseconds where time is counted (``model_milliseconds_NAME``).
    """
    from apache_beam.metrics import Metrics

    Metrics.counter(NAMESPACE, name).inc(int(number))


@contextmanager
def counting_milliseconds(model: str) -> Iterator[None]:
    """Count the time that a model takes, under its source's name."""
    start = time.perf_counter()
    try:
        yield
    finally:
        count(f"model_milliseconds_{model}", round(1000 * (time.perf_counter() - start)))

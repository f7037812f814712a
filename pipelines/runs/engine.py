"""A graph on an engine of others, behind a job server: its counters while it works, and why it ended.

A job server hands errors on as text, and its own with them: a lost worker, a cancelled job, a server that is gone.
"""

from __future__ import annotations

import copy
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from hardneg.errors import ServiceError
from hardneg.transforms.core.counters import NAMESPACE
from hardneg.transforms.core.progress import StageProgress, tell_counted

_EVERY = 5.0  # seconds
_QUIET = ("model_milliseconds_", "reason_")  # counters that say nothing to who waits
# A file of our rooms, installed or in a checkout; Beam has a folder `transforms`, too.
_OUR_CODE = re.compile(r'File "[^"\n]*(?<!apache_beam)[\\/](transforms|pipelines)[\\/]\w+[\\/]\w+\.py"')
_AGAIN = "start the same command again, and it goes on from its store."


def run_on_engine(pipeline: beam.Pipeline, wait: bool = True) -> None:
    """Submit a graph and, unless told not to, wait for its end; an interrupted wait cancels the job."""
    with _unlogged():
        result = pipeline.run()
        if result is None or not wait:  # None: a dry run of a service
            return
        with _telling_counters(result):
            try:
                result.wait_until_finish()
            except KeyboardInterrupt:
                result.cancel()
                raise


def engine_failure(error: Exception, options: PipelineOptions) -> ServiceError | None:
    """Return what became of a job that ended by no fault of our code; None: it is a bug, whose traceback tells."""
    import grpc

    endpoint = options.view_as(PortableOptions).job_endpoint
    server = f"The job server at {endpoint}" if endpoint else "The engine"
    if isinstance(error, grpc.FutureTimeoutError):
        return ServiceError(f"{server} does not answer: start it, or check --job_endpoint.", endpoint=endpoint)
    if isinstance(error, grpc.RpcError):
        return ServiceError(f"{server} is gone ({_last_line(_details(error))}); {_AGAIN}", endpoint=endpoint)
    if not isinstance(error, RuntimeError) or _OUR_CODE.search(str(error)):
        return None
    return ServiceError(f"{server} ended the job: {_last_line(str(error))}; {_AGAIN}", endpoint=endpoint)


def _details(error: Any) -> str:
    return str(error.details() if hasattr(error, "details") else error)


def _last_line(text: str) -> str:
    """Return what a traceback's text comes to, of Python or of Java."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("at ", "... "))]  # Java's frames come after what they tell
    return told[-1].removeprefix("Caused by: ").rstrip(".:;")[:500] if told else "no reason is given"


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep out of the log what is raised too.

    The client logs every error of a job with its traceback, and its thread that reads messages dies of a lost server.
    """
    import grpc

    def unless_lost(told: threading.ExceptHookArgs) -> None:
        if not issubclass(told.exc_type, grpc.RpcError):
            excepthook(told)

    root, excepthook = logging.getLogger(), threading.excepthook
    before = root.level
    root.setLevel(logging.CRITICAL)
    threading.excepthook = unless_lost
    try:
        yield
    finally:
        threading.excepthook = excepthook
        root.setLevel(before)


@contextmanager
def _telling_counters(result: Any) -> Iterator[None]:
    """Let the job's counters be known as its progress until the block ends."""
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(result, stop), daemon=True)
    watch.start()
    try:
        yield
    finally:
        stop.set()
        watch.join(_EVERY)
        tell_counted({})


def _watch(result: Any, stop: threading.Event) -> None:
    while not stop.wait(_EVERY):
        try:
            # A result keeps the first counters that it was asked for; a copy of it has been asked for none.
            counters = copy.copy(result).metrics().query(beam.metrics.MetricsFilter().with_namespace(NAMESPACE))
        except Exception:  # an engine that has none yet, or is gone: whoever waits for the job is told
            continue
        stages: dict[str, StageProgress] = {}
        for counter in counters["counters"]:
            name = counter.key.metric.name
            if not name.startswith(_QUIET):
                number = counter.committed if counter.committed is not None else counter.attempted
                stages.setdefault(name.replace("_", " "), StageProgress()).done += int(number or 0)
        tell_counted(dict(sorted(stages.items())))

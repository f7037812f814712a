"""Beam's options, and a graph from its building to its end. Prints nothing."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DebugOptions,
    DirectOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)

from hardneg.errors import HardnegError, OptionError, error_in
from hardneg.pipelines.runs.engine import engine_failure, run_on_engine
from hardneg.pipelines.runs.output_place import FULL_DISK
from hardneg.pipelines.runs.plan import Plan
from hardneg.pipelines.runs.repeated_work import RunOptions, remember_signatures
from hardneg.pipelines.runs.within_reach import within_reach
from hardneg.transforms.core.orphans import ending_with_this_process

LOCAL_RUNNERS = ("FnApiRunner", "DirectRunner")
_LIMIT = "OMP_NUM_THREADS"


def pipeline_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Return Beam's options, with a local runner named where none is.

    DirectRunner first tries to fetch a Go runner, and which runner you get depends on the graph; FnApiRunner is
    always the same. Several local workers need processes: Beam's default is threads, which it only warns about.

    Raises:
        HardnegError: an option that Beam does not know.
    """
    options = RunOptions(list(beam_args))
    if not options.view_as(StandardOptions).runner:
        options.view_as(StandardOptions).runner = "FnApiRunner"
    unknown = _unknown(options, beam_args)
    # Flink's and Spark's own options are known to their job servers only.
    if unknown and _runner(options) in (*LOCAL_RUNNERS, "DataflowRunner"):
        raise OptionError(f"Beam has no option {unknown[0]}; see the options of your runner.")
    direct = options.view_as(DirectOptions)
    if is_local_run(options):
        direct.direct_num_workers = direct.direct_num_workers or usable_cores()
        if direct.direct_num_workers > 1 and direct.direct_running_mode == "in_memory":
            direct.direct_running_mode = "multi_processing"
        worker = options.view_as(WorkerOptions)
        worker.default_sdk_harness_log_level = worker.default_sdk_harness_log_level or "CRITICAL"
    elif _runner(options) != "DataflowRunner":
        # Or a list of all installed packages, made by pip, goes with every job.
        options.view_as(DebugOptions).add_experiment("disable_logging_submission_environment")
    options.view_as(SetupOptions).save_main_session = False
    return options


def _unknown(options: PipelineOptions, beam_args: Sequence[str]) -> list[str]:
    """Return the options that Beam's Python SDK does not have."""
    names: set[str] = set()  # as they are written, not where argparse puts them: --no_use_public_ips, --worker_zone
    options.get_all_options(add_extra_args_fn=lambda parser: names.update(parser._option_string_actions))
    return [arg for arg in beam_args if arg.startswith("--") and arg.split("=")[0] not in names]


def _runner(options: PipelineOptions) -> str:
    return options.view_as(StandardOptions).runner.split(".")[-1]


def is_local_run(options: PipelineOptions) -> bool:
    """Return whether the workers are processes of this machine, which see what the run writes here."""
    return _runner(options) in LOCAL_RUNNERS


def worker_threads(options: PipelineOptions) -> int | None:
    """Return each local worker's share of the cores; None on other runners, whose workers have their own."""
    if not is_local_run(options):
        return None
    return threads_of(options.view_as(DirectOptions).direct_num_workers)


def usable_cores() -> int:
    """Return the cores that this process may run on: a container, a scheduler or a user may give it fewer than are."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_of(workers: int) -> int:
    """Return the threads of each of some workers that share the cores: at most OMP_NUM_THREADS, if that is set."""
    share = max(1, usable_cores() // workers)
    limit = os.environ.get(_LIMIT, "").split(",")[0].strip()  # one number, or one for each level of nesting
    return min(share, int(limit)) if limit.isdecimal() and int(limit) else share


def run_graph(
    plan: Plan, options: PipelineOptions, build: Callable[[beam.Pipeline, Plan], None], wait: bool = True
) -> None:
    """Build a graph and run it to its end; or leave once an engine of others has it.

    Raises:
        HardnegError: what a worker found wrong with the input.
        ServiceError: an engine of others ended the job, or is not there.
    """
    remember_signatures()
    try:
        pipeline = beam.Pipeline(options=options)
    except ValueError as error:
        raise OptionError(f"Beam cannot run with the options after --: {error}") from None
    local = is_local_run(options)
    try:
        build(pipeline, plan if local else within_reach(plan))
        if local:
            with ending_with_this_process():
                pipeline.run().wait_until_finish()
        else:
            run_on_engine(pipeline, wait)
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        if "KeyboardInterrupt" in text:  # a local worker was interrupted, and Beam made an error of it
            raise KeyboardInterrupt from None
        mistake = mistake_in(text) or (None if local else engine_failure(error, options))
        if mistake is None:
            raise
        raise mistake from None


def mistake_in(text: str) -> HardnegError | None:
    """Return the user's mistake that a runner has wrapped into its own error's text, or None."""
    if "[Errno 28]" in text:
        return HardnegError(FULL_DISK)
    return error_in(text)

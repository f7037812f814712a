"""Runs a graph: prepares the folders, names the runner, watches, publishes. Prints nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)

from hardneg.errors import HardnegError
from hardneg.pipelines.config import MineConfig
from hardneg.pipelines.cores import threads_of, usable_cores
from hardneg.pipelines.export import export
from hardneg.pipelines.mine import SUMMARY, build
from hardneg.pipelines.options import REPORT_DEFAULTS, ExportOptions
from hardneg.pipelines.plan import Plan
from hardneg.pipelines.remine import build_from_run, check_nothing_missing, stored_manifest
from hardneg.pipelines.report import report
from hardneg.pipelines.report_html import REPORT, write_report
from hardneg.transforms import storage
from hardneg.transforms.denoising import Denoising
from hardneg.transforms.exporting import FIXED, FORMATS
from hardneg.transforms.formats_in import explaining
from hardneg.transforms.holdout import NOTHING_HELD_OUT, read_holdout
from hardneg.transforms.input_plan import plan_inputs
from hardneg.transforms.logits import forget
from hardneg.transforms.manifest import CARD, MANIFEST, describe_inputs, make_manifest, write_card, write_manifest
from hardneg.transforms.model_files import find_model
from hardneg.transforms.progress import read_progress
from hardneg.transforms.remote_cross_encoder import RemoteSpec
from hardneg.transforms.run_tables import TABLES
from hardneg.transforms.sample import signals_of

ESTIMATE = "estimate.json"
JUDGE = "judge.json"
LOCAL_RUNNERS = ("FnApiRunner", "DirectRunner")
_STALE = ("progress", "result", "parts", "segments", "statistics", SUMMARY, JUDGE)  # of a former run; must not be read
_KEPT = ("embeddings", "logits", "lock", ESTIMATE)


def pipeline_options(beam_args: Sequence[str]) -> PipelineOptions:
    """Return Beam's options, with a local runner named where none is.

    DirectRunner first tries to fetch a Go runner, and which runner you get depends on the graph; FnApiRunner is
    always the same. Several local workers need processes: Beam's default is threads, which it only warns about.

    Raises:
        HardnegError: an option that Beam does not know.
    """
    options = PipelineOptions(list(beam_args))
    if not options.view_as(StandardOptions).runner:
        options.view_as(StandardOptions).runner = "FnApiRunner"
    unknown = _unknown(options, beam_args)
    # Flink's and Spark's own options are known to their job servers only.
    if unknown and _runner(options) in (*LOCAL_RUNNERS, "DataflowRunner"):
        raise HardnegError(f"Beam has no option {unknown[0]}; see the options of your runner.")
    direct = options.view_as(DirectOptions)
    if _is_local(options):
        direct.direct_num_workers = direct.direct_num_workers or usable_cores()
        if direct.direct_num_workers > 1 and direct.direct_running_mode == "in_memory":
            direct.direct_running_mode = "multi_processing"
        worker = options.view_as(WorkerOptions)
        worker.default_sdk_harness_log_level = worker.default_sdk_harness_log_level or "CRITICAL"
    options.view_as(SetupOptions).save_main_session = False
    return options


def _unknown(options: PipelineOptions, beam_args: Sequence[str]) -> list[str]:
    """Return the options that Beam's Python SDK does not have."""
    names: set[str] = set()  # as they are written, not where argparse puts them: --no_use_public_ips, --worker_zone
    options.get_all_options(add_extra_args_fn=lambda parser: names.update(parser._option_string_actions))
    return [arg for arg in beam_args if arg.startswith("--") and arg.split("=")[0] not in names]


def _runner(options: PipelineOptions) -> str:
    return options.view_as(StandardOptions).runner.split(".")[-1]


def _is_local(options: PipelineOptions) -> bool:
    return _runner(options) in LOCAL_RUNNERS


def worker_threads(options: PipelineOptions) -> int | None:
    """Return each local worker's share of the cores; None on other runners, whose workers have their own."""
    if not _is_local(options):
        return None
    return threads_of(options.view_as(DirectOptions).direct_num_workers)


def make_plan(config: MineConfig, options: PipelineOptions) -> Plan:
    """Look at everything that can be wrong before a worker starts.

    Raises:
        HardnegError: inputs, models or files that are not there.
    """
    work = config.work_folder
    # An object store cannot rename a folder: there the result is written in place, its manifest last.
    result = storage.join(work, "result") if storage.is_local(config.output) else config.output
    plan = Plan(
        config,
        files=[] if config.from_run else plan_inputs(config.inputs),
        work=work,
        result=result,
        threads=worker_threads(options),
        further={} if config.from_run else _further_files(config),
        holdout=read_holdout(config.holdout, config.holdout_split, config.min_relevance)
        if config.holdout
        else NOTHING_HELD_OUT,
        denoising=_read_judge(config.judge_file, config) if config.judge_file else None,
        stored=stored_manifest(config) if config.from_run else {},
    )
    for _, spec in plan.models:
        if not isinstance(spec, RemoteSpec):
            find_model(spec)
    return plan


def _further_files(config: MineConfig) -> dict[tuple[str, str], list[str]]:
    further: dict[tuple[str, str], list[str]] = {}
    for option, named in (
        ("run", config.runs),
        ("embeddings", config.passage_vectors),
        ("query_embeddings", config.query_vectors),
    ):
        for name, pattern in named.items():
            further[option, name] = storage.list_files(pattern)
            if not further[option, name]:
                raise HardnegError(f"--{option.replace('_', '-')} {name}={pattern}: no file matches; check the path.")
    return further


def _read_judge(path: str, config: MineConfig) -> Denoising:
    with explaining(path):
        data = storage.read_file(path)
    try:
        denoising = Denoising.from_json(data.decode("utf-8"), f"--judge-file {path}")
    except UnicodeDecodeError:
        raise HardnegError(f"--judge-file {path} is no judge.json: give the file of a calibration.") from None
    if unknown := sorted(set(denoising.judge.signals) - set(signals_of(config.sources))):
        raise HardnegError(
            f"--judge-file {path} judges by {unknown[0]!r}, which no retriever of this run gives: name the retrievers "
            "as in its calibration, or calibrate again."
        )
    return denoising


@contextmanager
def working(plan: Plan) -> Iterator[None]:
    """Hold the work folder for one run: refuse a second one, clear what an earlier one must not leave.

    Embeddings and logits stay: they lie under the address of their content, and a killed run goes on from them.
    """
    output, work = plan.config.output, plan.work
    taken = Path(output).exists() if storage.is_local(output) else storage.exists(storage.join(output, MANIFEST))
    if taken and not plan.config.overwrite:
        raise HardnegError(f"--output {output}: it exists; choose another folder, or pass --overwrite to replace it.")
    forget(work)
    if not storage.is_local(work):
        yield
        return
    folder = Path(work)
    _refuse_foreign(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if storage.is_local(output):
            Path(output).parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
    except OSError as error:
        raise HardnegError(f"--output {output}: {work} cannot be written ({error.strerror}).") from None
    try:
        for stale in _STALE:
            path = folder / stale
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        yield
    finally:
        lock.unlink(missing_ok=True)


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder with anything else in it than a run's work: it is deleted when the run has finished."""
    ours = (*_STALE, *_KEPT)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in ours and not path.name.startswith(tuple(f".{name}." for name in ours)):
            raise HardnegError(
                f"--work {folder}: it holds {path.name}, which is not a run's, and the work folder is deleted when the "
                "run has finished; give a new or an empty folder."
            )


def _lock(folder: Path) -> Path:
    lock = folder / "lock"
    mine = f"{socket.gethostname()} {os.getpid()}"
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        host, _, process = lock.read_text(encoding="utf-8").partition(" ")
        if host != socket.gethostname() or (process.isdigit() and _alive(int(process))):
            raise HardnegError(
                f"{folder}: another run holds it (process {process} on {host}); wait for it, or, if it is dead, "
                f"delete {lock}."
            ) from None
        lock.unlink()
        return _lock(folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(mine)
    return lock


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def run_graph(plan: Plan, options: PipelineOptions, build: Callable[[beam.Pipeline, Plan], None]) -> None:
    """Build and run a graph to its end.

    Raises:
        HardnegError: what a worker found wrong with the input.
    """
    try:
        pipeline = beam.Pipeline(options=options)
    except ValueError as error:
        raise HardnegError(f"Beam cannot run with the options after --: {error}") from None
    try:
        build(pipeline, plan)
        pipeline.run().wait_until_finish()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        if "KeyboardInterrupt" in text:  # a local worker was interrupted, and Beam made an error of it
            raise KeyboardInterrupt from None
        message = worker_message(text)
        if message is None:
            raise
        raise HardnegError(message) from None


def worker_message(text: str) -> str | None:
    """Return the sentence for a user's mistake that a runner has wrapped into its own error's text, or None."""
    if "[Errno 28]" in text:
        return "A disk is full; make room and start the same command again: it goes on from its work folder."
    found = re.findall(r"HardnegError: (.*?)(?: \[while running|\n\n|\Z)", text, re.DOTALL)
    return found[-1].strip() if found else None


def publish(plan: Plan, wall_seconds: float) -> dict[str, Any]:
    """Write card and manifest and move the result to its place; return the manifest."""
    config = plan.config
    summary = json.loads(storage.read_file(storage.join(plan.work, SUMMARY)))
    inputs = describe_inputs(plan.files)
    if config.from_run:
        check_nothing_missing(config.from_run, summary["counts"])
        inputs = plan.stored["inputs"]
        _copy_rejected(config.from_run, plan.result)
    judge = json.dumps(summary.pop("judge"), indent=1, ensure_ascii=False) + "\n"
    storage.write_file(storage.join(plan.result, JUDGE), lambda sink: sink.write(judge.encode()))
    summary["denoising"] = Denoising.from_json(judge).manifest_entry()
    manifest = make_manifest(config.model_dump(), inputs, summary, read_progress(plan.work), wall_seconds)
    write_card(plan.result, manifest)
    write_manifest(plan.result, manifest)
    if storage.is_local(config.output):
        output = Path(config.output)
        # --work may lie on another disk: copied beside its place first, so that the last step is one rename.
        new, old = (output.with_name(name) for name in (f".{output.name}.new", output.name + ".old"))
        shutil.rmtree(new, ignore_errors=True)
        shutil.move(plan.result, new)
        if output.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(output, old)
        os.replace(new, output)
    release(plan)
    return manifest


def release(plan: Plan) -> None:
    """Delete the work folder of a run that has finished."""
    if storage.is_local(plan.work):
        shutil.rmtree(plan.work, ignore_errors=True)
    else:
        storage.delete_files(storage.join(plan.work, "**"))


def _copy_rejected(run: str, result: str) -> None:
    """Copy the rows that the run's inputs had rejected: its inputs are those of what is mined from it."""
    for path in storage.list_files(storage.join(run, "rejected", "*")):
        data = storage.read_file(path)
        storage.write_file(storage.join(result, "rejected", path.rsplit("/", 1)[-1]), partial(_write, data))


def _write(data: bytes, sink: IO[bytes]) -> None:
    sink.write(data)


def notes(config: MineConfig) -> list[str]:
    """Return what a person should know before the run starts, about traces of earlier runs."""
    said = []
    if storage.is_local(config.output):
        old = Path(config.output.rstrip("/") + ".old")
        if old.exists() and not Path(config.output).exists():
            said.append(f"{old} is the output that an interrupted --overwrite moved away; this run does not touch it.")
    if storage.is_local(config.work_folder) and Path(config.work_folder).exists():
        said.append(f"{config.work_folder} is left from an earlier run; what it embedded and scored is used again.")
    return said


def _clear(output: str) -> None:
    """Delete an object store's output before a run, which writes in place: nothing can be moved away there.

    The manifest goes first, so that what is left does not look finished; other files are not ours to delete.
    """
    if not storage.is_local(output):
        for pattern in (MANIFEST, CARD, JUDGE, REPORT, *(f"{table}/**" for table in (*TABLES, *FORMATS))):
            storage.delete_files(storage.join(output, pattern))


def mine(config: MineConfig, beam_args: Sequence[str]) -> dict[str, Any]:
    """Run a mining configuration from inputs to a published output; return its manifest."""
    start = time.perf_counter()
    options = pipeline_options(beam_args)
    plan = make_plan(config, options)
    with working(plan):
        _clear(plan.config.output)
        run_graph(plan, options, build_from_run if config.from_run else build)
        manifest = publish(plan, time.perf_counter() - start)
    # The run is there, whatever becomes of what is made from it.
    failed = []
    for finish in (_export, _report):
        try:
            finish(config)
        except HardnegError as error:
            failed.append(str(error))
    if failed:
        raise HardnegError(" ".join(failed))
    return manifest


def _report(config: MineConfig) -> None:
    """Write the page of the published output, as ``hardneg report`` does."""
    output = config.output
    try:
        write_report(report(output, REPORT_DEFAULTS))
    except (HardnegError, OSError) as error:
        raise HardnegError(
            f"The run in {output} is finished, but its report.html was not written: {str(error).removesuffix('.')}; "
            f"`hardneg report {output}` makes it again."
        ) from None


def _export(config: MineConfig) -> None:
    """Write the formats that were asked for into the published output, each as ``hardneg export`` does."""
    for form in dict.fromkeys(config.format):
        short = {"short": "smaller"} if form in FIXED else {}
        folder = storage.join(config.output, form)
        try:
            export(config.output, ExportOptions.model_validate({"format": form, "output": folder, **short}))
        except HardnegError as error:
            raise HardnegError(
                f"The run in {config.output} is finished, but was not exported as {form}: {error}"
            ) from None

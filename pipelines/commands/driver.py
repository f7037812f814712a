"""A run from its options to a published output and what is made from it. Prints nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from hardneg.errors import HardnegError, InputError, RunError, parameter
from hardneg.pipelines.commands.export import export
from hardneg.pipelines.graphs.mine import build
from hardneg.pipelines.graphs.remine import build_from_run, stored_manifest
from hardneg.pipelines.options.finished import REPORT_DEFAULTS, ExportOptions
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.report.html import write_report
from hardneg.pipelines.report.report import report
from hardneg.pipelines.runs.plan import Plan
from hardneg.pipelines.runs.publishing import clear, publish
from hardneg.pipelines.runs.runner import is_local_run, pipeline_options, run_graph, worker_threads
from hardneg.pipelines.runs.work_folder import working
from hardneg.transforms.core import storage
from hardneg.transforms.export.registry import format_named
from hardneg.transforms.inputs.evaluation_sets import held_out_of, read_evaluation_sets
from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.inputs.planning import plan_inputs
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.judge.sample import signals_of
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.served.spec import RemoteSpec


def mine(config: MineConfig, beam_args: Sequence[str], texts_travel: bool | None = None) -> dict[str, Any]:
    """Run a mining configuration to a published output, its page and its further formats; return its manifest.

    Args:
        config: the options.
        beam_args: Beam's own.
        texts_travel: whether texts are sent with the blocks; None: unless the workers are processes of this machine.
    """
    manifest = mine_tables(config, beam_args, texts_travel)
    # The run is there, whatever becomes of what is made from it.
    failed = []
    for finish in (export_formats, _report):
        try:
            finish(config)
        except HardnegError as error:
            failed.append(error.told(parameter))
    if failed:
        raise RunError(" ".join(failed))
    return manifest


def mine_tables(config: MineConfig, beam_args: Sequence[str], texts_travel: bool | None = None) -> dict[str, Any]:
    """Run a mining configuration to a published output, without page and formats; return its manifest."""
    start = time.perf_counter()
    options = pipeline_options(beam_args)
    plan = make_plan(config, options)
    if texts_travel is not None:
        plan = replace(plan, texts_travel=texts_travel)
    with working(plan):
        clear(config.output)
        run_graph(plan, options, build_from_run if config.from_run else build)
        return publish(plan, time.perf_counter() - start)


def _report(config: MineConfig) -> None:
    """Write the page of the published output, as ``hardneg report`` does."""
    output = config.output
    try:
        write_report(report(output, REPORT_DEFAULTS))
    except (HardnegError, OSError) as error:
        why = error.told(parameter) if isinstance(error, HardnegError) else str(error)
        raise RunError(
            f"The run in {output} is finished, but its report.html was not written: {why.removesuffix('.')}; "
            f"`hardneg report {output}` makes it again."
        ) from None


def export_formats(config: MineConfig) -> None:
    """Write the formats that were asked for into the published output, each as ``hardneg export`` does."""
    for form in dict.fromkeys(config.format):
        short = {"short": "smaller"} if format_named(form).fixed else {}
        folder = storage.join(config.output, form)
        try:
            export(config.output, ExportOptions.model_validate({"format": form, "output": folder, **short}))
        except HardnegError as error:
            why = error.told(parameter)
            raise RunError(f"The run in {config.output} is finished, but was not exported as {form}: {why}") from None


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
        files=[] if config.from_run else plan_inputs(config.inputs, config.policy.pass_through),
        work=work,
        result=result,
        threads=worker_threads(options),
        texts_travel=not is_local_run(options),
        holdout=held_out_of(read_evaluation_sets(config.holdout, config.min_relevance)),
        denoising=_read_judge(config.judge_file, config) if config.judge_file else None,
        stored=stored_manifest(config) if config.from_run else {},
    )
    for retriever in [] if config.from_run else config.retrievers:
        retriever.check()
    for _, spec in plan.models:
        if not isinstance(spec, RemoteSpec):
            find_model(spec)
    return plan


def _read_judge(path: str, config: MineConfig) -> CalibratedJudge:
    with explaining(path):
        data = storage.read_file(path)
    try:
        denoising = CalibratedJudge.from_json(data.decode("utf-8"), f"{parameter('judge_file')} {path}")
    except UnicodeDecodeError:
        raise InputError(
            f"{parameter('judge_file')} {path} is no judge.json: give the file of a calibration."
        ) from None
    if unknown := sorted(set(denoising.judge.signals) - set(signals_of(config.sources))):
        raise InputError(
            f"{parameter('judge_file')} {path} judges by {unknown[0]!r}, which no retriever of this run gives: name "
            "the retrievers as in its calibration, or calibrate again."
        )
    return denoising

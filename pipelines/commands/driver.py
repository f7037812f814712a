"""A run from its options to a published output and what is made from it. Prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from hardneg.errors import OptionError, parameter
from hardneg.pipelines.commands.publish import Check, Published, nothing_to_check, publish_run
from hardneg.pipelines.graphs.mine import build
from hardneg.pipelines.graphs.remine import build_from_run, held_out_of_run, stored_manifest
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.runs.marked import read_all_marks
from hardneg.pipelines.runs.output_place import explaining_full_disks
from hardneg.pipelines.runs.plan import Plan, read_judge
from hardneg.pipelines.runs.publishing import Publication, clear, ended_before
from hardneg.pipelines.runs.runner import is_local_run, pipeline_options, run_graph, worker_threads
from hardneg.pipelines.runs.state import State, state_of
from hardneg.pipelines.runs.work_folder import working
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.decided import decisions
from hardneg.transforms.inputs.evaluation_sets import held_out_of, read_evaluation_sets
from hardneg.transforms.inputs.marks import marks_of
from hardneg.transforms.inputs.planning import plan_inputs
from hardneg.transforms.inputs.rejections import left_out
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.output.manifest import describe_inputs


def mine(config: MineConfig, beam_args: Sequence[str], texts_travel: bool | None = None) -> dict[str, Any]:
    """Run a mining configuration to a published output, its page and its further formats; return its manifest.

    Args:
        config: the options.
        beam_args: Beam's own.
        texts_travel: whether texts are sent with the blocks; None: unless the workers are processes of this machine.
    """
    return _run(config, beam_args, texts_travel, page=True).manifest


def submit(config: MineConfig, beam_args: Sequence[str]) -> None:
    """Submit a mining run to an engine of others and leave; ``publish`` makes the output when its job has ended.

    Raises:
        OptionError: the runner is a local one, which works in this process.
    """
    options = pipeline_options(beam_args)
    _refuse_local(options)
    plan = make_plan(config, options)
    inputs = plan.stored["inputs"] if config.from_run else describe_inputs(plan.files)
    asked = Publication.of(plan, inputs, state_of(config, inputs, plan.scores), {})
    with explaining_full_disks(), working(plan, ended=False):
        _run_pipeline(plan, options, asked, wait=False)


def mine_tables(config: MineConfig, beam_args: Sequence[str]) -> dict[str, Any]:
    """Run a mining configuration to a published output, without page and formats; return its manifest."""
    return _run(config, beam_args, None, page=False).manifest


def mine_snapshot(
    config: MineConfig,
    beam_args: Sequence[str],
    inputs: list[dict[str, Any]],
    state: State,
    snapshot: dict[str, Any],
    still_ours: Check,
    wait: bool = True,
) -> Published | None:
    """Run a configuration to a snapshot of a store, which this process holds.

    Without waiting for the engine that runs it, None: ``publish`` makes the snapshot when its job has ended.

    Args:
        config: the options; ``output`` is the snapshot's folder.
        beam_args: Beam's own.
        inputs: as ``describe_inputs`` gave them.
        state: what decides the result.
        snapshot: as in ``Publication``.
        still_ours: as in ``publish_run``.
        wait: whether to wait for the engine.
    """
    options = pipeline_options(beam_args)
    if not wait:
        _refuse_local(options)
    plan = replace(make_plan(config, options), result=storage.join(config.work_folder, "result"))
    asked = Publication.of(plan, inputs, state, snapshot)
    if not wait and not ended_before(plan.work, asked):
        with explaining_full_disks(), working(plan, ended=False):
            _run_pipeline(plan, options, asked, wait=False)
        return None
    return _run_plan(plan, options, asked, True, still_ours)


def _run(config: MineConfig, beam_args: Sequence[str], texts_travel: bool | None, page: bool) -> Published:
    options = pipeline_options(beam_args)
    plan = make_plan(config, options)
    if texts_travel is not None:
        plan = replace(plan, texts_travel=texts_travel)
    inputs = plan.stored["inputs"] if config.from_run else describe_inputs(plan.files)
    state = state_of(config, inputs, plan.scores)
    return _run_plan(plan, options, Publication.of(plan, inputs, state, {}), page)


def _run_plan(
    plan: Plan, options: PipelineOptions, asked: Publication, page: bool, still_ours: Check = nothing_to_check
) -> Published:
    """Run the graph, unless the work folder holds this very run, ended; then publish it."""
    ended = ended_before(plan.work, asked)
    with explaining_full_disks(), working(plan, ended):
        if not ended:
            _run_pipeline(plan, options, asked)
        return publish_run(plan.work, page, still_ours)


def _run_pipeline(plan: Plan, options: PipelineOptions, asked: Publication, wait: bool = True) -> None:
    asked.write(plan.work)
    clear(asked.result)
    run_graph(plan, options, build_from_run if plan.config.from_run else build, wait)


def _refuse_local(options: PipelineOptions) -> None:
    if is_local_run(options):
        raise OptionError(
            f"{parameter('no_wait')} leaves a job to an engine of others: name its runner after --, or leave it out."
        )


def make_plan(config: MineConfig, options: PipelineOptions) -> Plan:
    """Look at everything that can be wrong before a worker starts.

    Raises:
        HardnegError: inputs, models or files that are not there.
    """
    work = config.work_folder
    # An object store cannot rename a folder: there the result is written in place, its manifest last.
    result = storage.join(work, "result") if storage.is_local(config.output) else config.output
    files = [] if config.from_run else plan_inputs(config.inputs, config.policy.pass_through)
    sets = read_evaluation_sets(config.holdout, config.min_relevance)
    notes = [*decisions(files), *(note for each in sets for note in left_out(each.rejections, "holdout"))]
    plan = Plan(
        config,
        files=files,
        work=work,
        result=result,
        threads=worker_threads(options),
        texts_travel=not is_local_run(options),
        holdout=held_out_of(sets),
        marks=marks_of(read_all_marks(config.marks, [config.from_run] if config.from_run else [])),
        denoising=read_judge(config) if config.judge_file else None,
        stored=stored_manifest(config) if config.from_run else {},
        notes=[*notes, *(held_out_of_run(config) if config.from_run else [])],
    )
    for retriever in [] if config.from_run else config.retrievers:
        retriever.check()
    for _, spec in plan.models:
        if not isinstance(spec, RemoteSpec):
            find_model(spec)
    return plan

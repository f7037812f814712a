"""`hardneg calibrate`: the judge and its threshold, without mining; written as judge.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from hardneg.errors import OptionError, parameter
from hardneg.pipelines.commands.driver import make_plan
from hardneg.pipelines.graphs.calibrate_and_mine import add_calibration
from hardneg.pipelines.graphs.mine import all_notes, retrieve
from hardneg.pipelines.graphs.remine import read_back
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.runs.output_place import refuse_existing
from hardneg.pipelines.runs.plan import Plan
from hardneg.pipelines.runs.runner import pipeline_options, run_graph
from hardneg.pipelines.runs.work_folder import SUMMARY, release, working
from hardneg.transforms.core import storage
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.output.manifest import JUDGE


def calibrate(config: MineConfig, beam_args: Sequence[str]) -> tuple[CalibratedJudge, list[str]]:
    """Calibrate on the sample of a collection, or of a finished run, and write the file ``config.output``.

    Returns:
        The judge; and what was found and decided of the input, a sentence each.

    Raises:
        HardnegError: anything that is wrong with the input or the options.
    """
    if config.judge_file:
        raise OptionError(
            f"{parameter('judge_file')} is what a calibration writes, not what it takes; name the file by "
            f"{parameter('output')}."
        )
    if not config.output.endswith(".json"):
        raise OptionError(
            f"{parameter('output')} {config.output}: a calibration is one file; give it a name that ends in .json."
        )
    refuse_existing(config.output, config.overwrite)
    if storage.is_local(config.output) and not Path(config.output).resolve().parent.is_dir():
        raise OptionError(f"{parameter('output')} {config.output}: there is no such folder; make it first.")
    options = pipeline_options(beam_args)
    # The sample is the queries of the smallest digests, and so are those of --max-queries.
    queries = min(config.calibration_queries, config.max_queries or config.calibration_queries)
    plan = make_plan(config if config.from_run else config.model_copy(update={"max_queries": queries}), options)
    with working(plan):
        run_graph(plan, options, _build)
        text = storage.read_file(storage.join(plan.work, JUDGE)).decode("utf-8")
        notes = json.loads(storage.read_file(storage.join(plan.work, SUMMARY)))["notes"]
    storage.write_file(config.output, lambda sink: sink.write(text.encode()))
    release(plan.work)
    return CalibratedJudge.from_json(text), [*plan.notes, *notes]


def _build(pipeline: beam.Pipeline, plan: Plan) -> None:
    notes: Any = []
    if plan.config.from_run:
        merged, queries, models, _ = read_back(pipeline, plan)
    else:
        read, merged, queries = retrieve(pipeline, plan)
        models, notes = read.models, all_notes(pipeline, read)
    calibrated = add_calibration(pipeline, plan, merged, queries, models)
    (
        pipeline
        | "Once" >> beam.Create([plan.work], reshuffle=False)
        | "Write judge" >> beam.Map(_write, AsSingleton(calibrated.judge), notes)
    )


def _write(work: str, judge: str, notes: list[str]) -> None:
    for name, found in ((JUDGE, json.loads(judge)), (SUMMARY, {"notes": sorted(notes)})):
        data = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        storage.write_file(storage.join(work, name), partial(_put, data.encode()))


def _put(data: bytes, sink: IO[bytes]) -> None:
    sink.write(data)

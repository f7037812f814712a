"""The second half of a run: merged blocks to a judge, and to mined rows. Shared by mine, mine --from and calibrate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsList, AsSingleton

from hardneg.pipelines.runs.plan import Plan
from hardneg.transforms.corpus.query_blocks_stage import SmallestDigests
from hardneg.transforms.corpus.texts_stage import HydrateCandidates
from hardneg.transforms.judge.calibration import check_judge
from hardneg.transforms.mining.calibrate_stage import Calibrate, ScoreSample
from hardneg.transforms.mining.mine_stage import MineBlocks

_NO_SAMPLE = -1  # digests are not negative


@dataclass
class Calibrated:
    """What calibration gives the stage that mines: blocks, side inputs, counts."""

    blocks: beam.PCollection
    judge: beam.PCollection
    cutoff: AsSingleton
    counts: list[beam.PCollection]


def add_calibration(
    pipeline: beam.Pipeline,
    plan: Plan,
    merged: beam.PCollection,
    queries: beam.PCollection,
    models: beam.PCollection,
) -> Calibrated:
    """Add the calibration on a sample, or take the judge that was given.

    Args:
        pipeline: what is built.
        plan: the run.
        merged: (block, Block).
        queries: (block, table of its queries).
        models: (source name, description as JSON).
    """
    config = plan.config
    if plan.texts_travel:
        merged = merged | "Hydrate" >> HydrateCandidates(plan.work)
    nobody = AsSingleton(pipeline | "No sample" >> beam.Create([_NO_SAMPLE], reshuffle=False))
    if plan.denoising is not None:
        given = pipeline | "Judge file" >> beam.Create([plan.denoising.to_json()], reshuffle=False)
        judge = given | "Check judge" >> beam.Map(
            check_judge, plan.conditions, str(config.judge_file), AsList(models)
        ).with_output_types(str)
        return Calibrated(merged, judge, nobody, [])
    largest = (
        queries
        | "Digests" >> beam.MapTuple(lambda _, table: table["digest"].to_pylist())
        | "Sample of queries" >> beam.CombineGlobally(SmallestDigests(config.calibration_queries))
        | "Cutoff" >> beam.MapTuple(lambda _, digest: digest)
    )
    cutoff = AsSingleton(largest)
    sample = merged | "Score sample" >> plan.on_model_workers(ScoreSample(plan.job, config.target, cutoff))
    missing, seen = (
        sample.counts
        | f"Only {name}" >> beam.Filter(lambda counted, name: counted[0] == name, name)
        | f"Number of {name}" >> beam.MapTuple(lambda _, number: (0, number))
        for name in ("pairs_missing_of_sample", "positives_seen_in_training")
    )
    parts = {"rows": sample.rows, "queries": sample.queries, "missing": missing, "seen": seen}
    judge = parts | "Calibrate" >> Calibrate(config.sources, config.policy, config.target, config.k, AsList(models))
    # Without a target, known positives are looked at and nothing else: no query is scored more than another.
    return Calibrated(sample.blocks, judge, cutoff if config.target.needs_sample else nobody, [sample.counts])


def add_mining(plan: Plan, calibrated: Calibrated) -> Any:
    """Add judging and selection; return the tagged outputs of ``MineBlocks``."""
    mining = MineBlocks(plan.job, plan.config.output_shards, AsSingleton(calibrated.judge), calibrated.cutoff)
    return calibrated.blocks | "Mine" >> plan.on_model_workers(mining)

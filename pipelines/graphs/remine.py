"""`hardneg mine --from RUN`: decide again, from a finished run's stored scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa

from hardneg.errors import OptionError, parameter
from hardneg.pipelines.graphs.calibrate_and_mine import add_calibration
from hardneg.pipelines.graphs.mine import write
from hardneg.pipelines.options.denoise import DenoiseOptions
from hardneg.pipelines.options.former import upgraded
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.runs.plan import Plan
from hardneg.transforms.core.partition import DIGEST
from hardneg.transforms.core.text import text_digest
from hardneg.transforms.corpus.found import held_out_note, held_out_passages, held_out_queries, joined
from hardneg.transforms.inputs.evaluation_sets import NOTHING_HELD_OUT, held_out_of, read_evaluation_sets
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.reread_stage import ReadStoredRun
from hardneg.transforms.output.run_tables import columns_of

# What may differ from the run that is read: everything else decided what was retrieved, or how it was scored.
_FREE = {
    *DenoiseOptions.model_fields,
    *(
        "output",
        "output_shards",
        "overwrite",
        "work",
        "block_size",
        "accelerator",
        "from_run",
        "score_missing",
        "segments",
    ),
    *("format", "cross_encoder_batch", "cross_encoder_requests", "cross_encoder_timeout"),
}
# Counts of what was read, which stays.
_INPUT_COUNTS = ("passages", "passages_repeated", "queries_read", "queries_repeated", "queries_without_positives",
                 "queries_held_out", "rows_read", "rows_rejected", "segments")  # fmt: skip


def stored_manifest(config: MineConfig) -> dict[str, Any]:
    """Return the manifest of the run to read, once it is clear that it can serve.

    Raises:
        OptionError: no finished run, or options that its stored scores do not answer.
    """
    run = config.from_run
    assert run is not None
    finished = FinishedRun.open(run)
    manifest = finished.manifest
    for name, kind in (("models", dict), ("inputs", list), ("shards", list)):
        if not isinstance(manifest.get(name), kind):
            raise OptionError(
                f"{parameter('from_run')} {run}: its manifest.json has no {name}; give a folder that `hardneg mine` "
                "wrote."
            )
    stored = MineConfig.model_validate({**upgraded(manifest["options"]), "output": config.output})
    for name in MineConfig.model_fields:
        if name not in _FREE and getattr(config, name) != getattr(stored, name):
            raise OptionError(
                f"{parameter(name)} cannot change with {parameter('from_run')} {run}: it decided what was retrieved "
                "or scored there; mine from the inputs instead."
            )
    if config.holdout != stored.holdout and config.max_queries is not None:
        raise OptionError(
            f"{parameter('holdout')} cannot change with {parameter('from_run')} {run}, which took only "
            f"{parameter('max_queries')} {config.max_queries}: others would have taken the place of held-out "
            "queries; mine from the inputs instead."
        )
    if config.score_missing and "cross_encoder" not in manifest["models"]:
        raise OptionError(
            f"{parameter('score_missing')}: {run} was mined without a cross-encoder, so it has no scores that others "
            "could be added to; mine from the inputs instead."
        )
    paths = [finished.require(kind) for kind in ("queries", "passages", "candidates")][-1]
    names = columns_of(next(iter(paths.values())))
    for name in config.policy.pass_through:
        if name not in names:
            raise OptionError(
                f"{parameter('group')} {name}: candidates/ of {run} has no such column; mine again with "
                f"{parameter('pass_through')} {name} or {parameter('group')} {name}:forbid."
            )
    return manifest


def held_out_of_run(config: MineConfig) -> list[str]:
    """Return how much of the evaluation sets that the run was not yet told of is in it, in a sentence, if any is given.

    Raises:
        InputError: nothing of them is: they are another collection's.
    """
    assert config.from_run is not None
    run = FinishedRun.open(config.from_run)
    # What the run itself held out is not in it any more.
    before = upgraded(run.options).get("holdout", [])
    holdout = held_out_of(
        read_evaluation_sets([path for path in config.holdout if path not in before], config.min_relevance)
    )
    if holdout is NOTHING_HELD_OUT:
        return []
    parts = [held_out_queries(table, holdout) for table in _batches(run, "queries")]
    parts += [held_out_passages(table, holdout) for table in _batches(run, "passages")]
    return [held_out_note(joined(parts), holdout)]


def _batches(run: FinishedRun, kind: str) -> Iterator[pa.Table]:
    """Yield queries or passages of a run with the digests of their texts."""
    for batch in run.batches(kind):
        digests = pa.array([text_digest(text) for text in batch.column(1).to_pylist()], DIGEST)
        yield pa.Table.from_batches([batch]).append_column("text_digest", digests)


def build_from_run(pipeline: beam.Pipeline, plan: Plan) -> None:
    """Add the whole run to a pipeline: read back, calibrate, mine, write."""
    blocks, queries, models, read = read_back(pipeline, plan)
    calibrated = add_calibration(pipeline, plan, blocks, queries, models)
    kept = {name: plan.stored["counts"][name] for name in _INPUT_COUNTS if name in plan.stored["counts"]}
    counts = pipeline | "Counts of the run" >> beam.Create(sorted(kept.items()), reshuffle=False)
    write(pipeline, plan, calibrated, models, [counts, read])


def read_back(
    pipeline: beam.Pipeline, plan: Plan
) -> tuple[beam.PCollection, beam.PCollection, beam.PCollection, beam.PCollection]:
    """Add reading a run back.

    Returns:
        (block, Block); (block, table of its queries); (source name, model as JSON); (name, number) of counts.
    """
    config = plan.config
    assert config.from_run is not None
    blocks, queries, counts = pipeline | "Read run" >> ReadStoredRun(
        FinishedRun(config.from_run, plan.stored), plan.work, config.sources, config.block_size, plan.holdout
    )
    described = [(name, json.dumps(model)) for name, model in sorted(plan.stored["models"].items())]
    models = pipeline | "Models" >> beam.Create(described, reshuffle=False).with_output_types(tuple[str, str])
    return blocks, queries, models, counts

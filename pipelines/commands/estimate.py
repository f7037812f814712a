"""`hardneg mine --dry-run`: what a run would take, from its real input and a short measurement."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import apache_beam as beam
from apache_beam.pvalue import AsList, AsSingleton

from hardneg.pipelines.commands.driver import make_plan
from hardneg.pipelines.graphs.mine import all_notes, build_reading
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.runs.plan import Plan
from hardneg.pipelines.runs.runner import pipeline_options, run_graph
from hardneg.pipelines.runs.work_folder import ESTIMATE, working
from hardneg.transforms.core import storage
from hardneg.transforms.corpus.ingestion import sample_passages
from hardneg.transforms.judge.sample_rows import pairs_per_query
from hardneg.transforms.models.loaded import bi_encoder, cross_encoder
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.models.spec import ModelSpec

MEASURED = 64  # texts and pairs of the measurement


@contextmanager
def scratch(config: MineConfig) -> Iterator[MineConfig]:
    """Yield the configuration with a work folder of its own, which is gone afterwards: a dry run leaves nothing."""
    if not storage.is_local(config.work_folder):
        yield config
        return
    with tempfile.TemporaryDirectory(prefix="hardneg-dry-run-") as folder:
        yield config.model_copy(update={"work": str(Path(folder) / "work")})


def estimate(config: MineConfig, beam_args: Sequence[str]) -> list[str]:
    """Read and check the input, time the models on a sample, and return what a run would take, line by line."""
    options = pipeline_options(beam_args)
    plan = make_plan(config, options)
    with working(plan):
        run_graph(plan, options, _build)
        found = json.loads(storage.read_file(storage.join(plan.work, ESTIMATE)))
    counts = found["counts"]
    queries, passages = found["queries"], counts.get("passages", 0)
    retrieved = queries * min(passages, config.k * len(config.sources))
    pairs = _pairs(plan, queries, passages)
    lines = [
        *plan.notes,
        *found["notes"],
        f"{passages:,} passages, {queries:,} queries, {counts.get('rows_rejected', 0):,} rows rejected",
        f"at most {retrieved:,} pairs retrieved; {'' if config.score == 'all' else 'at least '}{pairs:,} pairs scored",
    ]
    seconds = pairs / _rate(lambda: _score(config, found["sample"])) if pairs else 0.0
    if pairs and isinstance(config.cross_encoder_spec, RemoteSpec):
        asked = 2 * len(found["sample"])
        lines.append(f"the served cross-encoder was asked for {asked} scores to time it; they are not kept")
    for retriever in config.retrievers:
        if retriever.spec is None:
            continue
        rate = _rate(partial(_encode, retriever.spec, found["sample"]))
        name, encoded = retriever.name, passages if retriever.encodes_passages else 0
        lines.append(f"{name}: {rate:,.0f} passages a second here, {encoded / rate / 3600:.1f} hours to encode")
        seconds += encoded / rate + queries / rate / 4
    lines.append(f"about {seconds / 3600:.1f} hours in the models of one worker with {plan.threads or 'all'} threads")
    return lines


def _pairs(plan: Plan, queries: int, passages: int) -> int:
    """Return about how many pairs are scored: of the calibration sample its part, of other queries the first few."""
    config = plan.config
    if not plan.scores:
        return 0
    every = min(passages, config.k * len(config.sources)) + 1
    calibrated = (
        min(queries, config.calibration_queries) if plan.denoising is None and config.target.needs_sample else 0
    )
    if config.score == "all" or config.order == "judge":
        return queries * every
    sampled = min(every, pairs_per_query(config.negatives) + 1)
    return calibrated * sampled + (queries - calibrated) * (min(passages, config.negatives) + 1)


def _rate(work: Callable[[], int]) -> float:
    """Return items per second of the second call; the first one loads and warms up."""
    work()
    start = time.perf_counter()
    return work() / (time.perf_counter() - start)


def _encode(spec: ModelSpec, sample: list[str]) -> int:
    return len(bi_encoder(spec).encode(sample, "passage"))


def _score(config: MineConfig, sample: list[str]) -> int:
    # The first words of a passage are about as long as a query, and a query's first candidates are scored together.
    together = config.negatives
    queries = [sample[place - place % together][:80] for place in range(len(sample))]
    logits, _ = cross_encoder(config.cross_encoder_spec).score(queries, sample)
    return len(logits)


def _build(pipeline: beam.Pipeline, plan: Plan) -> None:
    read = build_reading(pipeline, plan)
    sample = read.segments | "Sample" >> beam.FlatMap(lambda info, work: sample_passages(work, info.number), plan.work)
    counts = read.counts | "All counts" >> beam.Flatten() | "Sum counts" >> beam.CombinePerKey(sum)
    (
        pipeline
        | "Once" >> beam.Create([plan.work], reshuffle=False)
        | "Estimate"
        >> beam.Map(
            _write, AsList(counts), AsSingleton(read.wanted), AsList(sample), all_notes(pipeline, read), read.checks
        )
    )


def _write(
    work: str,
    counts: list[tuple[str, int]],
    wanted: tuple[int, int],
    sample: list[tuple[int, str]],
    notes: list[str],
    _: list[str],
) -> None:
    found = {
        "notes": sorted(notes),
        "counts": dict(counts),
        "queries": wanted[0],
        "sample": [text for _, text in sorted(sample)[:MEASURED]],
    }
    storage.write_file(
        storage.join(work, ESTIMATE), lambda sink: sink.write(json.dumps(found, ensure_ascii=False).encode())
    )

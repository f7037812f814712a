"""The mining graph: read, check, index, retrieve, score, judge, write. One Beam pipeline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsList

from hardneg.pipelines.config import MineConfig
from hardneg.transforms import storage
from hardneg.transforms.checking import CheckModels, check_corpus, check_queries, count_segments
from hardneg.transforms.embedding import (
    EncodeQueries,
    EncodeSegments,
    ReadVectors,
    RequireVectors,
    StoreVectors,
)
from hardneg.transforms.fusion import MergeCandidates, SearchSegments, Source
from hardneg.transforms.hydration import HydrateCandidates, read_referred
from hardneg.transforms.ingestion import BuildSegments, CheckRejected, ReadInputs, ResolveQrels, SegmentInfo
from hardneg.transforms.input_files import InputFile
from hardneg.transforms.lexical import WeighSegments
from hardneg.transforms.queries import CutBlocks, JoinQueries
from hardneg.transforms.runs import ReadRun
from hardneg.transforms.scoring import MineBlocks
from hardneg.transforms.writing import Shard, WriteShards

SUMMARY = "summary.json"
_SEGMENT_BYTES = 64 << 20
_BUCKET_BYTES = 8 << 20


@dataclass(frozen=True)
class Plan:
    """A run, ready to be built: the configuration and what was found and decided in the driver.

    Attributes:
        files: the inputs.
        work: folder for indexes, embeddings and the unfinished result.
        result: folder that the output's tables are written to.
        threads: torch and numba threads of one worker; None: theirs.
        further: paths of run and vector files, by option and source name.
    """

    config: MineConfig
    files: list[InputFile]
    work: str
    result: str
    threads: int | None
    further: dict[tuple[str, str], list[str]]

    @property
    def segments(self) -> int:
        size = sum(file.size for file in self.files if file.kind in ("passages", "pairs"))
        return self.config.segments or max(1, round(size / _SEGMENT_BYTES))

    @property
    def buckets(self) -> int:
        """Slices of the query ids for the joins."""
        size = sum(file.size for file in self.files if file.kind != "passages")
        return max(1, min(256, round(size / _BUCKET_BYTES)))

    @property
    def models(self) -> list[tuple[str, Any]]:
        return [*self.config.dense_models.items(), ("cross_encoder", self.config.cross_encoder_spec)]


@dataclass
class Read:
    """What reading gives the later stages; ``checks`` must be complete before anything expensive."""

    segments: beam.PCollection
    queries: beam.PCollection
    wanted: beam.PCollection
    models: beam.PCollection
    counts: list[beam.PCollection]
    checks: AsList


def build(pipeline: beam.Pipeline, plan: Plan) -> None:
    """Add the whole run to a pipeline; the driver publishes what it leaves in ``plan.result``."""
    read = build_reading(pipeline, plan)
    searchable, blocks = build_indexes(pipeline, plan, read)
    config = plan.config
    sources = config.sources
    found = blocks | "Search" >> SearchSegments(
        plan.work, sources, config.k, config.tokenizer, config.bm25_engine, AsList(searchable), plan.threads
    )
    merged = {"queries": blocks, "found": found} | "Merge" >> MergeCandidates(sources, config.k)
    if config.hydrate == "shuffle":
        merged = merged | "Hydrate" >> HydrateCandidates(plan.work)
    mined = merged | "Mine" >> MineBlocks(
        plan.work, sources, config.policy, config.cross_encoder_spec, config.output_shards, plan.threads
    )
    passages = (
        mined.referred
        | "GroupReferred" >> beam.GroupByKey()
        | "ReadReferred" >> beam.FlatMap(read_referred, plan.work, config.output_shards)
    )
    tables = {
        "triplets": mined.triplets,
        "candidates": mined.candidates,
        "queries": mined.queries,
        "passages": passages,
    }
    shards = [
        table | f"Write {kind}" >> WriteShards(plan.result, kind, config.output_shards)
        for kind, table in tables.items()
    ]
    _summarise(pipeline, plan, read, [*read.counts, mined.counts], shards)


def build_reading(pipeline: beam.Pipeline, plan: Plan) -> Read:
    """Add reading, joining and checking; ``hardneg mine --dry-run`` stops here."""
    config, work = plan.config, plan.work
    names = [file.path for file in plan.files]
    rows = (
        pipeline
        | "Files" >> beam.Create(plan.files, reshuffle=False)
        | "Read" >> ReadInputs(work, plan.segments, plan.buckets)
    )
    segments = rows.parts | "Build segments" >> BuildSegments(work, names, config.tokenizer)
    qrels = {"qrels": rows.qrels, "segments": segments} | "Resolve qrels" >> ResolveQrels(work, plan.buckets)
    joined = {"queries": rows.queries, "qrels": qrels.qrels, **_known_by_query(pipeline, plan)}
    queries, unknown, query_counts = joined | "Join queries" >> JoinQueries(
        names, config.min_relevance, config.allow_no_positives, plan.buckets
    )
    blocks, wanted = queries | "Cut blocks" >> CutBlocks(config.block_size, config.max_queries)
    all_rejected = (rows.rejected, qrels.rejected, unknown) | "All rejected" >> beam.Flatten()
    rejected = {"rejected": all_rejected, "counts": rows.counts} | "Check rejected" >> CheckRejected(
        plan.result, plan.files, config.max_rejected
    )
    models = segments | "Check models" >> CheckModels(work, plan.models, config.allow_unknown_tokens, plan.threads)
    segment_counts = segments | "Count segments" >> beam.FlatMap(count_segments, work, list(config.dense_models))
    checks = (
        rejected | "Rejected checked" >> beam.MapTuple(lambda file, _: f"file {file}"),
        models | "Models checked" >> beam.Keys(),
        segments
        | "Passages" >> beam.Map(lambda info: info.passages)
        | "All passages" >> beam.CombineGlobally(sum)
        | "Corpus checked" >> beam.Map(check_corpus),
        wanted | "Queries checked" >> beam.Map(check_queries, work),
    ) | "Checks" >> beam.Flatten()
    counts = [
        query_counts,
        segment_counts,
        rejected | "Count rejected" >> beam.MapTuple(lambda _, rows: ("rows_rejected", rows)),
        rows.counts | "Count rows" >> beam.MapTuple(lambda _, rows: ("rows_read", rows)),
    ]
    return Read(segments, blocks, wanted, models, counts, AsList(checks))


def build_indexes(pipeline: beam.Pipeline, plan: Plan, read: Read) -> tuple[beam.PCollection, beam.PCollection]:
    """Add indexing and encoding; return the numbers of complete segments, and blocks with embeddings."""
    config, work = plan.config, plan.work
    segments = read.segments | "Await checks" >> beam.Map(_after, read.checks).with_output_types(SegmentInfo)
    blocks = read.queries | "Await query checks" >> beam.Map(_after, read.checks).with_output_types(tuple[int, Any])
    indexed = {"bm25": segments | "Weigh BM25" >> WeighSegments(work)}
    for source in config.sources:
        if source.kind != "dense":
            continue
        name = source.name
        if name in config.passage_vectors:
            vectors = _paths(pipeline, plan, "embeddings", name) | f"Read vectors {name}" >> ReadVectors(
                "passage_id", "vector", plan.segments
            )
            sizes = segments | f"Sizes {name}" >> beam.Map(lambda info: (info.number, info.passages))
            indexed[name] = {"vectors": vectors, "segments": sizes} | f"Store vectors {name}" >> StoreVectors(
                work, source
            )
        else:
            indexed[name] = segments | f"Encode passages {name}" >> EncodeSegments(
                work, source, config.dense_models[name], plan.threads
            )
        if name in config.query_vectors:
            blocks = blocks | f"Require vectors {name}" >> RequireVectors(source)
        else:
            blocks = blocks | f"Encode queries {name}" >> EncodeQueries(
                work, source, config.dense_models[name], plan.threads
            )
    # A segment is searched when every index of every segment is there.
    waits = [AsList(done) for name, done in indexed.items() if name != "bm25"]
    complete = indexed["bm25"] | "Complete" >> beam.Map(_after, *waits).with_output_types(int)
    return complete, blocks


def _after(element: Any, *_: Any) -> Any:
    """Pass an element on once the side inputs are complete."""
    return element


def _paths(pipeline: beam.Pipeline, plan: Plan, option: str, name: str) -> beam.PCollection:
    return pipeline | f"{option} {name}" >> beam.Create(plan.further[option, name], reshuffle=False)


def _known_by_query(pipeline: beam.Pipeline, plan: Plan) -> dict[str, beam.PCollection]:
    """Return what the user brings per query: run files and query vectors, keyed by bucket."""
    columns = {}
    for name in plan.config.runs:
        source = Source("run", name)
        columns[source.run] = _paths(pipeline, plan, "run", name) | f"Read run {name}" >> ReadRun(
            source.run, plan.buckets
        )
    for name in plan.config.query_vectors:
        source = Source("dense", name)
        columns[source.embedding] = _paths(pipeline, plan, "query_embeddings", name) | (
            f"Read query vectors {name}" >> ReadVectors("query_id", source.embedding, plan.buckets)
        )
    return columns


def _summarise(
    pipeline: beam.Pipeline,
    plan: Plan,
    read: Read,
    counts: Sequence[beam.PCollection],
    shards: Sequence[beam.PCollection],
) -> None:
    """Add the last step: counts, shards and model descriptions into one file of the work folder."""
    summed = counts | "All counts" >> beam.Flatten() | "Sum counts" >> beam.CombinePerKey(sum)
    (
        pipeline
        | "Once" >> beam.Create([plan.work], reshuffle=False)
        | "Summary"
        >> beam.Map(
            _write_summary,
            AsList(summed),
            AsList(shards | "All shards" >> beam.Flatten()),
            AsList(read.models),
        )
    )


def _write_summary(
    work: str, counts: list[tuple[str, int]], shards: list[Shard], models: list[tuple[str, str]]
) -> None:
    summary = {
        "counts": dict(sorted(counts)),
        "shards": [asdict(shard) for shard in sorted(shards, key=lambda shard: shard.name)],
        "models": {name: json.loads(description) for name, description in sorted(models)},
    }
    data = json.dumps(summary, indent=1).encode()
    storage.write_file(storage.join(work, SUMMARY), lambda sink: sink.write(data))

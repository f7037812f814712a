"""The mining graph: read, check, index, retrieve, score, judge, write. One Beam pipeline."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsList, AsSingleton

from hardneg.pipelines.graphs.calibrate_and_mine import Calibrated, add_calibration, add_mining
from hardneg.pipelines.runs.plan import Plan
from hardneg.pipelines.runs.work_folder import SUMMARY
from hardneg.transforms.core import storage
from hardneg.transforms.corpus.found_stage import FindHeldOut, FindRun
from hardneg.transforms.corpus.ingestion import SegmentInfo
from hardneg.transforms.corpus.ingestion_stage import BuildSegments, CheckRejected, ReadInputs, ResolveQrels
from hardneg.transforms.corpus.preflight import check_corpus, check_queries, count_segments
from hardneg.transforms.corpus.preflight_stage import CheckModels
from hardneg.transforms.corpus.query_blocks_stage import CutBlocks, DropHeldOut, JoinQueries
from hardneg.transforms.corpus.texts import read_referred
from hardneg.transforms.inputs.evaluation_sets import NOTHING_HELD_OUT
from hardneg.transforms.output.shards import Shard
from hardneg.transforms.output.write_stage import WriteShards
from hardneg.transforms.retrieval.retriever import Counted
from hardneg.transforms.retrieval.stages import MergeCandidates, SearchSegments


@dataclass
class Read:
    """What reading gives the later stages; ``checks`` must be complete before anything expensive."""

    segments: beam.PCollection
    queries: beam.PCollection
    wanted: beam.PCollection
    models: beam.PCollection
    counts: list[beam.PCollection]
    notes: list[beam.PCollection]
    checks: AsList


def all_notes(pipeline: beam.Pipeline, read: Read) -> AsList:
    """Return what is told of the input, as a side input: a list of sentences."""
    return AsList(tuple(read.notes) | "All notes" >> beam.Flatten(pipeline=pipeline))


def build(pipeline: beam.Pipeline, plan: Plan) -> None:
    """Add the whole run to a pipeline; the driver publishes what it leaves in ``plan.result``."""
    read, merged, queries = retrieve(pipeline, plan)
    calibrated = add_calibration(pipeline, plan, merged, queries, read.models)
    write(pipeline, plan, calibrated, read.models, read.counts, read.notes)


def retrieve(pipeline: beam.Pipeline, plan: Plan) -> tuple[Read, beam.PCollection, beam.PCollection]:
    """Add everything up to merged candidates: (block, Block); and (block, table of its queries)."""
    read = build_reading(pipeline, plan)
    searchable, blocks = build_indexes(pipeline, plan, read)
    config = plan.config
    found = blocks | "Search" >> SearchSegments(config.retrievers, config.k, plan.site, AsList(searchable))
    merged = {"queries": blocks, "found": found} | "Merge" >> MergeCandidates(config.sources, config.k)
    return read, merged, blocks


def write(
    pipeline: beam.Pipeline,
    plan: Plan,
    calibrated: Calibrated,
    models: beam.PCollection,
    counts: Sequence[beam.PCollection],
    notes: Sequence[beam.PCollection] = (),
) -> None:
    """Add mining and everything that is written."""
    mined = add_mining(plan, calibrated)
    shards_of = plan.config.output_shards
    passages = (
        mined.referred
        | "GroupReferred" >> beam.GroupByKey()
        | "ReadReferred" >> beam.FlatMap(read_referred, plan.work, shards_of)
    )
    tables = {
        "triplets": mined.triplets,
        "candidates": mined.candidates,
        "suspect_pairs": mined.suspect_pairs,
        "queries": mined.queries,
        "passages": passages,
    }
    shards = [table | f"Write {kind}" >> WriteShards(plan.result, kind, shards_of) for kind, table in tables.items()]
    summed = [*counts, *calibrated.counts, mined.counts]
    _summarise(pipeline, plan, summed, shards, models, calibrated.judge, notes)


def build_reading(pipeline: beam.Pipeline, plan: Plan) -> Read:
    """Add reading, joining and checking; ``hardneg mine --dry-run`` stops here."""
    config, work = plan.config, plan.work
    names = [file.path for file in plan.files]
    rows = (
        pipeline
        | "Files" >> beam.Create(plan.files, reshuffle=False)
        | "Read" >> ReadInputs(work, plan.segments, plan.buckets)
    )
    segments = rows.parts | "Build segments" >> BuildSegments(work, names)
    qrels = {"qrels": rows.qrels, "segments": segments} | "Resolve qrels" >> ResolveQrels(work, plan.buckets)
    known, kinds = _known_by_query(pipeline, plan)
    joined = {"queries": rows.queries, "qrels": qrels.qrels, **known}
    queries, unknown, query_counts = joined | "Join queries" >> JoinQueries(
        names, config.min_relevance, config.allow_no_positives, plan.buckets, kinds
    )
    queries, held_out = queries | "Drop held out" >> DropHeldOut(plan.holdout)
    blocks, wanted = queries | "Cut blocks" >> CutBlocks(config.block_size, config.max_queries)
    all_rejected = (rows.rejected, qrels.rejected, unknown) | "All rejected" >> beam.Flatten()
    rejected = {"rejected": all_rejected, "counts": rows.counts} | "Check rejected" >> CheckRejected(
        plan.result, plan.files, config.max_rejected
    )
    notes = [
        rejected
        | "Notes of rejected" >> beam.FlatMap(lambda each: [each[2]] if each[2] else []).with_output_types(str),
        *_found(plan, known, rows.queries, segments, AsList(rejected)),
    ]
    check = CheckModels(work, plan.models, plan.place, config.allow_unknown_tokens, plan.threads)
    models = segments | "Check models" >> plan.on_model_workers(check)
    segment_counts = segments | "Count segments" >> beam.FlatMap(
        count_segments, work, [each.name for each in config.retrievers if each.encodes_passages]
    )
    # One after the other: what was rejected may be the reason why there is no passage, and that, why there is no query.
    corpus = (
        segments
        | "Passages" >> beam.Map(lambda info: info.passages)
        | "All passages" >> beam.CombineGlobally(sum)
        | "Passages read" >> beam.Map(_after, AsList(rejected))
        | "Corpus checked" >> beam.Map(check_corpus)
    )
    checks = (
        models | "Models checked" >> beam.Keys(),
        wanted
        | "Queries read" >> beam.Map(_after, AsList(corpus))
        | "Queries checked" >> beam.Map(check_queries, work),
        *notes,
    ) | "Checks" >> beam.Flatten()
    counts = [
        query_counts,
        held_out,
        segment_counts,
        rejected | "Count rejected" >> beam.Map(lambda each: ("rows_rejected", each[1])),
        rows.counts | "Count rows" >> beam.MapTuple(lambda _, rows: ("rows_read", rows)),
    ]
    return Read(segments, blocks, wanted, models, counts, notes, AsList(checks))


def _found(
    plan: Plan,
    known: dict[str, beam.PCollection],
    queries: beam.PCollection,
    segments: beam.PCollection,
    rejected: AsList,
) -> list[beam.PCollection]:
    """Return what there is to say of how much of the evaluation sets and run files is in the input."""
    inputs = {"queries": queries, "segments": segments}
    notes = []
    if plan.holdout is not NOTHING_HELD_OUT:
        notes.append(inputs | "Find held out" >> FindHeldOut(plan.work, plan.holdout, rejected))
    for retriever in plan.config.retrievers:
        if retriever.kind == "run":
            find = FindRun(plan.work, plan.segments, retriever.name, retriever.column, rejected)
            notes.append({"run": known[retriever.column], **inputs} | f"Find run {retriever.name}" >> find)
    return notes


def build_indexes(pipeline: beam.Pipeline, plan: Plan, read: Read) -> tuple[beam.PCollection, beam.PCollection]:
    """Add what the retrievers need; return the numbers of searchable segments, and blocks with encoded queries."""
    segments = read.segments | "Await checks" >> beam.Map(_after, read.checks).with_output_types(SegmentInfo)
    blocks = read.queries | "Await query checks" >> beam.Map(_after, read.checks).with_output_types(tuple[int, Any])
    done = []
    for retriever in plan.config.retrievers:
        if index := retriever.index(plan.site):
            index = plan.on_model_workers(index) if retriever.spec else index
            done.append(_counted(segments | f"Index {retriever.name}" >> index, read.counts))
        if encode := retriever.encode(plan.site):
            encode = plan.on_model_workers(encode) if retriever.spec else encode
            blocks = _counted(blocks | f"Encode queries {retriever.name}" >> encode, read.counts)
    # A segment is searched when every index of every segment is there.
    numbers = segments | "Numbers" >> beam.Map(lambda info: info.number).with_output_types(int)
    return numbers | "Complete" >> beam.Map(_after, *map(AsList, done)).with_output_types(int), blocks


def _counted(made: Any, counts: list[beam.PCollection]) -> beam.PCollection:
    """Return what a retriever's stage made, its counts put to the others."""
    if not isinstance(made, Counted):
        return made
    counts.append(made.counts)
    return made.main


def _after(element: Any, *_: Any) -> Any:
    """Pass an element on once the side inputs are complete."""
    return element


def _known_by_query(pipeline: beam.Pipeline, plan: Plan) -> tuple[dict[str, beam.PCollection], dict[str, pa.DataType]]:
    """Return what the user brings per query (run files, vectors), keyed by bucket, and its type, by column."""
    columns, types = {}, {}
    for retriever in plan.config.retrievers:
        known, kind = retriever.known(plan.site), retriever.known_type
        if known is not None and kind is not None:
            columns[retriever.column] = pipeline | f"Read {retriever.column}" >> known
            types[retriever.column] = kind
    return columns, types


def _summarise(
    pipeline: beam.Pipeline,
    plan: Plan,
    counts: Sequence[beam.PCollection],
    shards: Sequence[beam.PCollection],
    models: beam.PCollection,
    judge: beam.PCollection,
    notes: Sequence[beam.PCollection],
) -> None:
    """Add the last step: counts, shards, model descriptions, the judge and notes into one file of the work folder."""
    summed = counts | "All counts" >> beam.Flatten() | "Sum counts" >> beam.CombinePerKey(sum)
    (
        pipeline
        | "Once" >> beam.Create([plan.work], reshuffle=False)
        | "Summary"
        >> beam.Map(
            _write_summary,
            AsList(summed),
            AsList(shards | "All shards" >> beam.Flatten()),
            AsList(models),
            AsSingleton(judge),
            AsList(tuple(notes) | "All notes" >> beam.Flatten(pipeline=pipeline)),
        )
    )


def _write_summary(
    work: str,
    counts: list[tuple[str, int]],
    shards: list[Shard],
    models: list[tuple[str, str]],
    judge: str,
    notes: list[str],
) -> None:
    summary = {
        "counts": dict(sorted(counts)),
        "shards": [asdict(shard) for shard in sorted(shards, key=lambda shard: shard.name)],
        "models": {name: json.loads(description) for name, description in sorted(models)},
        "judge": json.loads(judge),
        "notes": sorted(notes),
        "ended": time.time(),
    }
    data = json.dumps(summary, indent=1, ensure_ascii=False).encode()
    storage.write_file(storage.join(work, SUMMARY), lambda sink: sink.write(data))

"""Beam's side of reading a finished run back: shards of ``passages/`` to segments, of ``candidates/`` to blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core.block import Block
from hardneg.transforms.core.counters import count
from hardneg.transforms.core.partition import split_by
from hardneg.transforms.core.source import Source
from hardneg.transforms.inputs.evaluation_sets import Holdout
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.reread import stored_block, stored_queries
from hardneg.transforms.output.run_segments import place_candidates, store_segment
from hardneg.transforms.output.run_tables import read_shard


@dataclass(eq=False)
class ReadStoredRun(beam.PTransform):
    """Read a run back. In: the pipeline. Out: (block, Block), (block, table of its queries), (name, number).

    Attributes:
        run: the run.
        work: the folder whose segments its passages become.
        sources: its retrievers.
        block_size: queries of a block, about.
        holdout: the evaluation sets, whose queries stay out.
    """

    run: FinishedRun
    work: str
    sources: Sequence[Source]
    block_size: int
    holdout: Holdout

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, pipeline: Any) -> tuple[beam.PCollection, beam.PCollection, beam.PCollection]:
        built = (
            pipeline
            | "Passage shards" >> beam.Create(list(self.run.shards("passages").items()), reshuffle=False)
            | "To segments" >> beam.Map(_build_segment, self.work).with_output_types(int)
        )
        read = (
            pipeline
            | "Query shards" >> beam.Create(list(self.run.shards("queries").items()), reshuffle=False)
            | "Reshuffle shards" >> beam.Reshuffle()
            | "To blocks"
            >> beam.FlatMap(
                _read_blocks,
                run=self.run,
                work=self.work,
                sources=list(self.sources),
                block_size=self.block_size,
                holdout=self.holdout,
                built=beam.pvalue.AsList(built),
            ).with_outputs("counts", main="blocks")
        )
        blocks = read.blocks | "As blocks" >> beam.Map(lambda block: block).with_output_types(tuple[int, Block])
        queries = blocks | "Their queries" >> beam.MapTuple(_queries_of).with_output_types(tuple[int, pa.Table])
        return blocks, queries, read.counts


def _queries_of(number: int, block: Block) -> tuple[int, pa.Table]:
    return number, block.queries


def _build_segment(shard: tuple[int, str], work: str) -> int:
    number, path = shard
    store_segment(path, work, number)
    return number


def _read_blocks(
    shard: tuple[int, str],
    run: FinishedRun,
    work: str,
    sources: Sequence[Source],
    block_size: int,
    holdout: Holdout,
    built: Sequence[int],
) -> Iterator[Any]:
    number, path = shard
    parts = run.parts
    queries = stored_queries(read_shard(path))
    held_out = holdout.queries(queries["query_id"], queries["text_digest"])
    yield beam.pvalue.TaggedOutput("counts", ("queries_held_out", int(held_out.sum())))
    queries = queries.filter(pa.array(~held_out))
    count("queries_read_back", len(queries))
    own = run.shards("candidates").get(number)
    candidates = place_candidates(read_shard(own), work, parts, built) if own else None
    blocks = max(1, round(len(queries) / block_size))
    for block, rows in split_by(queries, queries["digest"].to_numpy() // parts % blocks):
        yield number + parts * block, stored_block(rows, candidates, sources)

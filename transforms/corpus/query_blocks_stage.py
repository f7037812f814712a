"""Stages that make blocks: queries joined with their judgements, held-out ones left out, cut by digest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core.counters import count
from hardneg.transforms.core.partition import split_by
from hardneg.transforms.corpus.ingestion import UNKNOWN_QUERY, rejections
from hardneg.transforms.corpus.query_blocks import (
    add_column,
    cut_blocks,
    join_queries,
    share_positives,
    whole_block,
    with_positives,
)
from hardneg.transforms.inputs.evaluation_sets import NOTHING_HELD_OUT, Holdout


@dataclass(eq=False)
class JoinQueries(beam.PTransform):
    """Join queries, judgements and what the user brings by query id, and share positives between equal texts.

    In: {"queries": ..., "qrels": ..., then per further column its name: (bucket, table with query_id and that
    column)}. Out: tables of queries, rejected judgements (file, table), counts (name, number).

    Attributes:
        file_names: the input files by index, for errors.
        min_relevance: grades from here on are positives.
        keep_all: keep queries without a positive, too.
        buckets: slices of the query ids.
        further: the types of the further columns, lists all of them.
    """

    file_names: Sequence[str]
    min_relevance: float
    keep_all: bool
    buckets: int
    further: Mapping[str, pa.DataType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def expand(
        self, inputs: dict[str, beam.PCollection]
    ) -> tuple[beam.PCollection, beam.PCollection, beam.PCollection]:
        join = beam.ParDo(_JoinBucket(list(self.file_names), self.buckets, dict(self.further)))
        joined = inputs | beam.CoGroupByKey() | join.with_outputs("rejected", "counts", main="joined")
        share = beam.FlatMap(_share_bucket, self.min_relevance, self.keep_all)
        shared = joined.joined | "GroupByText" >> beam.GroupByKey() | share.with_outputs("counts", main="queries")
        counts = (joined.counts, shared.counts) | "Counts" >> beam.Flatten()
        return shared.queries, joined.rejected, counts


@dataclass(eq=False)
class _JoinBucket(beam.DoFn):
    file_names: list[str]
    buckets: int
    further: dict[str, pa.DataType]

    def process(self, element: tuple[int, dict[str, Iterable[pa.Table]]]) -> Iterator[Any]:
        _, groups = element
        table, unknown, repeated = join_queries(list(groups["queries"]), list(groups["qrels"]), self.file_names)
        for name, kind in sorted(self.further.items()):
            table = add_column(table, name, kind, list(groups[name]))
        yield from (beam.pvalue.TaggedOutput("rejected", part) for part in rejections(unknown, UNKNOWN_QUERY))
        yield beam.pvalue.TaggedOutput("counts", ("queries_read", len(table)))
        yield beam.pvalue.TaggedOutput("counts", ("queries_repeated", repeated))
        count("queries_read", len(table))
        keys = np.array([digest[0] % self.buckets for digest in table["text_digest"].to_pylist()], dtype=np.int64)
        yield from split_by(table, keys)


def _share_bucket(element: tuple[int, Iterable[pa.Table]], min_relevance: float, keep_all: bool) -> Iterator[Any]:
    table = pa.concat_tables(list(element[1])).sort_by("query_id")
    table = share_positives(table, min_relevance)
    good = with_positives(table, min_relevance)
    yield beam.pvalue.TaggedOutput("counts", ("queries_without_positives", int((~good).sum())))
    yield table if keep_all else table.filter(pa.array(good))


@dataclass(eq=False)
class DropHeldOut(beam.PTransform):
    """Leave out the queries of evaluation sets. In: tables of queries. Out: the same, and (name, number)."""

    holdout: Holdout

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, tables: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        if self.holdout is NOTHING_HELD_OUT:
            return tables, tables.pipeline | beam.Create([("queries_held_out", 0)], reshuffle=False)
        split = tables | beam.FlatMap(_drop_held_out, self.holdout).with_outputs("counts", main="kept")
        return split.kept, split.counts


def _drop_held_out(table: pa.Table, holdout: Holdout) -> Iterator[Any]:
    held_out = holdout.queries(table["query_id"], table["text_digest"])
    yield table.filter(pa.array(~held_out))
    yield beam.pvalue.TaggedOutput("counts", ("queries_held_out", int(held_out.sum())))
    count("queries_held_out", int(held_out.sum()))


class SmallestDigests(beam.CombineFn):
    """Count queries and find the digest below which the wanted number of them lies.

    In: int64 arrays. Out: (queries, cutoff): the number there is, at most ``wanted``, and the largest digest
    to take.
    """

    def __init__(self, wanted: int | None) -> None:
        self._wanted = wanted

    def create_accumulator(self) -> tuple[int, list[int]]:
        return 0, []

    def add_input(self, accumulator: tuple[int, list[int]], digests: list[int]) -> tuple[int, list[int]]:
        return self.merge_accumulators([accumulator, (len(digests), digests)])

    def merge_accumulators(self, accumulators: Iterable[tuple[int, list[int]]]) -> tuple[int, list[int]]:
        parts = list(accumulators)
        number = sum(part[0] for part in parts)
        if self._wanted is None:
            return number, []
        return number, sorted(digest for part in parts for digest in part[1])[: self._wanted]

    def extract_output(self, accumulator: tuple[int, list[int]]) -> tuple[int, int]:
        number, smallest = accumulator
        if self._wanted is None or number <= self._wanted:
            return number, 2**63 - 1
        return len(smallest), smallest[-1]


@dataclass(eq=False)
class CutBlocks(beam.PTransform):
    """Take the queries that are wanted and cut them into blocks by a digest of their id.

    In: tables of queries. Out: (block, table sorted by query id), and once (queries, cutoff) of those wanted.

    Attributes:
        block_size: queries of a block, about.
        max_queries: how many are wanted; None: all.
    """

    block_size: int
    max_queries: int | None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, tables: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        wanted = (
            tables
            | beam.Map(lambda table: table["digest"].to_pylist())
            | beam.CombineGlobally(SmallestDigests(self.max_queries))
        )
        blocks = (
            tables
            | beam.FlatMap(cut_blocks, beam.pvalue.AsSingleton(wanted), self.block_size).with_output_types(
                tuple[int, pa.Table]
            )
            | beam.GroupByKey()
            | beam.MapTuple(whole_block).with_output_types(tuple[int, pa.Table])
        )
        return blocks, wanted

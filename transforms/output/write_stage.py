"""Beam's side of the output's tables: rows to their shard, one worker a shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsMultiMap, AsSingleton

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core import storage
from hardneg.transforms.core.block import table_from_bytes, table_to_bytes
from hardneg.transforms.core.counters import count
from hardneg.transforms.output.layout import (
    FEW_ROWS,
    TRIPLETS,
    TRIPLETS_BY,
    ReadBefore,
    arrange,
    cut_evenly,
    lay_out_triplets,
    read_before,
    reading_order,
    shard_end,
)
from hardneg.transforms.output.shards import Shard, shard_name, write_shard

_End = tuple[int, int, bytes]
_Before = tuple[int, bytes]


@dataclass(eq=False)
class WriteShards(beam.PTransform):
    """Write one of the output's tables: stable digest to shard, group, sort, write whole.

    In: (shard, table). Out: ``Shard``. Shards without rows are not written. Triplets are laid out for a trainer that
    reads one shard after the other: few of them at once; of many, each shard is told how those before it end, and how
    a shard ends depends on itself alone, so they are laid out side by side.

    Attributes:
        result: the folder of the tables.
        kind: the table, one of ``RUN_TABLES``.
        shards: how many the table is cut into.
        few: up to how many triplets are laid out at once.
    """

    result: str
    kind: str
    shards: int
    few: int = FEW_ROWS

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, tables: beam.PCollection) -> beam.PCollection:
        grouped = tables | beam.GroupByKey()
        place = (storage.join(self.result, self.kind), self.shards)
        if self.kind != "triplets":
            return grouped | beam.ParDo(_WriteShard(self.kind, *place)).with_output_types(Shard)
        rows = grouped | "Rows" >> beam.MapTuple(_rows_of) | "All rows" >> beam.CombineGlobally(sum)
        few = (
            grouped
            | "If few" >> beam.FlatMap(_if_few, AsSingleton(rows), self.few).with_output_types(tuple[int, pa.Table])
            | "At once" >> beam.GroupByKey()
            | "Write at once" >> beam.ParDo(_WriteTriplets(*place)).with_output_types(Shard)
        )
        before = (
            grouped
            | "Ends" >> beam.FlatMap(_end_of, AsSingleton(rows), self.few).with_output_types(tuple[int, _End])
            | "All ends" >> beam.GroupByKey()
            | "Read before" >> beam.FlatMapTuple(_read_before).with_output_types(tuple[int, _Before])
        )
        write = beam.ParDo(_WriteTripletShard(*place), AsMultiMap(before))
        many = grouped | "Write shards" >> write.with_output_types(Shard)
        return (few, many) | beam.Flatten()


def _whole(parts: Iterable[pa.Table]) -> pa.Table:
    return pa.concat_tables([part for part in parts if len(part)])


def _rows_of(_: int, parts: Iterable[pa.Table]) -> int:
    return sum(map(len, parts))


def _if_few(shard: tuple[int, Iterable[pa.Table]], rows: int, few: int) -> Iterator[tuple[int, pa.Table]]:
    if rows <= few:
        yield 0, _whole(shard[1])


def _end_of(shard: tuple[int, Iterable[pa.Table]], rows: int, few: int) -> Iterator[tuple[int, _End]]:
    if rows > few:
        number, table = shard[0], _whole(shard[1])
        yield 0, (number, len(table), table_to_bytes(shard_end(table)))


def _read_before(_: int, ends: Iterable[_End]) -> Iterator[tuple[int, _Before]]:
    for number, before in read_before((number, rows, table_from_bytes(end)) for number, rows, end in ends):
        yield number, (before.rows, table_to_bytes(before.ends))


def _write(kind: str, folder: str, number: int, shards: int, table: pa.Table, clashes: int = 0) -> Shard:
    shard = write_shard(folder, shard_name(number, shards), table)
    count(f"rows_written_{kind}", shard.rows)
    return replace(shard, name=f"{kind}/{shard.name}", clashes=clashes)


class _WriteShard(beam.DoFn):
    def __init__(self, kind: str, folder: str, shards: int) -> None:
        self._kind = kind
        self._folder = folder
        self._shards = shards

    def process(self, element: tuple[int, Iterable[pa.Table]]) -> Iterator[Shard]:
        number, parts = element
        yield _write(self._kind, self._folder, number, self._shards, arrange(self._kind, _whole(parts)))


class _WriteTriplets(beam.DoFn):
    def __init__(self, folder: str, shards: int) -> None:
        self._folder = folder
        self._shards = shards

    def process(self, element: tuple[int, Iterable[pa.Table]]) -> Iterator[Shard]:
        table = _whole(element[1])
        order, clashes = reading_order(table, TRIPLETS_BY)
        for number, part in cut_evenly(order, self._shards):
            rows = table.select(TRIPLETS.names).take(part)
            yield _write("triplets", self._folder, number, self._shards, rows, clashes)
            clashes = 0  # they are counted once


class _WriteTripletShard(beam.DoFn):
    def __init__(self, folder: str, shards: int) -> None:
        self._folder = folder
        self._shards = shards

    def process(self, element: tuple[int, Iterable[pa.Table]], before: dict[int, Iterable[_Before]]) -> Iterator[Shard]:
        number, parts = element
        for rows, ends in before[number]:
            table, clashes = lay_out_triplets(_whole(parts), ReadBefore(rows, table_from_bytes(ends)))
            yield _write("triplets", self._folder, number, self._shards, table, clashes)

"""Beam's side of the output's tables: rows to their shard, one worker a shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import apache_beam as beam
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core import storage
from hardneg.transforms.core.counters import count
from hardneg.transforms.output.layout import arrange
from hardneg.transforms.output.shards import Shard, shard_name, write_shard


@dataclass(eq=False)
class WriteShards(beam.PTransform):
    """Write one of the output's tables: stable digest to shard, group, sort, write whole.

    In: (shard, table). Out: ``Shard``. Shards without rows are not written.

    Attributes:
        result: the folder of the tables.
        kind: the table, one of ``RUN_TABLES``.
        shards: how many the table is cut into.
    """

    result: str
    kind: str
    shards: int

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, tables: beam.PCollection) -> beam.PCollection:
        write = _WriteShard(self.result, self.kind, self.shards)
        return tables | beam.GroupByKey() | beam.ParDo(write).with_output_types(Shard)


class _WriteShard(beam.DoFn):
    def __init__(self, result: str, kind: str, shards: int) -> None:
        self._folder = storage.join(result, kind)
        self._kind = kind
        self._shards = shards

    def process(self, element: tuple[int, Iterable[pa.Table]]) -> Iterator[Shard]:
        number, parts = element
        table = pa.concat_tables([part for part in parts if len(part)])
        table, close = arrange(self._kind, table)
        shard = write_shard(self._folder, shard_name(number, self._shards), table)
        count(f"rows_written_{self._kind}", shard.rows)
        yield replace(shard, name=f"{self._kind}/{shard.name}", close=close)

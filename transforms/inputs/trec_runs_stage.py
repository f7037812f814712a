"""The stage that reads run files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core.counters import count
from hardneg.transforms.core.partition import cut, split_by
from hardneg.transforms.inputs.trec_runs import read_run


@dataclass(eq=False)
class ReadRun(beam.PTransform):
    """Read TREC run files. In: paths. Out: (bucket of the query id, table of query_id and passage ids).

    Attributes:
        column: how the column of passage ids is called, a list per query, best first.
        buckets: slices of the query ids.
    """

    column: str
    buckets: int

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        return paths | beam.FlatMap(_read, self.column, self.buckets).with_output_types(tuple[int, pa.Table])


def _read(path: str, column: str, buckets: int) -> Iterator[tuple[int, pa.Table]]:
    yield from run_tables(read_run(path), column, buckets)


def run_tables(ranked: dict[str, list[str]], column: str, buckets: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield (bucket of the query id, table of the column ``query_id`` and a list of passage ids) of a run."""
    queries = list(ranked)
    table = pa.table(
        {
            "query_id": pa.array(queries, pa.string()),
            column: pa.array(list(ranked.values()), pa.list_(pa.string())),
        }
    )
    count("run_queries_read", len(queries))
    yield from split_by(table, cut(queries, buckets))

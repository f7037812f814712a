"""What travels: Arrow tables, alone or as a block of queries with their candidates, and their coders.

Beam's cost is per element, so an element is never one row. Nothing that travels is pickled: tables cross
process boundaries as Arrow IPC.
"""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa

# Rows as they are read. `file` is the position of the file in the run's input list, `line` its 1-based
# line (Parquet: row): an error names both places.
PASSAGES = pa.schema(
    [
        ("passage_id", pa.string()),
        ("text", pa.string()),  # the passage string: title and text joined
        ("file", pa.int32()),
        ("line", pa.int64()),
    ]  # then the corpus columns that were asked to pass through
)
QUERIES = pa.schema([("query_id", pa.string()), ("text", pa.string()), ("file", pa.int32()), ("line", pa.int64())])
QRELS = pa.schema(
    [
        ("query_id", pa.string()),
        ("passage_id", pa.string()),
        ("grade", pa.float64()),
        ("file", pa.int32()),
        ("line", pa.int64()),
    ]
)
REJECTED = pa.schema([("file", pa.int32()), ("line", pa.int64()), ("reason", pa.string())])
READ_COUNTS = pa.schema([("file", pa.int32()), ("rows", pa.int64())])  # rows read, good and bad


@dataclass(frozen=True)
class Block:
    """A few hundred queries that travel together, and their candidates.

    Attributes:
        queries: one row a query, sorted by query id.
        candidates: one row a (query, passage); its ``query`` column is the row number in ``queries``.
        texts: the passages' texts, where they travel with the block (see hydration); else no rows.
    """

    queries: pa.Table
    candidates: pa.Table
    texts: pa.Table


def table_to_bytes(table: pa.Table) -> bytes:
    """Serialise a table as one Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def table_from_bytes(data: bytes | memoryview) -> pa.Table:
    """Read a table that ``table_to_bytes`` wrote."""
    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        return reader.read_all()


class TableCoder(beam.coders.Coder):
    """Arrow IPC for a ``pyarrow.Table``."""

    def encode(self, value: pa.Table) -> bytes:
        return table_to_bytes(value)

    def decode(self, encoded: bytes) -> pa.Table:
        return table_from_bytes(encoded)

    def is_deterministic(self) -> bool:
        return False  # equal tables may be chunked differently; tables are never keys

    def to_type_hint(self) -> type:
        return pa.Table


class BlockCoder(beam.coders.Coder):
    """A block's tables as Arrow IPC streams, each preceded by its length in eight bytes."""

    def encode(self, value: Block) -> bytes:
        streams = [table_to_bytes(table) for table in (value.queries, value.candidates, value.texts)]
        return b"".join(part for stream in streams for part in (len(stream).to_bytes(8, "big"), stream))

    def decode(self, encoded: bytes) -> Block:
        view = memoryview(encoded)
        tables = []
        while len(view):
            end = 8 + int.from_bytes(view[:8], "big")
            tables.append(table_from_bytes(view[8:end]))
            view = view[end:]
        return Block(*tables)

    def is_deterministic(self) -> bool:
        return False

    def to_type_hint(self) -> type:
        return Block


beam.coders.registry.register_coder(pa.Table, TableCoder)
beam.coders.registry.register_coder(Block, BlockCoder)

"""What travels: Arrow tables, alone or as a block of queries with their candidates, and both as Arrow IPC bytes.

Beam's cost is per element, so an element is never one row. Nothing that travels is pickled: tables cross
process boundaries as Arrow IPC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


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


TextsOf = Callable[[np.ndarray, np.ndarray], list[str]]

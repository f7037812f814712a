"""Beam's coders of what travels: tables cross process boundaries as Arrow IPC, nothing is pickled.

Importing this module registers them, so every module with a PTransform does.
"""

from __future__ import annotations

import apache_beam as beam
import pyarrow as pa

from hardneg.transforms.core.block import Block, table_from_bytes, table_to_bytes


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

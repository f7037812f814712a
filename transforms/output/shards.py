"""Output shards: the same rows are the same bytes, whatever computed them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.transforms.core import storage

# A reader that shuffles holds a few row groups; a batch of 256 should not span many.
ROW_GROUP = 4096


@dataclass(frozen=True)
class Shard:
    """A written shard, as the manifest lists it; ``clashes``: rows that meet in their batch what they avoid."""

    name: str
    rows: int
    sha256: str
    clashes: int = 0


def shard_name(number: int, shards: int) -> str:
    return f"part-{number:05d}-of-{shards:05d}.parquet"


def parquet_bytes(table: pa.Table, row_group: int = ROW_GROUP) -> bytes:
    """Return a table as a Parquet file; every property that shapes its bytes is fixed here."""
    sink = io.BytesIO()
    table = table.replace_schema_metadata(None).combine_chunks()
    pq.write_table(table, sink, row_group_size=row_group, compression="zstd", version="2.6", store_schema=False)
    return sink.getvalue()


def write_shard(folder: str, name: str, table: pa.Table) -> Shard:
    """Write one shard whole or not at all; a retry overwrites it with the same bytes."""
    return write_bytes(folder, name, parquet_bytes(table), len(table))


def write_bytes(folder: str, name: str, data: bytes, rows: int) -> Shard:
    """Write the bytes of one shard whole or not at all."""
    storage.write_file(storage.join(folder, name), lambda file: file.write(data))
    return Shard(name, rows, hashlib.sha256(data).hexdigest())

"""The Parquet files of a run's tables, read whole or in pieces.

Without Arrow's own threads: they read through a Python file, and one of its pool that lets go of a buffer while the
interpreter ends aborts the process, after all its work is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.inputs.formats.parquet import opened_parquet

_BATCH_ROWS = 4096


def read_shard(path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a shard, or such of the columns as it has.

    Raises:
        HardnegError: it can't be read.
    """
    with opened_parquet(path) as parquet, explaining(path, "Parquet"):
        names = parquet.schema_arrow.names
        wanted = [name for name in columns if name in names] if columns else None
        return parquet.read(wanted, use_threads=False)


def read_batches(path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield columns of a shard in pieces of a few thousand rows, for tables of texts.

    Raises:
        HardnegError: it can't be read to its end.
    """
    with opened_parquet(path) as parquet:
        batches = parquet.iter_batches(_BATCH_ROWS, columns=list(columns), use_threads=False)
        while True:
            with explaining(path, "Parquet"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def columns_of(path: str) -> list[str]:
    """Return the names of a shard's columns; its footer is read, no data.

    Raises:
        HardnegError: it can't be read.
    """
    with opened_parquet(path) as parquet:
        return parquet.schema_arrow.names

"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.transforms.core import storage
from hardneg.transforms.inputs.files import BLOCK_BYTES, explaining
from hardneg.transforms.inputs.formats.columnar import BATCH_BYTES, BATCH_ROWS, ColumnarFormat


@contextmanager
def opened_parquet(path: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file through Beam's file systems; its footer is read, no data."""
    with ExitStack() as stack:
        with explaining(path, "Parquet"):
            raw = storage.open_file(path)
            stack.callback(raw.close)
            # With a buffer, a column of a large row group is read in pieces; what Arrow reads ahead (`pre_buffer`,
            # its default), a thread of its own reads, and holds while the interpreter may end.
            parquet = pq.ParquetFile(raw, buffer_size=BLOCK_BYTES, pre_buffer=False)
        yield parquet


def batch_rows(metadata: pq.FileMetaData, batch_bytes: int = BATCH_BYTES, most: int = BATCH_ROWS) -> int:
    """Return how many rows to decode at a time: few where they are long."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    row_bytes = max((g.total_byte_size // max(g.num_rows, 1) for g in groups), default=0)
    return max(1, min(most, batch_bytes // max(row_bytes, 1)))


class Parquet(ColumnarFormat):
    name = "parquet"
    title = "Parquet"
    suffixes = (".parquet", ".pq")

    @contextmanager
    def opened(self, path: str) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        with self.selected(path, None) as found:
            yield found

    @contextmanager
    def selected(self, path: str, names: Sequence[str] | None) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        with opened_parquet(path) as parquet:
            schema = parquet.schema_arrow
            columns = None if names is None else [name for name in names if name in schema.names]
            # No threads of Arrow's: one of its pool may drop a buffer of ours while the interpreter ends.
            yield schema, parquet.iter_batches(batch_rows(parquet.metadata), columns=columns, use_threads=False)

"""Arrow's own files: IPC streams and files, as `save_to_disk` of datasets writes them, and Feather."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pyarrow as pa

from hardneg.transforms.core import storage
from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.inputs.formats.columnar import BATCH_BYTES, BATCH_ROWS, ColumnarFormat

_FILE_MAGIC = b"ARROW1"


class Arrow(ColumnarFormat):
    name = "arrow"
    title = "Arrow"
    suffixes = (".arrow", ".feather", ".ipc")

    @contextmanager
    def opened(self, path: str) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        with ExitStack() as stack:
            with explaining(path, self.title):
                raw = storage.open_file(path)
                stack.callback(raw.close)
                magic = raw.read(len(_FILE_MAGIC))
                raw.seek(0)
                options = pa.ipc.IpcReadOptions(use_threads=False)
                source = pa.PythonFile(raw, mode="r")
                open_reader = pa.ipc.open_file if magic == _FILE_MAGIC else pa.ipc.open_stream
                reader = stack.enter_context(open_reader(source, options=options))
            yield reader.schema, _cut(reader)


def _cut(reader: pa.RecordBatchStreamReader | pa.RecordBatchFileReader) -> Iterator[pa.RecordBatch]:
    """Yield a reader's batches, cut to a bounded number of rows: Arrow's own may be of any length."""
    whole = (
        (reader.get_batch(number) for number in range(reader.num_record_batches))
        if isinstance(reader, pa.ipc.RecordBatchFileReader)
        else reader
    )
    for batch in whole:
        rows = max(1, min(BATCH_ROWS, BATCH_BYTES * batch.num_rows // max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)

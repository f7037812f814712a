"""What Parquet and Arrow files share: rows from record batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pyarrow as pa

from hardneg.errors import InputError
from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.inputs.formats.row_format import Head, RowFormat, Values
from hardneg.transforms.inputs.input_files import INVALID_UTF8

BATCH_BYTES = 16 << 20  # aim for batches of rows of at most about this size
BATCH_ROWS = 4096
_UNDECODABLE = "\ud800 undecodable"  # equal to no string that Arrow returns


class ColumnarFormat(RowFormat):
    """A format whose files hold Arrow columns."""

    unit = "row"
    compressible = False

    @abstractmethod
    def opened(self, path: str) -> AbstractContextManager[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        """Open a file: its schema, and its rows in batches of bounded size (read in the caller's thread alone)."""

    def batches(self, path: str) -> Iterator[pa.RecordBatch]:
        """Yield all columns of a file, in batches of bounded size.

        Raises:
            InputError: the file can't be read to its end.
        """
        with self.opened(path) as (_, batches):
            yield from self._explained(path, batches)

    def head(self, path: str) -> Head:
        with self.opened(path) as (schema, _):
            return Head(self.name, tuple(schema.names))

    def rows(self, path: str, head: Head, wanted: Sequence[str | None]) -> Iterator[tuple[int, Values]]:
        names = list(dict.fromkeys(name for name in wanted if name is not None))
        with self.selected(path, names) as (schema, batches):
            if missing := [name for name in names if name in head.columns and name not in schema.names]:
                raise InputError(
                    f"{path} has no column {missing[0]!r} (it has {', '.join(schema.names)}): it was replaced while "
                    "it was being read, start again.",
                    path=path,
                )
            present = [name for name in names if name in schema.names]
            number = 0
            for batch in self._explained(path, batches):
                with explaining(path, self.title):
                    lists: dict[str | None, list[Any]] = {name: _values(batch.column(name)) for name in present}
                nulls = [None] * batch.num_rows
                for values in zip(*(lists.get(name, nulls) for name in wanted), strict=True):
                    number += 1
                    yield number, INVALID_UTF8 if _UNDECODABLE in values else values

    def selected(
        self, path: str, names: Sequence[str]
    ) -> AbstractContextManager[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        """Open a file for some of its columns; a format that can read these alone overrides it."""
        return self.opened(path)

    def _explained(self, path: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        while True:
            with explaining(path, self.title):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def _values(array: pa.Array) -> list[Any]:
    kind = array.type
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind) or pa.types.is_decimal(kind):
        array = array.cast(pa.string())  # Python's types hold no nanoseconds
    try:
        return array.to_pylist()
    except UnicodeDecodeError:  # Parquet doesn't check its strings: find the bad ones
        return [_value(scalar) for scalar in array]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return _UNDECODABLE

"""Files of values sorted by key: Parquet, whose checksums tell damage, and whose row groups are read by key range.

A file's name has the range of its keys, a digest of all of it, and one of its footer, by which a reader that wants a
part of it knows that it reads the right part: `0000-ffff-CONTENT-FOOTER.parquet`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.transforms.core import storage
from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.store.value_keys import ValueKeys, first_bytes

StoredValues = npt.NDArray[Any]
_SUFFIX = ".parquet"
_GROUP_BYTES = 1 << 20  # of keys and values in a row group: what is read to find one of them
_OPEN_FOOTERS = 4096
_MAGIC = b"PAR1"


class DamagedFile(Exception):
    """A file is not what was written."""


class Named(NamedTuple):
    """What a file's name says: the first four hex digits of its first and last key, and two digests."""

    first: int
    last: int
    content: str
    footer: str


def parse_name(path: str) -> Named | None:
    """Return what a file's name says; None for other files, those on their way included."""
    name = path.rsplit("/", 1)[-1]
    parts = name.removesuffix(_SUFFIX).split("-")
    if name.startswith(".") or not name.endswith(_SUFFIX) or len(parts) != 4:
        return None
    try:
        return Named(int(parts[0], 16), int(parts[1], 16), parts[2], parts[3])
    except ValueError:
        return None


def packed(keys: ValueKeys, values: StoredValues) -> tuple[str, bytes]:
    """Return the name and the bytes of a file.

    Args:
        keys: sorted, each once, at least one.
        values: their values, shape (n, ...).
    """
    width = values.dtype.itemsize * int(np.prod(values.shape[1:], dtype=np.int64))
    columns = {"key": _binary(keys, keys.dtype.itemsize), "value": _binary(values, width)}
    table = pa.table(columns)
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        row_group_size=max(64, _GROUP_BYTES // (width + keys.dtype.itemsize)),
        compression="none",  # digests and floats do not get smaller
        use_dictionary=False,
        write_statistics=["key"],
        write_page_checksum=True,
    )
    data = sink.getvalue()
    first, last = (int(number) >> 16 for number in first_bytes(keys[[0, -1]]))
    return f"{first:04x}-{last:04x}-{_digest(data, 12)}-{_footer_digest(io.BytesIO(data))}{_SUFFIX}", data


def find_in_file(path: str, keys: ValueKeys) -> Iterator[tuple[IntArray, bytes]]:
    """Yield (places of keys that the file has, their values' bytes), from the row groups that may have them.

    Args:
        path: the file.
        keys: sorted.

    Raises:
        DamagedFile: it is not what was written.
        FileNotFoundError: it is gone.
    """
    with _opened(path) as parquet:
        for group, low, high in _groups(parquet, keys):
            have = _column(parquet, group, "key", keys.dtype)
            asked = keys[low:high]
            places = np.minimum(np.searchsorted(have, asked), len(have) - 1)
            known = have[places] == asked
            if known.any():
                values = _column(parquet, group, "value", None)
                yield low + np.flatnonzero(known), values[places[known]].tobytes()


def read_range(path: str, low: int, high: int) -> tuple[ValueKeys, npt.NDArray[np.void]]:
    """Return the keys of a file whose first four bytes, as a number, lie in [low, high), and their values' bytes.

    Errors as in ``find_in_file``.
    """
    with _opened(path) as parquet:
        key = np.dtype(f"S{parquet.schema_arrow.field('key').type.byte_width}")
        value = np.dtype(f"V{parquet.schema_arrow.field('value').type.byte_width}")
        found: list[tuple[ValueKeys, npt.NDArray[np.void]]] = [(np.empty(0, key), np.empty(0, value))]
        for group in range(parquet.num_row_groups):
            statistics = parquet.metadata.row_group(group).column(0).statistics
            first, last = first_bytes(np.array([statistics.min, statistics.max], dtype=key))
            if first < high and last >= low:
                keys = _column(parquet, group, "key", key)
                heads = first_bytes(keys).astype(np.int64)
                inside = (heads >= low) & (heads < high)
                found.append((keys[inside], _column(parquet, group, "value", value)[inside]))
        return np.concatenate([keys for keys, _ in found]), np.concatenate([values for _, values in found])


def rows_in(path: str) -> int:
    """Return how many values a file has; errors as in ``find_in_file``."""
    with _opened(path) as parquet:
        return int(parquet.metadata.num_rows)


def check_file(path: str) -> None:
    """Read all of a file and compare its digest with its name.

    Raises:
        DamagedFile: they differ.
    """
    named = parse_name(path)
    if named is None or _digest(storage.read_file(path), 12) != named.content:
        raise DamagedFile(path)


@contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    """Open a file whose footer is the one that its name tells of."""
    # One thread, and Arrow's own file where there is one: its pool's threads must not outlive a Python file.
    try:
        with pa.OSFile(path) if storage.is_local(path) else storage.open_file(path) as source:
            metadata = _footer(path, source)
            yield pq.ParquetFile(source, metadata=metadata, pre_buffer=False, page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, ValueError) as error:
        if not storage.exists(path):  # object stores have errors of their own for it
            raise FileNotFoundError(path) from error
        raise DamagedFile(path) from error


_footers: dict[str, pq.FileMetaData] = {}


def _footer(path: str, source: Any) -> pq.FileMetaData:
    """Return a file's footer, read and checked once a process: files never change."""
    if path not in _footers:
        named = parse_name(path)
        if named is None or _footer_digest(source) != named.footer:
            raise DamagedFile(path)
        source.seek(0)
        while len(_footers) >= _OPEN_FOOTERS:
            _footers.pop(next(iter(_footers)))
        _footers[path] = pq.read_metadata(source)
    return _footers[path]


def _footer_digest(source: Any) -> str:
    source.seek(0, 2)
    end = source.tell()
    source.seek(max(0, end - 8))
    tail = source.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or length > end - 8:
        return ""
    source.seek(end - 8 - length)
    return _digest(source.read(length), 4)


def _digest(data: bytes, size: int) -> str:
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def _binary(values: npt.NDArray[Any], width: int) -> pa.Array:
    data = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(values), [None, pa.py_buffer(data)])


def _groups(parquet: pq.ParquetFile, keys: ValueKeys) -> Iterator[tuple[int, int, int]]:
    """Yield (row group, first place, place behind the last) of the keys that lie within it."""
    for group in range(parquet.num_row_groups):
        statistics = parquet.metadata.row_group(group).column(0).statistics
        low = int(np.searchsorted(keys, np.array(statistics.min, dtype=keys.dtype), "left"))
        high = int(np.searchsorted(keys, np.array(statistics.max, dtype=keys.dtype), "right"))
        if low < high:
            yield group, low, high


def _column(parquet: pq.ParquetFile, group: int, name: str, kind: np.dtype | None) -> npt.NDArray[Any]:
    """Return a column of a row group as an array of bytes of one width."""
    column = parquet.read_row_group(group, columns=[name], use_threads=False)[name].combine_chunks()
    # A page's checksum is of its values, not of its header; the footer, whose digest was compared, says how many.
    if len(column) != parquet.metadata.row_group(group).num_rows or column.null_count:
        raise pa.ArrowInvalid("a page has another number of values than its row group")
    width = column.type.byte_width
    buffer = column.buffers()[1]
    return np.frombuffer(buffer, dtype=kind or np.dtype(f"V{width}"), count=len(column), offset=column.offset * width)

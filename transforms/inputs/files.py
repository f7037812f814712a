"""From the bytes of a file to its rows: opening, decompressing, splitting into lines, decoding.

Everything streams: no file, and no column of one, is ever held whole.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.errors import HardnegError
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.input_files import (
    INVALID_JSON,
    INVALID_UTF8,
    LINE_TOO_LONG,
    NOT_AN_OBJECT,
    WRONG_COLUMNS,
    InputFile,
)

COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd", ".zstd": "zstd", ".xz": "xz"}
MAX_LINE_BYTES = 64 << 20  # a longer line is rejected without being held
BATCH_BYTES = 16 << 20  # aim for batches of rows of at most about this size
_BLOCK_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
_BLANKS = re.compile(r"[ \t]+")

# The values of one row in the order of the wanted columns, or the reason why it has none.
Values = tuple[Any, ...] | str


def compression(path: str) -> str | None:
    """Return the name of the compression that a file's name promises, None for none."""
    return next((name for suffix, name in COMPRESSIONS.items() if path.lower().endswith(suffix)), None)


def first_line(error: object) -> str:
    """Return what fits into a sentence of an exception's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")


@contextmanager
def explaining(path: str, promise: str | None = None) -> Iterator[None]:
    """Turn whatever a file system or a decoder raises into a sentence about ``path``.

    To be put around calls into them alone: it would also hide a mistake in our own code.

    Args:
        path: the file.
        promise: what the file's name says that it is: ``gzip``, ``Parquet``, ...; None for plain text.
    """
    try:
        yield
    except HardnegError:
        raise
    except FileNotFoundError as error:
        raise HardnegError(f"{path} does not exist: check the path.") from error
    except IsADirectoryError as error:
        raise HardnegError(f"{path} is a folder: give a file, or a pattern such as {path}/*.") from error
    except PermissionError as error:
        raise HardnegError(f"{path} may not be read by this user: change its permissions.") from error
    except EOFError as error:
        raise HardnegError(
            f"{path} ends in the middle of its {promise} data: it was cut off, copy it again."
        ) from error
    except (zlib.error, lzma.LZMAError, pa.ArrowException, OSError) as error:
        # Decoders raise OSErrors too, but only the operating system's carry a number.
        if promise and getattr(error, "errno", None) is None:
            raise HardnegError(
                f"{path} is not intact {promise} ({first_line(error)}): "
                "rename it if it is something else, or copy it again."
            ) from error
        raise HardnegError(f"{path} can't be read ({first_line(error)}): check it.") from error
    except Exception as error:  # the clients of object stores have exceptions of their own
        raise HardnegError(
            f"{path} can't be read ({type(error).__name__}: {first_line(error)}): check that it is there "
            "and that you have access to it."
        ) from error


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, decompressed if its name says that it is compressed.

    The decompressors are not Beam's: those end without a word at the end of a truncated file, and hold
    16 MiB of compressed data, decompressed, at a time.
    """
    promise = compression(path)
    with ExitStack() as stack:
        with explaining(path, promise):
            raw = storage.open_file(path)
            stack.callback(raw.close)
            stream: Any = raw
            if promise == "gzip":
                stream = gzip.GzipFile(fileobj=raw, mode="rb")
            elif promise == "bzip2":
                stream = bz2.BZ2File(raw)
            elif promise == "xz":
                stream = lzma.LZMAFile(raw)  # noqa: SIM115 - closed by the stack
            elif promise == "zstd":
                stream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
            if stream is not raw:
                stack.callback(stream.close)
        yield cast(BinaryIO, stream)


def blocks(path: str) -> Iterator[bytes]:
    """Yield the (decompressed) bytes of a file, about a MiB at a time."""
    with opened(path) as stream:
        while True:
            with explaining(path, compression(path)):
                block = stream.read(_BLOCK_BYTES)
            if not block:
                return
            yield block


def lines(path: str) -> Iterator[tuple[int, bytes | None]]:
    r"""Yield the lines of a text file with their 1-based numbers.

    Lines end at ``\n`` and nowhere else, since texts may hold U+2028, U+0085 or ``\x0b``; one ``\r`` before
    it belongs to the line's end. A byte-order mark is skipped. None stands for a line of more than
    ``MAX_LINE_BYTES``.
    """
    number, size, held = 0, 0, list[bytes]()

    def line(last: bytes) -> bytes | None:
        if size > MAX_LINE_BYTES:
            return None
        whole = b"".join([*held, last]) if held else last
        return (whole.removeprefix(_BOM) if number == 1 else whole).removesuffix(b"\r")

    for block in blocks(path):
        *ended, rest = block.split(b"\n")
        for piece in ended:
            number, size = number + 1, size + len(piece)
            yield number, line(piece)
            size, held = 0, []
        size += len(rest)
        if size > MAX_LINE_BYTES:
            held = []
        elif rest:
            held.append(rest)
    if size:
        number += 1
        yield number, line(b"")


def json_object(line: bytes) -> dict[str, Any] | str:
    """Return the object on a line, or the reason why there is none."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return INVALID_UTF8
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # a number of 5,000 digits is a ValueError, too
        return INVALID_JSON
    return value if isinstance(value, dict) else NOT_AN_OBJECT


def rows(file: InputFile) -> Iterator[tuple[int, Values]]:
    """Yield (line, values) for every row of a file, in the order of ``file.wanted``.

    The values are as the format has them (JSON: str, int, list, ...; Parquet: those or bytes; else str);
    None for a wanted column that is None, that the file has not, or that is null. In the place of the
    values stands the reason if the row can't be decoded. Header and blank lines are no rows.

    Raises:
        HardnegError: the file can't be read to its end, or is not what its name says.
    """
    if file.format == "parquet":
        yield from _parquet_rows(file)
        return
    decode = _json_decoder(file) if file.format == "jsonl" else _cell_decoder(file)
    blank = None if file.format == "jsonl" else b" "  # a lone tab is a row of two empty cells
    header = file.header
    for number, line in lines(file.path):
        if line is None:
            yield number, LINE_TOO_LONG
        elif line.strip(blank):
            if header:
                header = False
            else:
                yield number, decode(line)


def _json_decoder(file: InputFile) -> Callable[[bytes], Values]:
    wanted = file.wanted

    def decode(line: bytes) -> Values:
        value = json_object(line)
        return value if isinstance(value, str) else tuple([value.get(name) if name else None for name in wanted])

    return decode


def _cell_decoder(file: InputFile) -> Callable[[bytes], Values]:
    positions = [file.names.index(name) if name in file.names else None for name in file.wanted]

    def decode(line: bytes) -> Values:
        cells = cells_of(line, file.format)
        if isinstance(cells, str):
            return cells
        if len(cells) != len(file.names):
            return WRONG_COLUMNS
        return tuple([None if position is None else cells[position] for position in positions])

    return decode


def cells_of(line: bytes, form: str) -> list[str] | str:
    """Return the cells of a line: between tabs, or (``trec-qrels``) between blanks; no quoting."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return INVALID_UTF8
    # TREC: ASCII blanks only; str.split() would also split at blanks that an id may hold.
    return _BLANKS.split(text.strip(" \t")) if form == "trec-qrels" else text.split("\t")


@contextmanager
def opened_parquet(path: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file through Beam's file systems; its footer is read, no data."""
    with ExitStack() as stack:
        with explaining(path, "Parquet"):
            raw = storage.open_file(path)
            stack.callback(raw.close)
            # With a buffer, a column of a large row group is read in pieces.
            parquet = pq.ParquetFile(raw, buffer_size=_BLOCK_BYTES)
        yield parquet


def _parquet_rows(file: InputFile) -> Iterator[tuple[int, Values]]:
    with opened_parquet(file.path) as parquet:
        present = parquet.schema_arrow.names
        needed = (file.columns.id, file.columns.text, file.columns.positive)
        if missing := [name for name in needed if name is not None and name not in present]:
            raise HardnegError(
                f"{file.path} has no column {missing[0]!r} (it has {', '.join(present)}): "
                "it was replaced while it was being read, start again."
            )
        columns = [name for name in dict.fromkeys(file.wanted) if name is not None and name in present]
        batches = parquet.iter_batches(_batch_rows(parquet.metadata), columns=columns, use_threads=False)
        number = 0
        while True:
            with explaining(file.path, "Parquet"):
                batch = next(batches, None)
                if batch is None:
                    return
                lists: dict[str | None, list[Any]] = {n: _values(batch.column(n)) for n in columns}
            nulls = [None] * batch.num_rows
            for values in zip(*(lists.get(name, nulls) for name in file.wanted), strict=True):
                number += 1
                yield number, INVALID_UTF8 if _UNDECODABLE in values else values


def _batch_rows(metadata: pq.FileMetaData, most: int = 4096) -> int:
    """Return how many rows to decode at a time: few where they are long."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    row_bytes = max((g.total_byte_size // max(g.num_rows, 1) for g in groups), default=0)
    return max(1, min(most, BATCH_BYTES // max(row_bytes, 1)))


_UNDECODABLE = "\ud800 undecodable"  # equal to no string that Arrow returns


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

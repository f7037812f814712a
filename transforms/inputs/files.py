"""From a file to its bytes and lines: opening, decompressing, splitting.

Everything streams: no file, and no column of one, is ever held whole.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, cast

import pyarrow as pa

from hardneg.errors import HardnegError, InputError
from hardneg.transforms.core import storage

COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd", ".zstd": "zstd", ".xz": "xz"}
MAX_LINE_BYTES = 64 << 20  # a longer line is rejected without being held
BLOCK_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
_MAGIC = {
    b"PAR1": "Parquet",
    b"\x1f\x8b": "gzip data",
    b"PK\x03\x04": "a zip archive",
    b"BZh": "bzip2 data",
    b"\x28\xb5\x2f\xfd": "zstd data",
    b"\xfd7zXZ": "xz data",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"ARROW1": "Arrow data",
    b"\xff\xff\xff\xff": "Arrow data",
}


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
        raise InputError(f"{path} does not exist: check the path.", path=path) from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder: give a file, or a pattern such as {path}/*.", path=path) from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read by this user: change its permissions.", path=path) from error
    except EOFError as error:
        raise InputError(
            f"{path} ends in the middle of its {promise} data: it was cut off, copy it again.", path=path
        ) from error
    except (zlib.error, lzma.LZMAError, pa.ArrowException, OSError) as error:
        # Decoders raise OSErrors too, but only the operating system's carry a number.
        if promise and getattr(error, "errno", None) is None:
            raise InputError(
                f"{path} is not intact {promise} ({first_line(error)}): "
                "rename it if it is something else, or copy it again.",
                path=path,
            ) from error
        raise InputError(f"{path} can't be read ({first_line(error)}): check it.", path=path) from error
    except Exception as error:  # the clients of object stores have exceptions of their own
        raise InputError(
            f"{path} can't be read ({type(error).__name__}: {first_line(error)}): check that it is there "
            "and that you have access to it.",
            path=path,
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


def blocks(path: str, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the (decompressed) bytes of a file, at most so many at a time."""
    with opened(path) as stream:
        while True:
            with explaining(path, compression(path)):
                block = stream.read(block_bytes)
            if not block:
                return
            yield block


def lines(
    path: str, block_bytes: int = BLOCK_BYTES, longest: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, bytes | None]]:
    r"""Yield the lines of a text file with their 1-based numbers.

    Lines end at ``\n`` and nowhere else, since texts may hold U+2028, U+0085 or ``\x0b``; one ``\r`` before
    it belongs to the line's end. A byte-order mark is skipped. None stands for a line of more than ``longest``
    bytes, which is never held.
    """
    number, size, held = 0, 0, list[bytes]()

    def line(last: bytes) -> bytes | None:
        if size > longest:
            return None
        whole = b"".join([*held, last]) if held else last
        return (whole.removeprefix(_BOM) if number == 1 else whole).removesuffix(b"\r")

    for block in blocks(path, block_bytes):
        *ended, rest = block.split(b"\n")
        for piece in ended:
            number, size = number + 1, size + len(piece)
            yield number, line(piece)
            size, held = 0, []
        size += len(rest)
        if size > longest:
            held = []
        elif rest:
            held.append(rest)
    if size:
        number += 1
        yield number, line(b"")


def refuse_binary(path: str, wanted: str) -> None:
    """Raise InputError for a file that does not begin as text does.

    Args:
        path: the file.
        wanted: what it should be, for the sentence.
    """
    start = next(blocks(path), b"")
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise InputError(
                f"{path} holds {what}, not {wanted} in UTF-8: rename it to what it is, or convert it.", path=path
            )

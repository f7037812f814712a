"""A corpus's passages on their way to embeddings: joined with the store by key, and put in place by segment."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.errors import RunError
from hardneg.transforms.core import storage
from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.store.value_keys import EMBEDDING_KEY, ValueKeys, embedding_keys, key_ranges

CHUNK = 1024  # texts that a worker encodes at a time


class Piece(NamedTuple):
    """Embeddings of some passages of a segment, in a file of the work folder.

    Attributes:
        path: a .npy file, float32, shape (n, dimension).
        rows: of the segment, as bytes of int32, shape (n,).
    """

    path: str
    rows: bytes


def passage_keys(segment: int, texts: Sequence[str], ranges: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield (key range, table of ``segment``, ``row`` and ``key``) of a segment's passages, sorted by key."""
    keys = embedding_keys("passage", texts)
    for number, rows in key_ranges(keys, ranges):
        yield number, _table(np.full(len(rows), segment), rows, keys[rows])


def _table(segments: IntArray, rows: IntArray, keys: ValueKeys) -> pa.Table:
    data = [None, pa.py_buffer(np.ascontiguousarray(keys).view(np.uint8))]
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(EMBEDDING_KEY.itemsize), len(keys), data)
    return pa.table({"segment": segments.astype(np.int32), "row": rows.astype(np.int32), "key": column})


class Wanted(NamedTuple):
    """Passages whose embeddings are wanted, sorted by key, then segment and row.

    Attributes:
        keys: S16, shape (n,); equal texts have equal keys.
        segments: int64 (n,).
        rows: int64 (n,).
    """

    keys: ValueKeys
    segments: IntArray
    rows: IntArray

    @classmethod
    def of(cls, tables: Iterable[pa.Table]) -> Wanted:
        """Return what tables of ``passage_keys`` hold."""
        table = pa.concat_tables(tables).combine_chunks()
        column = table["key"].combine_chunks()
        keys = np.frombuffer(column.buffers()[1], EMBEDDING_KEY, len(column), column.offset * EMBEDDING_KEY.itemsize)
        segments, rows = (table[name].to_numpy().astype(np.int64) for name in ("segment", "row"))
        order = np.lexsort((rows, segments, keys))
        return cls(keys[order], segments[order], rows[order])

    def take(self, places: IntArray | npt.NDArray[np.bool_]) -> Wanted:
        return Wanted(self.keys[places], self.segments[places], self.rows[places])

    def table(self) -> pa.Table:
        return _table(self.segments, self.rows, self.keys)

    def chunks(self, size: int = CHUNK) -> Iterator[Wanted]:
        """Yield parts of at most ``size`` different keys, all passages of a key in one part."""
        if not len(self.keys):
            return
        starts = np.flatnonzero(np.concatenate([[True], self.keys[1:] != self.keys[:-1]]))
        for start, stop in pairwise([*starts[::size].tolist(), len(self.keys)]):
            yield self.take(np.arange(start, stop))


def write_pieces(folder: str, wanted: Wanted, values: npt.NDArray[np.float32]) -> Iterator[tuple[int, Piece]]:
    """Write the embeddings of some passages, a file a segment; yield (segment, piece).

    Args:
        folder: for the files; the same passages get the same names, so that a retry writes over what it left.
        wanted: the passages.
        values: their embeddings, shape (n, dimension).
    """
    order = np.argsort(wanted.segments, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(wanted.segments[order])) + 1):
        if not len(places):
            continue
        places = places[np.argsort(wanted.rows[places], kind="stable")]
        segment, rows = int(wanted.segments[places[0]]), wanted.rows[places].astype("<i4").tobytes()
        path = storage.join(folder, f"{segment:05d}-{hashlib.sha256(rows).hexdigest()[:16]}.npy")
        storage.write_file(path, partial(np.save, arr=values[places], allow_pickle=False))
        yield segment, Piece(path, rows)


def assemble(pieces: Iterable[Piece], rows: int, target: Path) -> None:
    """Bring a segment's embeddings together in one .npy file, float32, shape (rows, dimension).

    Args:
        pieces: of all rows, in any order.
        rows: how many there are.
        target: the file.

    Raises:
        RunError: a piece is not there any more.
        OSError: the disk is full; known before a row is written, for a memory map of blocks that are not there ends the
            process.
    """
    whole: np.memmap | None = None
    for path, place in sorted(pieces):
        if not storage.exists(path):
            raise RunError(f"{path} vanished while the run was using it; start the run again.", path=path)
        values = np.load(io.BytesIO(storage.read_file(path)), allow_pickle=False)
        if whole is None:
            whole = _reserved(target, (rows, values.shape[1]))
        whole[np.frombuffer(place, "<i4")] = values
    if whole is not None:
        whole.flush()


def _reserved(target: Path, shape: tuple[int, int]) -> np.memmap:
    """Return a new float32 .npy file, mapped, all of whose blocks are there."""
    np.lib.format.open_memmap(target, "w+", np.float32, shape).flush()
    size = target.stat().st_size
    with target.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:  # write through the file what stands in it already
            while data := file.read(1 << 20):
                file.seek(-len(data), os.SEEK_CUR)
                file.write(data)
    return np.lib.format.open_memmap(target, "r+")

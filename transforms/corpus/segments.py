"""Segments: slices of the corpus, built as files by one worker each and read through a memory map.

A segment's rows are sorted by passage id, so a row number orders passages as their ids do. Its folder holds
`texts.arrow` (passage_id, text, text_digest, then the columns that pass through) and what the retrievers add.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import InputError
from hardneg.transforms.core import storage
from hardneg.transforms.core.partition import DIGEST
from hardneg.transforms.core.shared_work import shared_work
from hardneg.transforms.core.text import text_digest
from hardneg.transforms.corpus.working_copies import WorkingCopy

TEXTS = "texts.arrow"
_T = TypeVar("_T")
_lock = threading.RLock()
OPEN_SEGMENTS = 8  # mapped at once in a process; their pages are the page cache's, not the process's


def folder(work: str, segment: int) -> str:
    """Return the folder of a segment in the run's work folder."""
    return storage.join(work, "segments", f"{segment:05d}")


@dataclass(frozen=True)
class Merged:
    """A segment's passages in order, and how many rows repeated another (same id, same text)."""

    passages: pa.Table
    repeated: int


def merge_passages(parts: Sequence[pa.Table], file_names: Sequence[str]) -> Merged:
    """Bring the parts of a segment together: sorted by id, each id once, texts digested.

    Args:
        parts: tables of the PASSAGES schema.
        file_names: the input files by their index, for the error.

    Raises:
        InputError: the same id with two different texts.
    """
    table = pa.concat_tables(parts).combine_chunks()
    table = table.sort_by([("passage_id", "ascending"), ("file", "ascending"), ("line", "ascending")])
    ids = table["passage_id"].to_pylist()
    texts = table["text"].to_pylist()
    keep = np.ones(len(ids), dtype=bool)
    first = 0
    for row in range(1, len(ids)):
        if ids[row] != ids[first]:
            first = row
            continue
        if texts[row] != texts[first]:
            raise InputError(
                f"passage id {ids[row]!r} stands twice with different texts: "
                f"{_place(table, first, file_names)} and {_place(table, row, file_names)}; give each its own id."
            )
        keep[row] = False
    table = table.filter(pa.array(keep)).drop_columns(["file", "line"])
    digests = pa.array([text_digest(text) for text in table["text"].to_pylist()], type=DIGEST)
    table = table.add_column(2, "text_digest", digests).combine_chunks()
    return Merged(table, int((~keep).sum()))


def _place(table: pa.Table, row: int, file_names: Sequence[str]) -> str:
    return f"{file_names[table['file'][row].as_py()]}:{table['line'][row].as_py()}"


def write_table(path: str, table: pa.Table) -> None:
    """Write a table as an Arrow IPC file, whole or not at all."""

    def write(sink: IO[bytes]) -> None:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    storage.write_file(path, write)


def read_table(path: str) -> pa.Table:
    """Read an Arrow IPC file; a local one is mapped, not copied."""
    if storage.is_local(path):
        return pa.ipc.open_file(pa.memory_map(path)).read_all()
    return pa.ipc.open_file(pa.py_buffer(storage.read_file(path))).read_all()


class Segment:
    """A built segment, opened for reading: a memory map of each of its files, opened when first asked for.

    Attributes:
        work: the run's work folder.
        number: which segment it is.
        local: the folder with the files on this machine.
    """

    def __init__(self, work: str, number: int) -> None:
        self.work = work
        self.number = number
        self._folder = folder(work, number)
        self._copy = WorkingCopy(self._folder)
        self.local = self._copy.folder
        self.passages: pa.Table = read_table(str(self.local / TEXTS))
        self._held: dict[str, Any] = {}

    def __len__(self) -> int:
        return self.passages.num_rows

    def find(self, ids: pa.Array) -> np.ndarray:
        """Return the rows of passage ids, int64, -1 where the segment does not hold the id."""
        return find_sorted(self.passages["passage_id"], ids)

    def texts(self, rows: np.ndarray) -> list[str]:
        """Return the passage strings of some rows."""
        return self.passages["text"].take(pa.array(rows)).to_pylist()

    def array(self, name: str) -> np.ndarray:
        """Return one of the segment's .npy files, memory-mapped and read-only."""
        return np.load(self.fresh() / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    def fresh(self) -> Path:
        """Return the folder with its files, those included that were added to an object store since it was opened."""
        return self._copy.refresh()

    def hold(self, name: str, make: Callable[[], _T]) -> _T:
        """Return what was opened over this segment under a name, opened when first asked for."""
        with _lock:
            if name not in self._held:
                self.fresh()
                self._held[name] = make()
            return self._held[name]


def find_sorted(values: pa.Array | pa.ChunkedArray, wanted: pa.Array) -> np.ndarray:
    """Return where strings stand in sorted ones, int64, -1 where they are not.

    A binary search of all at once: a few thousand ids are looked up among millions in some twenty takes, where a hash
    of the millions would have to be made first.

    Args:
        values: sorted by bytes, as Arrow sorts.
        wanted: in any order.
    """
    low = np.zeros(len(wanted), dtype=np.int64)
    high = np.full(len(wanted), len(values), dtype=np.int64)
    if not len(values) or not len(wanted):
        return low - 1
    while (low < high).any():
        middle = (low + high) // 2
        here = values.take(pa.array(np.minimum(middle, len(values) - 1)))
        after = (low < high) & pc.less(here, wanted).to_numpy(zero_copy_only=False)
        low = np.where(after, middle + 1, low)
        high = np.where(after, high, middle)
    found = values.take(pa.array(np.minimum(low, len(values) - 1)))
    return np.where(pc.equal(found, wanted).to_numpy(zero_copy_only=False) & (low < len(values)), low, -1)


def _built(work: str, number: int) -> tuple[int, int]:
    """Return what tells a segment from one that an earlier run of this process built in the same place."""
    if not storage.is_local(work):
        return 0, 0
    status = os.stat(Path(folder(work, number)) / TEXTS)
    return status.st_ino, status.st_mtime_ns


_open: OrderedDict[tuple[str, int, int, int], Segment] = OrderedDict()


def open_segment(work: str, number: int) -> Segment:
    """Return a segment, opened once per process; the least recently used are closed."""
    with _lock:
        with shared_work(work):
            key = (work, number, *_built(work, number))
            if key not in _open:
                _open[key] = Segment(work, number)
        _open.move_to_end(key)
        while len(_open) > OPEN_SEGMENTS:
            _open.popitem(last=False)
        return _open[key]

"""Arrow's own threads read no Python file: one that lets go of a buffer while the interpreter ends aborts the process.

Every reader of Parquet is given a file that notes which thread asks it for bytes.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

from hardneg.transforms.core import storage
from hardneg.transforms.inputs.columns import parts_of
from hardneg.transforms.inputs.formats.parquet import Parquet
from hardneg.transforms.inputs.looking import look_into
from hardneg.transforms.inputs.marks import read_marked_pairs
from hardneg.transforms.inputs.paths import FoundFile
from hardneg.transforms.inputs.rows import read_rows
from hardneg.transforms.inputs.vectors import read_vectors
from hardneg.transforms.output.run_tables import columns_of, read_batches, read_shard
from hardneg.transforms.training.scored_pairs import read_scored_pairs

ROWS, GROUP = 6000, 1000
READERS: set[int] = set()


class NotingFile(io.FileIO):
    """A file whose every read is noted with its thread."""

    def read(self, size: int | None = -1, /) -> Any:
        READERS.add(threading.get_ident())
        return super().read(size)


class NotingFileSystem(LocalFileSystem):
    """Local files under a scheme of their own, so that they are opened through Beam."""

    @classmethod
    def scheme(cls) -> str:
        return "noting"

    def has_dirs(self) -> bool:
        return False

    def exists(self, path: str) -> bool:
        return os.path.isfile(path.removeprefix("noting:/"))

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, os.path.getsize(path.removeprefix("noting:/")))

    def _list(self, prefix: str) -> Iterator[FileMetadata]:
        yield self.metadata(prefix)

    def open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        return NotingFile(path.removeprefix("noting:/"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file in several row groups, whose columns do for every reader."""
    file = tmp_path_factory.mktemp("parquet") / "x.parquet"
    numbers = [f"{number:032d}" for number in range(ROWS)]
    columns = {"query": numbers, "passage": numbers, "label": [1.0] * ROWS}
    pq.write_table(pa.table(columns), file, row_group_size=GROUP)
    return f"noting:/{file}"


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("vectors") / "x.parquet"
    array = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(ROWS * 8, np.float32)), 8)
    pq.write_table(pa.table({"id": [str(n) for n in range(ROWS)], "vector": array}), file, row_group_size=GROUP)
    return f"noting:/{file}"


def _rows_of_pairs(path: str) -> object:
    return list(read_rows(look_into("pairs", FoundFile(path, 0), parts_of("pairs"))))


FORMS: dict[str, Callable[[str], object]] = {
    "rows of an input": _rows_of_pairs,
    "batches of a data set": lambda path: list(Parquet().batches(path)),
    "scored pairs": lambda path: read_scored_pairs([path]),
    "a run's table": read_shard,
    "a run's table in pieces": lambda path: list(read_batches(path, ["query", "label"])),
    "its columns": columns_of,
}


def read_by(read: Callable[[str], object], path: str) -> set[int]:
    READERS.clear()
    read(path)
    assert READERS, "it was read, and through the Python file"
    return READERS - {threading.get_ident()}


@pytest.mark.parametrize("read", FORMS.values(), ids=FORMS)
def test_no_thread_but_the_caller_s_reads(read: Callable[[str], object], path: str) -> None:
    assert not read_by(read, path)


def test_nor_reads_it_vectors(vectors: str) -> None:
    assert not read_by(lambda path: list(read_vectors(path, "passage_id", "vector")), vectors)


def test_marks_are_read_from_memory_of_arrow_s(tmp_path: Path) -> None:
    table = pa.table({"query_id": ["q"] * ROWS, "passage_id": [str(n) for n in range(ROWS)], "relevant": ["y"] * ROWS})
    pq.write_table(table, tmp_path / "m.parquet", row_group_size=GROUP)
    before = threading.active_count()
    assert not read_by(lambda path: len(read_marked_pairs(path) or ()), f"noting:/{tmp_path / 'm.parquet'}")
    assert threading.active_count() == before


def test_this_finds_a_thread_of_arrow_s(path: str) -> None:
    """What all of these would do without being told otherwise."""

    def carelessly(path: str) -> None:
        with storage.open_file(path) as file:
            pq.read_table(file)

    assert read_by(carelessly, path)

"""Files are whole or not there, on disks and in object stores; copies are never an earlier run's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pytest
from object_store import FILES, Bucket

from hardneg.transforms.core import storage
from hardneg.transforms.core.progress import StageProgress, read_progress, record, tell_counted, timed
from hardneg.transforms.corpus import segments
from hardneg.transforms.corpus.segments import Segment, folder, write_table


@pytest.fixture(params=["disk", "bucket"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    FILES.clear()
    yield str(tmp_path / "base") if request.param == "disk" else "bucket://store/base"
    FILES.clear()


def everything(base: str) -> list[str]:
    """Return all files under a folder, temporary ones and empty folders included."""
    if storage.is_local(base):
        return sorted(os.path.relpath(path, base) for path in Path(base).rglob("*"))
    return sorted(path.removeprefix(base + "/") for path in FILES)


def test_write_and_read(base: str) -> None:
    path = storage.join(base, "a", "b.bin")
    assert not storage.exists(path)
    storage.write_file(path, lambda sink: sink.write(b"one"))
    assert storage.exists(path)
    assert storage.read_file(path) == b"one"
    storage.write_file(path, lambda sink: sink.write(b"two"))
    assert storage.read_file(path) == b"two"
    assert storage.list_files(storage.join(base, "a", "*")) == [path]
    assert storage.list_files(storage.join(base, "nothing", "*")) == []


def test_bytes_are_stored_as_they_are(base: str) -> None:
    """A name that ends in .gz is no reason to compress."""
    path = storage.join(base, "data.gz")
    storage.write_file(path, lambda sink: sink.write(b"plain"))
    assert storage.read_file(path) == b"plain"


def fail(sink: IO[bytes]) -> None:
    sink.write(b"half")
    raise RuntimeError("in the middle")


def test_a_writer_that_raises_leaves_nothing(base: str) -> None:
    path = storage.join(base, "new.bin")
    with pytest.raises(RuntimeError, match="in the middle"):
        storage.write_file(path, fail)
    assert everything(base) == []
    storage.write_file(path, lambda sink: sink.write(b"old"))
    with pytest.raises(RuntimeError):
        storage.write_file(path, fail)
    assert storage.read_file(path) == b"old"
    assert everything(base) == ["new.bin"]


def test_publishing(base: str) -> None:
    with storage.publishing(base) as scratch:
        (scratch / "deep").mkdir()
        (scratch / "deep" / "a").write_bytes(b"a")
        (scratch / "b").write_bytes(b"b")
        assert not storage.exists(storage.join(base, "b"))
    assert storage.read_file(storage.join(base, "deep", "a")) == b"a"
    assert storage.read_file(storage.join(base, "b")) == b"b"
    with storage.publishing(base) as scratch:
        (scratch / "b").write_bytes(b"new")
    assert [name for name in everything(base) if name != "deep"] == ["b", "deep/a"]
    assert storage.read_file(storage.join(base, "b")) == b"new"


def test_publishing_that_raises_leaves_nothing(base: str) -> None:
    def publish() -> None:
        with storage.publishing(base) as scratch:
            (scratch / "a").write_bytes(b"a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        publish()
    assert everything(base) == []


def test_written_files_may_be_read_by_others(tmp_path: Path) -> None:
    """Temporary files are private; what they become must not be."""
    path = tmp_path / "file"
    storage.write_file(str(path), lambda sink: sink.write(b"x"))
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("path", "local"), [("/a/b", True), ("a", True), ("gs://a/b", False), ("s3://a", False), ("c:b", True)]
)
def test_is_local(path: str, local: bool) -> None:
    assert storage.is_local(path) == local


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A work folder in an object store; its local copies lie in a folder of their own."""
    FILES.clear()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield "bucket://store/work"
    FILES.clear()


def test_a_segment_in_an_object_store_sees_what_is_added_to_it(bucket: str) -> None:
    """Embeddings and weights come after a worker has opened a segment for the first time."""
    table = pa.table({"passage_id": ["p"], "text": ["x"]})
    write_table(storage.join(folder(bucket, 0), segments.TEXTS), table)
    segment = Segment(bucket, 0)
    assert segment.texts(np.array([0])) == ["x"]
    with storage.publishing(folder(bucket, 0)) as scratch:
        np.save(scratch / "embedding_e.npy", np.ones((1, 2), np.float32))
        (scratch / "bm25").mkdir()
        (scratch / "bm25" / "weights").write_bytes(b"w")
    assert segment.array("embedding_e").tolist() == [[1, 1]]
    assert segment.hold("bm25", lambda: (segment.local / "bm25" / "weights").read_bytes()) == b"w"
    with storage.publishing(folder(bucket, 0)) as scratch:
        np.save(scratch / "embedding_e.npy", np.zeros((1, 2), np.float32))
    assert segment.array("embedding_e").tolist() == [[0, 0]]


def test_the_bucket_publishes_as_object_stores_do() -> None:
    """The stand-in has the fault that write_file guards against."""
    FILES.clear()

    def upload() -> None:
        with Bucket(None).create("bucket://store/x", compression_type="uncompressed") as file:
            fail(file)

    with pytest.raises(RuntimeError):
        upload()
    assert FILES.pop("bucket://store/x")[0] == b"half"


def test_progress_is_summed(tmp_path: Path) -> None:
    work = str(tmp_path / "work")
    assert read_progress(work) == {}
    record(work, "score", done=3)
    record(work, "score", expected=10, seconds=0.5)
    record(work, "read", done=1)
    with timed(work, "read", done=2):
        pass
    with (tmp_path / "work" / "progress" / "999.jsonl").open("w") as other:
        other.write('{"stage": "score", "done": 4, "expected": 0, "seconds": 1.5}\n{"stage": "sco')  # being written
    stages = read_progress(work)
    assert (stages["score"].done, stages["score"].expected, stages["score"].seconds) == (7, 10, 2.0)
    assert stages["read"].done == 3


def test_there_are_no_progress_records_in_an_object_store() -> None:
    FILES.clear()
    record("bucket://store/work", "score", done=3)
    assert read_progress("bucket://store/work") == {}
    tell_counted({"pairs scored": StageProgress(done=7)})
    assert read_progress("bucket://store/work")["pairs scored"].done == 7, "an engine's counters, there"
    tell_counted({})
    assert not FILES
    assert not Path("bucket:").exists()

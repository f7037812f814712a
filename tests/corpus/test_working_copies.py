"""Copies of an object store's segments on a worker's machine: up to date, shared, bounded."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import FILES, Bucket  # noqa: F401 - registers the object store

from hardneg.errors import OptionError
from hardneg.transforms.core import storage
from hardneg.transforms.corpus.working_copies import LIMIT, WorkingCopy, drop_unused, scratch_folder, scratch_limit


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A work folder in an object store; its local copies lie in a folder of their own."""
    FILES.clear()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield "bucket://store/work"
    FILES.clear()


def put(path: str, data: bytes) -> None:
    storage.write_file(path, lambda sink: sink.write(data))


def test_a_copy_is_brought_up_to_date(bucket: str) -> None:
    first = storage.join(bucket, "deep", "a")
    put(first, b"one")
    copy = WorkingCopy(bucket)
    assert (copy.folder / "deep" / "a").read_bytes() == b"one"
    untouched = (copy.folder / "deep" / "a").stat().st_ino
    put(storage.join(bucket, "b"), b"b")
    assert copy.refresh() == copy.folder
    assert (copy.folder / "b").read_bytes() == b"b"
    assert (copy.folder / "deep" / "a").stat().st_ino == untouched, "what has not changed is not fetched again"
    # Another run in the same place: the same name and size, other bytes.
    put(first, b"two")
    assert (WorkingCopy(bucket).folder / "deep" / "a").read_bytes() == b"two"


def test_a_local_folder_is_its_own_copy(tmp_path: Path) -> None:
    copy = WorkingCopy(str(tmp_path))
    assert copy.folder == copy.refresh() == tmp_path
    assert list(tmp_path.iterdir()) == []


def copies_of(bucket: str, *names: str, size: int = 1000) -> list[Path]:
    """Copy folders of one file each, one after the other; return the copies, which nobody uses."""
    folders = []
    for age, name in enumerate(reversed(names)):
        remote = storage.join(bucket, "segments", name)
        put(storage.join(remote, "texts"), b"x" * size)
        folders.append(WorkingCopy(remote).folder)
        used = 1_700_000_000 - 60 * age
        os.utime(folders[-1].with_name(f"{name}.lock"), (used, used))
    return folders[::-1]


@pytest.mark.skipif(os.name != "posix", reason="copies are dropped where the system has locks of files")
def test_what_was_not_used_for_the_longest_is_dropped_first(bucket: str) -> None:
    old, middle, new = copies_of(bucket, "00000", "00001", "00002")
    assert drop_unused(3000) == []
    assert drop_unused(2999) == [old]
    assert not old.exists()
    assert not old.with_name("00000.lock").exists()
    WorkingCopy(storage.join(bucket, "segments", "00001"))  # used again, so the other is the older one
    assert drop_unused(1000) == [new]
    assert middle.exists()


@pytest.mark.skipif(os.name != "posix", reason="copies are dropped where the system has locks of files")
def test_adding_a_copy_makes_room_for_it(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = copies_of(bucket, "00000", "00001")
    monkeypatch.setenv(LIMIT, "0.0000025")
    third = storage.join(bucket, "segments", "00002")
    put(storage.join(third, "texts"), b"x" * 1000)
    assert WorkingCopy(third).folder.exists()
    assert (old.exists(), new.exists()) == (False, True)
    # A dropped copy is fetched again by whoever needs it.
    assert (WorkingCopy(storage.join(bucket, "segments", "00000")).folder / "texts").stat().st_size == 1000


@pytest.mark.skipif(os.name != "posix", reason="copies are dropped where the system has locks of files")
def test_what_a_process_has_open_stays(bucket: str) -> None:
    """Whichever process that is; and until it lets go, if by dying."""
    mine, theirs, unused = copies_of(bucket, "00000", "00001", "00002")
    held = WorkingCopy(storage.join(bucket, "segments", "00000"))
    program = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_SH); print(1, flush=True); input()"
    lock = str(theirs.with_name("00001.lock"))
    other = subprocess.Popen([sys.executable, "-c", program, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    assert drop_unused(0) == [unused]
    other.kill()
    other.communicate()
    assert drop_unused(0) == [theirs]
    assert held.folder == mine
    assert mine.exists()
    del held
    assert drop_unused(0) == [mine]
    assert list(scratch_folder().rglob("*.lock")) == []


@pytest.mark.parametrize("told", ["many", "-1", "nan"])
def test_the_limit_is_a_number(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv(LIMIT, told)
    with pytest.raises(OptionError, match=f"{LIMIT}={told} .*give a number of gigabytes"):
        scratch_limit()

"""Copies of an object store's segments on a worker's machine: one for all its processes, and not without end.

They lie in the folder ``hardneg-work`` of the temporary folder (``TMPDIR``), of up to HARDNEG_SCRATCH_GB gigabytes:
when a copy is added beyond that, those that were not used for the longest go, of this run or an earlier one. What a
process has open is locked, so it stays. The locks are the system's, and end with the process; where a system has none
(Windows), nothing is dropped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hardneg.errors import OptionError
from hardneg.transforms.core import storage

try:
    import fcntl
except ImportError:  # another system
    fcntl = None  # type: ignore[assignment]

LIMIT = "HARDNEG_SCRATCH_GB"
_DEFAULT = 20.0
_LOCK = ".lock"  # beside a copy; its time is that of the last use


class WorkingCopy:
    """A folder of the store on this machine, kept while this object is.

    Attributes:
        folder: the local folder; of a local one, itself.
    """

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self._lock: IO[bytes] | None = None
        if storage.is_local(remote):
            self.folder = Path(remote)
            return
        self.folder = scratch_folder() / remote.replace("://", "/").rstrip("/")
        self._lock = _in_use(self.folder)
        self.refresh()

    def refresh(self) -> Path:
        """Bring the copy up to date, by one process of this machine at a time; return the folder."""
        if storage.is_local(self._remote):
            return self.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        os.utime(_lock_of(self.folder))
        with _alone(self.folder / ".copying"):
            copied = storage.copy_files(storage.join(self._remote, "**"), scratch_folder())
        if copied:
            drop_unused(scratch_limit())
        return self.folder


def scratch_folder() -> Path:
    """Return the folder of all copies on this machine."""
    return Path(tempfile.gettempdir()) / "hardneg-work"


def scratch_limit() -> int:
    """Return how many bytes of copies a machine keeps.

    Raises:
        OptionError: the environment's limit is no number.
    """
    told = os.environ.get(LIMIT, "")
    try:
        gigabytes = float(told or _DEFAULT)
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0:
        raise OptionError(f"{LIMIT}={told} in a worker's environment: give a number of gigabytes, as 20.")
    return int(gigabytes * 1e9)


def drop_unused(limit: int) -> list[Path]:
    """Delete copies until those left have at most ``limit`` bytes, or are all in use; return what was deleted."""
    if fcntl is None:
        return []
    locks = scratch_folder().rglob(f"*{_LOCK}")
    copies = sorted((time, path.with_suffix("")) for path in locks if (time := _used(path)) is not None)
    sizes = {copy: _size(copy) for _, copy in copies}
    total, dropped = sum(sizes.values()), []
    for _, copy in copies:
        if total <= limit:
            break
        if _dropped(copy):
            total -= sizes[copy]
            dropped.append(copy)
    return dropped


def _lock_of(copy: Path) -> Path:
    return copy.with_name(copy.name + _LOCK)


def _used(lock: Path) -> int | None:
    try:
        return lock.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _size(copy: Path) -> int:
    total = 0
    for path in copy.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process drops it, too
            total += path.stat().st_size if path.is_file() else 0
    return total


def _in_use(copy: Path) -> IO[bytes]:
    """Return an open file that keeps a copy from being dropped until it is closed, if by the end of the process."""
    lock = _lock_of(copy)
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("ab")
        if fcntl is None:
            return file
        fcntl.flock(file, fcntl.LOCK_SH)
        if _is(file, lock):
            return file
        file.close()  # it was dropped between opening and locking


def _dropped(copy: Path) -> bool:
    """Delete a copy that nobody uses; return whether it is gone by this."""
    lock = _lock_of(copy)
    try:
        file = lock.open("rb")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not _is(file, lock):
            return False
        shutil.rmtree(copy, ignore_errors=True)
        lock.unlink()
    return True


def _is(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""The lock of a store: one refresh at a time, on this machine or any other.

A lock is one small file that says who holds it, since when, and until when; while its holder works, it is renewed. A
holder that is dead on this machine, or whose time ran out, is followed by the next one. Local files are created
exclusively; object stores put them on a condition (``object_lock``).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from hardneg.errors import LockedError, OptionError, parameter
from hardneg.transforms.core import storage

LOCK = "lock"
LEASE_SECONDS = 600.0
_RENEWALS = 5  # in the time of a lease
_HELD: set[str] = set()  # tokens of the locks that this process holds


@dataclass(frozen=True)
class Holder:
    """Who holds a lock; times are seconds since the epoch."""

    host: str
    process: int
    since: float
    until: float
    token: str

    @classmethod
    def this(cls, seconds: float) -> Holder:
        now = time.time()
        return cls(socket.gethostname(), os.getpid(), now, now + seconds, uuid.uuid4().hex)

    @classmethod
    def read(cls, data: bytes) -> Holder:
        """Read a lock; one that is no lock of ours counts as run out."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):
            return cls("unknown", 0, 0.0, 0.0, "")

    def data(self) -> bytes:
        return (json.dumps(asdict(self)) + "\n").encode()

    @property
    def gone(self) -> str | None:
        """Why its holder need not be waited for; None: it must."""
        here = self.host == socket.gethostname()
        # A container's processes have small numbers, so that of a dead one may be this one's own.
        mine = self.process == os.getpid() and self.token not in _HELD
        if here and (mine or not alive(self.process)):
            return "is dead"
        return "has not renewed it since" if time.time() > self.until else None

    def said(self) -> str:
        since = datetime.fromtimestamp(self.since).astimezone()
        return f"process {self.process} on {self.host}, since {since:%Y-%m-%d %H:%M:%S %z}"


class LockFile(Protocol):
    """Where a lock lies. A version is what it was when it was read, so that it changes only if nobody was faster."""

    path: str

    def read(self) -> tuple[bytes, object] | None: ...

    def create(self, data: bytes) -> bool: ...

    def replace(self, data: bytes, version: object) -> bool: ...

    def remove(self, version: object) -> None: ...


class LocalLock:
    """A lock in a local file; its version is its bytes. Changes are made under a guard that goes with the process."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> tuple[bytes, object] | None:
        try:
            data = Path(self.path).read_bytes()
        except FileNotFoundError:
            return None
        return data, data

    def create(self, data: bytes) -> bool:
        temporary = f"{self.path}.{uuid.uuid4().hex}"
        Path(temporary).write_bytes(data)
        try:
            os.link(temporary, self.path)  # there whole, or not at all, and never over another
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)
        return True

    def replace(self, data: bytes, version: object) -> bool:
        with self._guard():
            if (now := self.read()) is None or now[1] != version:
                return False
            storage.write_file(self.path, lambda sink: sink.write(data))
            return True

    def remove(self, version: object) -> None:
        with self._guard():
            if (now := self.read()) is not None and now[1] == version:
                os.unlink(self.path)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            import fcntl
        except ImportError:  # another system: two that take over the same dead lock in one moment may both think so
            yield
            return
        folder, name = os.path.split(self.path)
        with open(os.path.join(folder, f".{name}.guard"), "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def alive(process: int) -> bool:
    """Return whether a process of this machine is running."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


class Held:
    """A lock that this process holds."""

    def __init__(self, file: LockFile, holder: Holder, version: object, seconds: float) -> None:
        self._file, self._holder, self._version, self._seconds = file, holder, version, seconds
        self._turn = threading.Lock()
        self._lost = False

    def renew(self) -> None:
        """Hold it for another lease; that it was lost is told by ``check``."""
        holder = Holder(**{**asdict(self._holder), "until": time.time() + self._seconds})
        with self._turn:
            if not self._file.replace(holder.data(), self._version):
                self._lost = True
                return
            now = self._file.read()
            self._version = now[1] if now else None

    def check(self) -> None:
        """Raise LockedError where another process has taken over, because this one was held up for too long."""
        with self._turn:
            now = self._file.read()
        if self._lost or now is None or Holder.read(now[0]).token != self._holder.token:
            raise LockedError(
                f"{self._file.path}: another process took over the lock while this one did not renew it; nothing was "
                "published. Start the same command again.",
                path=self._file.path,
            )

    def release(self) -> None:
        with self._turn:
            self._file.remove(self._version)


@contextmanager
def holding(
    store: str, say: Callable[[str], object] = lambda line: None, seconds: float = LEASE_SECONDS
) -> Iterator[Held]:
    """Hold a store's lock, renewing it, until the block ends.

    Args:
        store: the store; a local one is made if it is not there.
        say: is told whom this process follows.
        seconds: of a lease.

    Raises:
        LockedError: another process holds it.
        OptionError: the store can't be written; or an object store needs ``obstore``, which is not installed.
    """
    file = lock_file(store)
    holder = Holder.this(seconds)
    _HELD.add(holder.token)
    try:
        held = Held(file, holder, _take(file, holder, store, say), seconds)
    except BaseException:
        _HELD.discard(holder.token)
        raise
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(held, ended, seconds / _RENEWALS), daemon=True)
    renewing.start()
    try:
        yield held
    finally:
        ended.set()
        renewing.join()
        held.release()
        _HELD.discard(holder.token)


def lock_file(store: str) -> LockFile:
    """Return where a store's lock lies."""
    if not storage.is_local(store):
        from hardneg.pipelines.runs.object_lock import ObjectLock

        return ObjectLock(store, LOCK)
    try:
        Path(store).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(
            f"{parameter('store')} {store}: it cannot be made ({error.strerror}); give a folder that can be written."
        ) from None
    return LocalLock(os.path.join(store, LOCK))


def _take(file: LockFile, holder: Holder, store: str, say: Callable[[str], object]) -> object:
    """Take a lock; return its version."""
    for _ in range(10):
        if file.create(holder.data()):
            break
        there = file.read()
        if there is None:
            continue  # it was let go of in this moment
        other = Holder.read(there[0])
        if (gone := other.gone) is None:
            raise LockedError(
                f"{store} is being refreshed by another process ({other.said()}); wait for it, or, if it is dead, "
                f"delete {file.path}.",
                path=file.path,
                host=other.host,
                process=other.process,
                since=other.since,
            )
        if file.replace(holder.data(), there[1]):
            say(f"{file.path} was held by {other.said()}, which {gone}: this process takes over.")
            break
    mine = file.read()
    if mine is None or Holder.read(mine[0]).token != holder.token:
        raise LockedError(f"{file.path} changes hands all the time: start again later.", path=file.path)
    return mine[1]


def _renew(held: Held, ended: threading.Event, seconds: float) -> None:
    while not ended.wait(seconds):
        with contextlib.suppress(OSError):  # a network that is away for a moment; the lease is longer
            held.renew()

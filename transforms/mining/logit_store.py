"""Logits by pair, in the work folder: what one run has scored, no later run under that folder scores again."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from hardneg.transforms.core import storage

FOLDER = "logits"
_KEY_BYTES = 16
_KEY = np.dtype(f"S{_KEY_BYTES}")
_ROW = np.dtype([("key", _KEY), ("logit", "<f4"), ("cut", "?")])


class _Part(NamedTuple):
    """Pairs sorted by key; the fields are contiguous, which ``searchsorted`` needs."""

    keys: npt.NDArray[np.bytes_]
    logits: npt.NDArray[np.float32]
    cut: npt.NDArray[np.bool_]


def pair_keys(fingerprint: str, queries: Sequence[str], passages: Sequence[str]) -> npt.NDArray[np.bytes_]:
    """Return a key for each pair: a digest of the model's fingerprint and the two texts, S16, shape (n,)."""
    digests = bytearray()
    start = hashlib.blake2b(fingerprint.encode(), digest_size=_KEY_BYTES)
    for query, passage in zip(queries, passages, strict=True):
        digest = start.copy()
        data = query.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
        digest.update(passage.encode())
        digests += digest.digest()
    # All keys are of one width, so that NumPy's ignoring of trailing zero bytes makes no two of them equal.
    return np.frombuffer(bytes(digests), dtype=_KEY)


class LogitStore:
    """The logits of one model's pairs: files of a work folder, read when it is made, and what was added since.

    A file is a sorted table of (key, logit, cut), written whole or not at all and named by its own digest, so that
    a damaged one is not read. What other processes add meanwhile is not seen.

    Args:
        work: the run's work folder.
        fingerprint: the model's.
    """

    def __init__(self, work: str, fingerprint: str) -> None:
        self._folder = storage.join(work, FOLDER)
        self._prefix = fingerprint[:16]
        self._lock = threading.Lock()
        self._parts: list[_Part] = []
        for path in self._paths():
            if (part := _read(path)) is not None:
                self._remember(part)

    def find(self, keys: npt.NDArray[np.bytes_]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Return the logits of pairs, float32, NaN where unknown, and whether each pair was cut, bool."""
        logits = np.full(len(keys), np.nan, dtype=np.float32)
        cut = np.zeros(len(keys), dtype=np.bool_)
        with self._lock:
            parts = list(self._parts)
        for part in parts:
            places = np.minimum(np.searchsorted(part.keys, keys), len(part.keys) - 1)
            known = part.keys[places] == keys
            logits[known], cut[known] = part.logits[places[known]], part.cut[places[known]]
        return logits, cut

    def add(self, keys: npt.NDArray[np.bytes_], logits: npt.NDArray[np.float32], cut: npt.NDArray[np.bool_]) -> None:
        """Store pairs; of a key that comes twice, the first one counts."""
        if not len(keys):
            return
        keys, first = np.unique(keys, return_index=True)
        part = _Part(keys, logits[first].astype(np.float32), cut[first].astype(np.bool_))
        data = _packed(part)
        name = f"{self._prefix}-{_digest(data)}.npy"
        storage.write_file(storage.join(self._folder, name), lambda sink: _write(sink, data))
        with self._lock:
            self._remember(part)

    def _paths(self) -> list[str]:
        pattern = f"{self._prefix}-*.npy"
        if storage.is_local(self._folder):  # a folder's name may hold what a glob takes for a pattern
            return sorted(str(path) for path in Path(self._folder).glob(pattern))
        return storage.list_files(storage.join(self._folder, pattern))

    def _remember(self, part: _Part) -> None:
        """Keep a part; smaller ones before it are merged into it, so that there are ever only a few."""
        while self._parts and len(self._parts[-1].keys) <= 2 * len(part.keys):
            part = _merged(self._parts.pop(), part)
        self._parts.append(part)


def _merged(one: _Part, other: _Part) -> _Part:
    keys, first = np.unique(np.concatenate([one.keys, other.keys]), return_index=True)
    logits, cut = np.concatenate([one.logits, other.logits]), np.concatenate([one.cut, other.cut])
    return _Part(keys, logits[first], cut[first])


def _packed(part: _Part) -> bytes:
    rows = np.empty(len(part.keys), dtype=_ROW)
    rows["key"], rows["logit"], rows["cut"] = part
    buffer = io.BytesIO()
    np.save(buffer, rows, allow_pickle=False)
    return buffer.getvalue()


def _write(sink: IO[bytes], data: bytes) -> None:
    sink.write(data)


def _read(path: str) -> _Part | None:
    """Return a file's pairs; None if it is not what was written: its pairs are scored again."""
    data = storage.read_file(path)
    if _digest(data) != path.rsplit("-", 1)[-1].removesuffix(".npy"):
        return None
    rows = np.load(io.BytesIO(data), allow_pickle=False)
    if rows.dtype != _ROW or not len(rows):
        return None
    return _Part(*(np.ascontiguousarray(rows[name]) for name in ("key", "logit", "cut")))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]

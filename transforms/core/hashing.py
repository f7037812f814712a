"""64-bit keys of texts and ids, so that millions of them can be compared as arrays of numbers.

A key is the first half of a text's digest (``text.text_digest``): two of ten million different texts have the same
one with a probability of about three in a million. Comparisons here are of pairs, where both would have to agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.core.text import text_digest

Keys = npt.NDArray[np.uint64]

# Odd, so that multiplying permutes the 64-bit numbers (the golden ratio's, and one of MurmurHash3's).
_FIRST = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xC2B2AE3D27D4EB4F)


def text_key(text: str) -> int:
    """Return the key of a text's normalised form; 0 if that is empty."""
    key = int.from_bytes(text_digest(text)[:8], "big")
    return 0 if key == _EMPTY else key


_EMPTY = int.from_bytes(text_digest("")[:8], "big")


def id_key(identifier: str) -> int:
    """Return the key of an id, which is compared as it is."""
    return int.from_bytes(hashlib.blake2b(identifier.encode("utf-8"), digest_size=8).digest(), "big")


def text_keys(texts: pa.Array | pa.ChunkedArray) -> Keys:
    """Return the keys of strings, shape (n,): equal if and only if the normalised texts are; 0 for none."""
    return _keys(texts, text_key)


def digest_keys(digests: pa.Array | pa.ChunkedArray) -> Keys:
    """Return the text keys of digests that ``text.text_digest`` made, 16 bytes each, shape (n,)."""
    if isinstance(digests, pa.ChunkedArray):
        digests = digests.combine_chunks()
    data = b"".join(digests.to_pylist())
    keys = np.frombuffer(data, dtype=">u8").reshape(-1, 2)[:, 0].astype(np.uint64)
    return np.where(keys == np.uint64(_EMPTY), np.uint64(0), keys)


def id_keys(ids: pa.Array | pa.ChunkedArray) -> Keys:
    """Return the keys of ids, shape (n,); 0 for null."""
    return _keys(ids, id_key)


def _keys(values: pa.Array | pa.ChunkedArray, key_of: Callable[[str], int]) -> Keys:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not len(values):
        return np.zeros(0, dtype=np.uint64)
    encoded = pc.dictionary_encode(values.cast(pa.string()))
    each = np.array([key_of(value) for value in encoded.dictionary.to_pylist()] + [0], dtype=np.uint64)
    return each[encoded.indices.fill_null(len(each) - 1).to_numpy(zero_copy_only=False)]


def pair_keys(first: Keys, second: Keys) -> Keys:
    """Return a key of each ordered pair of keys, shape (n,)."""
    return first * _FIRST + second * _SECOND


def set_keys(starts: npt.NDArray[np.int64], keys: Keys) -> Keys:
    """Return a key of each set of keys, whatever its order, shape (n,).

    Args:
        starts: shape (n + 1,): set i is ``keys[starts[i]:starts[i + 1]]``; increasing.
        keys: the members, one set after the other.
    """
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(pair_keys(keys, keys), dtype=np.uint64)])
    return sums[starts[1:]] - sums[starts[:-1]]  # wraps around, and back


def occurrence(keys: Keys) -> npt.NDArray[np.int64]:
    """Return how many equal keys stand before each one, shape (n,)."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    firsts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(keys) else order
    before = np.zeros(len(keys), dtype=np.int64)
    before[order] = np.arange(len(keys)) - np.repeat(firsts, np.diff(np.append(firsts, len(keys))))
    return before


class KeyMap:
    """A map from keys to keys, as two sorted arrays; the first of several values of a key counts."""

    def __init__(self, keys: Keys, values: Keys) -> None:
        self.keys, first = np.unique(keys, return_index=True)
        self.values = values[first]

    def __len__(self) -> int:
        return len(self.keys)

    def get(self, keys: Keys, default: Keys | int = 0) -> Keys:
        """Return the value of each key, shape (n,), and the default for those that the map has not."""
        default = np.broadcast_to(np.asarray(default, dtype=np.uint64), keys.shape)
        if not len(self.keys):
            return default.copy()
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, self.values[place], default)

    def canonical(self, ids: Keys) -> Keys:
        """Return for each id's key the key of its text, so that equal texts are one; its own if it has none."""
        return self.get(ids, ids)


def file_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file, computed once for as long as it does not change."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)  # a few numbers each; a model may have a hundred files, and is asked for block by block
def _sha256(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

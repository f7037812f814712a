"""The keys under which values are stored: digests of the texts that they are functions of.

The model is not in a key: each model has a shelf of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.text import text_digest

ValueKeys = npt.NDArray[np.bytes_]

EMBEDDING_KEY = np.dtype("S16")
LOGIT_KEY = np.dtype("S24")
_OF_QUERY = 8  # bytes of a logit's key that its query decides


def embedding_keys(role: str, texts: Sequence[str]) -> ValueKeys:
    """Return a key for each text, S16, shape (n,).

    Args:
        role: ``query`` or ``passage``: which prompt is put before them.
        texts: without prompts.
    """
    start = hashlib.blake2b(role.encode() + b"\0", digest_size=EMBEDDING_KEY.itemsize)
    digests = bytearray()
    for text in texts:
        digest = start.copy()
        digest.update(text.encode())
        digests += digest.digest()
    # All keys are of one width, so that NumPy's ignoring of trailing zero bytes makes no two of them equal.
    return np.frombuffer(bytes(digests), dtype=EMBEDDING_KEY)


def logit_keys(queries: Sequence[str], passages: Sequence[str]) -> ValueKeys:
    """Return a key for each pair of texts, S24, shape (n,).

    A query's pairs lie together: keys begin with the digest of its normalised text, by which blocks are cut. So what a
    block asks for is a range of each file.
    """
    width = LOGIT_KEY.itemsize - _OF_QUERY
    digests = bytearray()
    for query, passage in zip(queries, passages, strict=True):
        data = query.encode()
        digest = hashlib.blake2b(len(data).to_bytes(8, "big") + data, digest_size=width)
        digest.update(passage.encode())
        digests += _query_part(query) + digest.digest()
    return np.frombuffer(bytes(digests), dtype=LOGIT_KEY)


@lru_cache(maxsize=4096)
def _query_part(query: str) -> bytes:
    return text_digest(query)[:_OF_QUERY]


def key_ranges(keys: ValueKeys, parts: int) -> Iterator[tuple[int, IntArray]]:
    """Yield (range, places of the keys in it, sorted by key) for each of ``parts`` equal ranges that has keys."""
    order = np.argsort(keys, kind="stable")
    heads = first_bytes(keys[order])
    numbers = heads.astype(np.int64) * parts >> 32
    for places in np.split(order, np.flatnonzero(np.diff(numbers)) + 1):
        if len(places):
            yield int(first_bytes(keys[places[:1]])[0]) * parts >> 32, places


def first_bytes(keys: ValueKeys) -> npt.NDArray[np.uint32]:
    """Return the first four bytes of each key as a number, which orders as the keys do."""
    raw = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), keys.dtype.itemsize)
    return np.ascontiguousarray(raw[:, :4]).view(">u4").reshape(len(keys)).astype(np.uint32)

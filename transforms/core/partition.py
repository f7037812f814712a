"""Cutting tables by a digest of an id: into segments, blocks, shards and buckets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.text import cut_digest

DIGEST = pa.binary(16)


def part_of(identifier: str, parts: int) -> int:
    """Return which of ``parts`` slices an id belongs to, in every process and on every machine."""
    return cut_digest(identifier) % parts


def cut(ids: Sequence[str], parts: int) -> np.ndarray:
    """Return which of ``parts`` slices each id belongs to, int64, shape (len(ids),)."""
    return np.array([part_of(identifier, parts) for identifier in ids], dtype=np.int64)


def split_by(table: pa.Table, keys: np.ndarray) -> Iterable[tuple[int, pa.Table]]:
    """Yield (key, the rows with that key) in the order of the keys; rows keep their order."""
    order = np.argsort(keys, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        if len(rows):
            yield int(keys[rows[0]]), table.take(pa.array(rows))

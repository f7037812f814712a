"""Canonical tensor shapes, so that a score is a function of its texts, bit for bit.

A transformer's output changes in its last bits with the padded length and the number of rows of the batch
it is computed in; at one shape, with rows a multiple of four, it does not depend on the other rows. So every
batch has one of a few fixed shapes: lengths are padded up to a multiple of 16, each length has a fixed row
count, and a short last batch is filled with copies whose results are thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LENGTH_MULTIPLE = 16
Forward = Callable[[npt.NDArray[np.int64], int], npt.NDArray[np.float32]]  # (row numbers, padded length) to values


@dataclass(frozen=True)
class ShapeTable:
    """Rows per batch for each padded length; part of a model's fingerprint.

    Attributes:
        tokens: rows x length that a batch aims for.
        most_rows: rows of the shortest batches, a multiple of 8.
    """

    tokens: int
    most_rows: int

    def rows(self, length: int) -> int:
        """Return the row count of batches padded to ``length``: a multiple of 8, at least 8."""
        return max(8, min(self.most_rows, self.tokens // length // 8 * 8))


# Small batches are as fast on a CPU (measured with 6 layers of width 384, lengths 64 to 256: 8 rows within
# 5 % of 64) and waste less in their last rows; a GPU needs many tokens a call to be busy.
CPU_SHAPES = ShapeTable(tokens=1024, most_rows=16)
GPU_SHAPES = ShapeTable(tokens=16384, most_rows=128)


def padded_length(length: int, max_length: int) -> int:
    """Return the canonical length for ``length`` tokens."""
    return min(-(-length // LENGTH_MULTIPLE) * LENGTH_MULTIPLE, max_length)


def plan_batches(lengths: np.ndarray, table: ShapeTable, max_length: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (padded length, row numbers), the numbers filled up with copies of the batch's first.

    Args:
        lengths: tokens per row, int, shape (n,).
    """
    padded = np.array([padded_length(int(length), max_length) for length in lengths], dtype=np.int64)
    order = np.argsort(padded, kind="stable")
    cuts = np.flatnonzero(np.diff(padded[order])) + 1
    for group in np.split(order, cuts):
        if not len(group):
            continue
        length = int(padded[group[0]])
        rows = table.rows(length)
        for start in range(0, len(group), rows):
            batch = group[start : start + rows]
            yield length, np.concatenate([batch, np.full(rows - len(batch), batch[0])])


def run_batches(
    lengths: np.ndarray,
    table: ShapeTable,
    max_length: int,
    forward: Forward,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Run ``forward(row numbers, padded length)`` over canonical batches; yield each one's rows and float32 values."""
    for length, filled in plan_batches(lengths, table, max_length):
        values = forward(filled, length)
        real = len(np.unique(filled))
        yield filled[:real], values[:real]

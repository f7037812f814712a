"""Canonical tensor shapes, so that a score is a function of its texts, bit for bit.

A transformer's output changes in its last bits with the padded length and the number of rows of the batch
it is computed in; at one shape, with rows a multiple of four, it does not depend on the other rows. So every
batch has one of a few fixed shapes: lengths are padded up to one of a row of lengths, each length has a fixed row
count, and a short last batch is filled with copies whose results are thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Forward = Callable[[npt.NDArray[np.int64], int], npt.NDArray[np.float32]]  # (row numbers, padded length) to values


@dataclass(frozen=True)
class ShapeTable:
    """Padded lengths, and rows per batch for each; part of a model's fingerprint.

    Attributes:
        tokens: rows x length that a batch aims for.
        most_rows: rows of the shortest batches, a multiple of ``rows_step``.
        rows_step: rows are a multiple of it, a multiple of 4.
        length_steps: (longest, step): up to how many tokens lengths are padded to multiples of which step; the last
            step goes for all longer ones, too.
    """

    tokens: int
    most_rows: int
    rows_step: int = 8
    length_steps: tuple[tuple[int, int], ...] = ((512, 16),)

    def rows(self, length: int) -> int:
        """Return the row count of batches padded to ``length``: a multiple of ``rows_step``, at least that."""
        return max(self.rows_step, min(self.most_rows, self.tokens // length // self.rows_step * self.rows_step))

    def padded(self, length: int, max_length: int) -> int:
        """Return the canonical length for ``length`` tokens, at most ``max_length``."""
        step = next((step for longest, step in self.length_steps if length <= longest), self.length_steps[-1][1])
        return min(-(-length // step) * step, max_length)

    def described(self) -> list[object]:
        """Return the table as JSON values."""
        return [self.tokens, self.most_rows, self.rows_step, [list(step) for step in self.length_steps]]


# On a processor 256 tokens a batch are enough (measured with 12 layers of width 384 in float32, one thread, lengths 16
# to 400: within the noise of 8,192), so few rows are filled up; short texts are padded least, as padding is most of
# them. A GPU needs many tokens a call to be busy.
CPU_SHAPES = ShapeTable(tokens=256, most_rows=8, rows_step=4, length_steps=((32, 4), (128, 8), (512, 16)))
GPU_SHAPES = ShapeTable(tokens=16384, most_rows=128)


def plan_batches(lengths: np.ndarray, table: ShapeTable, max_length: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (padded length, row numbers), the numbers filled up with copies of the batch's first.

    Args:
        lengths: tokens per row, int, shape (n,).
    """
    padded = np.array([table.padded(int(length), max_length) for length in lengths], dtype=np.int64)
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

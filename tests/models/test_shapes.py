"""Canonical shapes: every row is computed once, in a batch whose shape depends on its own length alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.transforms.models.canonical_shapes import (
    CPU_SHAPES,
    GPU_SHAPES,
    ShapeTable,
    padded_length,
    plan_batches,
    run_batches,
)

tables = st.sampled_from([CPU_SHAPES, GPU_SHAPES, ShapeTable(64, 24), ShapeTable(1, 8)])
# The longest may be no multiple of 16; no text has more tokens than it.
problems = st.integers(1, 600).flatmap(
    lambda longest: st.tuples(st.just(longest), st.lists(st.integers(1, longest), max_size=200))
)


@settings(deadline=None)
@given(problems, tables)
def test_plan_batches(problem: tuple[int, list[int]], table: ShapeTable) -> None:
    longest, lengths = problem
    seen: list[int] = []
    short: dict[int, int] = {}
    for length, rows in plan_batches(np.array(lengths, dtype=np.int64), table, longest):
        assert length == longest or length % 16 == 0
        assert length <= longest
        assert len(rows) % 8 == 0
        assert len(rows) == table.rows(length)
        assert all(lengths[row] <= length and padded_length(lengths[row], longest) == length for row in rows)
        real = list(dict.fromkeys(rows.tolist()))
        assert rows.tolist() == real + [real[0]] * (len(rows) - len(real))
        short[length] = short.get(length, 0) + (len(real) < len(rows))
        seen += real
    assert sorted(seen) == list(range(len(lengths)))
    assert all(count <= 1 for count in short.values()), "only a length's last batch may be filled up"


@pytest.mark.parametrize(
    ("length", "longest", "expected"),
    [(1, 512, 16), (16, 512, 16), (17, 512, 32), (512, 512, 512), (505, 510, 510), (97, 100, 100), (3, 8, 8)],
)
def test_padded_length(length: int, longest: int, expected: int) -> None:
    assert padded_length(length, longest) == expected


@settings(deadline=None)
@given(tables, st.integers(1, 8192))
def test_rows_are_a_multiple_of_eight(table: ShapeTable, length: int) -> None:
    rows = table.rows(length)
    assert rows % 8 == 0
    assert 8 <= rows <= max(8, table.most_rows)
    assert rows == 8 or rows * length <= table.tokens


def test_the_shape_tables_do_not_change() -> None:
    """Another table gives other bits, and belongs in a new fingerprint."""
    assert [CPU_SHAPES.rows(length) for length in (16, 64, 80, 128, 256, 512)] == [16, 16, 8, 8, 8, 8]
    assert [GPU_SHAPES.rows(length) for length in (16, 128, 256, 512)] == [128, 128, 64, 32]


@settings(deadline=None)
@given(problems, st.sampled_from([(), (3,)]))
def test_batches_give_every_row_its_value(problem: tuple[int, list[int]], shape: tuple[int, ...]) -> None:
    longest, lengths = problem

    def forward(rows: np.ndarray, length: int) -> np.ndarray:
        values = (rows * 1000 + np.array(lengths)[rows]).astype(np.float32)
        return np.broadcast_to(values.reshape(-1, *(1 for _ in shape)), (len(rows), *shape))

    parts = list(run_batches(np.array(lengths, dtype=np.int64), CPU_SHAPES, longest, forward))
    assert sorted(int(row) for rows, _ in parts for row in rows) == list(range(len(lengths)))
    for rows, values in parts:
        assert (values.dtype, values.shape) == (np.float32, (len(rows), *shape))
        assert (values.reshape(len(rows), -1) == (rows * 1000 + np.array(lengths)[rows])[:, None]).all()

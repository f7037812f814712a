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
    plan_batches,
    run_batches,
)

tables = st.sampled_from([CPU_SHAPES, GPU_SHAPES, ShapeTable(64, 24), ShapeTable(1, 8, 4, ((10, 3), (20, 7)))])
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
        assert length <= longest
        assert len(rows) % 4 == 0
        assert len(rows) == table.rows(length)
        assert all(lengths[row] <= length and table.padded(lengths[row], longest) == length for row in rows)
        real = list(dict.fromkeys(rows.tolist()))
        assert rows.tolist() == real + [real[0]] * (len(rows) - len(real))
        short[length] = short.get(length, 0) + (len(real) < len(rows))
        seen += real
    assert sorted(seen) == list(range(len(lengths)))
    assert all(count <= 1 for count in short.values()), "only a length's last batch may be filled up"


@pytest.mark.parametrize(
    ("length", "longest", "expected"),
    [
        (1, 512, 4),
        (16, 512, 16),
        (17, 512, 20),
        (33, 512, 40),
        (129, 512, 144),
        (512, 512, 512),
        (600, 1024, 608),
        (505, 510, 510),
        (97, 100, 100),
        (3, 3, 3),
    ],
)
def test_padded_length_on_a_processor(length: int, longest: int, expected: int) -> None:
    assert CPU_SHAPES.padded(length, longest) == expected


@pytest.mark.parametrize(("length", "expected"), [(1, 16), (17, 32), (129, 144), (512, 512)])
def test_padded_length_on_a_gpu(length: int, expected: int) -> None:
    assert GPU_SHAPES.padded(length, 512) == expected


@given(tables, st.integers(1, 1000), st.integers(1, 1000))
def test_a_longer_text_is_padded_to_no_less(table: ShapeTable, length: int, other: int) -> None:
    shorter, longer = sorted([length, other])
    assert shorter <= table.padded(shorter, 1000) <= table.padded(longer, 1000) <= 1000


@settings(deadline=None)
@given(tables, st.integers(1, 8192))
def test_rows_are_a_multiple_of_the_step(table: ShapeTable, length: int) -> None:
    rows, step = table.rows(length), table.rows_step
    assert rows % step == 0
    assert step <= rows <= max(step, table.most_rows)
    assert rows == step or rows * length <= table.tokens


def test_the_shape_tables_do_not_change() -> None:
    """Another table gives other bits, and belongs in a new fingerprint."""
    assert [CPU_SHAPES.rows(length) for length in (16, 32, 40, 64, 80, 128, 256, 512)] == [8, 8, 4, 4, 4, 4, 4, 4]
    assert [GPU_SHAPES.rows(length) for length in (16, 128, 256, 512)] == [128, 128, 64, 32]
    assert CPU_SHAPES.described() != GPU_SHAPES.described()


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

"""The user's own vectors, as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hardneg.errors import HardnegError
from hardneg.transforms.inputs.vectors import read_vectors


def read(path: Path) -> dict[str, list[float]]:
    """Return id -> vector."""
    vectors: dict[str, list[float]] = {}
    for table in read_vectors(str(path), "id", "vector"):
        vectors |= dict(zip(table["id"].to_pylist(), table["vector"].to_pylist(), strict=True))
    return vectors


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float32()), pa.list_(pa.float64(), 2), pa.large_list(pa.float32()), pa.list_(pa.float16())],
    ids=str,
)
def test_vectors_are_normalised(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "v.parquet"
    values: Any = [[3, 4], [0, -2], [5, 12]]
    if kind.value_type == pa.float16():
        values = [np.array(vector, dtype=np.float16) for vector in values]
    table = pa.table({"a number": [1, 2, 3], "name": ["a", "b", "文"], "v": pa.array(values, kind)})
    pq.write_table(table, path, row_group_size=2)
    found = read(path)
    assert set(found) == {"a", "b", "文"}
    np.testing.assert_allclose(
        [found["a"], found["b"], found["文"]], [[0.6, 0.8], [0, -1], [5 / 13, 12 / 13]], atol=1e-7
    )


FLOATS = pa.list_(pa.float32())


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (
            {"id": pa.array(["a"]), "n": pa.array([1])},
            "its columns are id, n; vectors need exactly one column of strings",
        ),
        ({"id": pa.array([1]), "v": pa.array([[1.0]], FLOATS)}, "its columns are id, v;"),
        ({"id": pa.array(["a"]), "v": pa.array([["x"]])}, "its columns are id, v;"),
        ({"id": pa.array(["a"]), "v": pa.array([[1]])}, "its columns are id, v;"),
        ({"i": pa.array(["a"]), "j": pa.array(["a"]), "v": pa.array([[1.0]], FLOATS)}, "its columns are i, j, v;"),
        ({"id": pa.array(["a", "b"]), "v": pa.array([[1.0], [1.0, 2.0]], FLOATS)}, "a vector is missing, of another"),
        ({"id": pa.array(["a", "b"]), "v": pa.array([[1.0], None], FLOATS)}, "a vector is missing"),
        ({"id": pa.array(["a"]), "v": pa.array([[1.0, None]], FLOATS)}, "or not finite"),
        ({"id": pa.array(["a"]), "v": pa.array([[1.0, float("nan")]], FLOATS)}, "or not finite"),
        ({"id": pa.array(["a"]), "v": pa.array([[float("inf")]], FLOATS)}, "or not finite"),
        ({"id": pa.array(["a"]), "v": pa.array([[0.0, 0.0]], FLOATS)}, "a vector is all zeros"),
        ({"id": pa.array(["a"]), "v": pa.array([[]], FLOATS)}, "a vector is all zeros"),
    ],
)
def test_vectors_that_are_none(tmp_path: Path, columns: dict[str, pa.Array], problem: str) -> None:
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(HardnegError, match=problem) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    path.write_text("id,vector")
    with pytest.raises(HardnegError, match=r"v\.parquet is not intact Parquet"):
        read(path)
    pq.write_table(pa.table({"id": pa.array([], pa.string()), "v": pa.array([], FLOATS)}), path)
    assert read(path) == {}

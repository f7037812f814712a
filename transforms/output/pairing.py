"""Which rows of a query go together in training data, and which texts go with each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.arrays import IntArray


def first_of_each_text(query: npt.NDArray[np.integer], digests: Sequence[bytes]) -> IntArray:
    """Return the first row of each query's distinct texts, ascending: the others' training rows would be equal.

    Args:
        query: (n,); the query of each row.
        digests: n digests of the rows' texts.
    """
    first: dict[tuple[int, bytes], int] = {}
    for row, key in enumerate(zip(query.tolist(), digests, strict=True)):
        first.setdefault(key, row)
    return np.array(list(first.values()), dtype=np.int64)


def every_pair(
    positive_query: npt.NDArray[np.integer], negative_query: npt.NDArray[np.integer]
) -> tuple[IntArray, IntArray]:
    """Return positives x negatives of each query, as places among both: in the order of the negatives, then positives.

    Args:
        positive_query: (p,); the query of each positive, ascending.
        negative_query: (n,); the query of each negative, in any order.
    """
    first = np.searchsorted(positive_query, negative_query, "left")
    counts = np.searchsorted(positive_query, negative_query, "right") - first
    negative = np.repeat(np.arange(len(negative_query)), counts)
    positive = np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(len(negative))
    return positive.astype(np.int64), negative.astype(np.int64)


def side_by_side(columns: Sequence[pa.Array]) -> pa.Array:
    """Return columns of one length as one of lists: row i has the values of row i, in the order of the columns."""
    rows, width = len(columns[0]), len(columns)
    order = np.arange(rows * width).reshape(width, rows).T.ravel()
    values = pa.concat_arrays(columns).take(pa.array(order))
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * width, pa.int32()), values)


def all_of_query(
    row_query: npt.NDArray[np.integer], query: npt.NDArray[np.integer], values: pa.Array | pa.ChunkedArray
) -> pa.Array:
    """Return a list for each row: the values of its query.

    Args:
        row_query: (n,); the query of each row, in any order.
        query: (m,); the query of each value, ascending.
        values: m values.
    """
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    starts = np.searchsorted(query, row_query, "left")
    counts = np.searchsorted(query, row_query, "right") - starts
    ends = np.cumsum(counts)
    place = np.repeat(starts - (ends - counts), counts) + np.arange(int(counts.sum()))
    offsets = np.concatenate([[0], ends])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values.take(pa.array(place)))

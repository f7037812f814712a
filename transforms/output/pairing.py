"""Which rows of a query go together in training data: each positive with each mined negative, each text once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

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

"""The array types that functions take and give, and what is computed the same way everywhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the sigmoid of logits, computed in float64 and rounded to float32 (as it is compared)."""
    wide = np.asarray(logits, dtype=np.float64)
    return (0.5 * (1.0 + np.tanh(0.5 * wide))).astype(np.float32)


def lowest_of(values: np.ndarray, group: IntArray, groups: int) -> FloatArray:
    """Return the lowest value of each group, as of the positives of each query: float64 (groups,).

    Args:
        values: float (n,); NaN counts as nothing.
        group: int64 (n,); the group of each value, below ``groups``.
        groups: how many there are; one without a value has infinity.
    """
    lowest = np.full(groups, np.inf)
    known = ~np.isnan(values)
    np.minimum.at(lowest, group[known], values[known].astype(np.float64))
    return lowest


def vectors_column(values: np.ndarray) -> pa.Array:
    """Return embeddings, float32, shape (n, d), as an Arrow column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), pa.float32()), values.shape[1])

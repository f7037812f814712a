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


def vectors_column(values: np.ndarray) -> pa.Array:
    """Return embeddings, float32, shape (n, d), as an Arrow column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), pa.float32()), values.shape[1])

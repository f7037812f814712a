"""Vectors that the user brings: Parquet files of ids and lists of floats."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import InputError
from hardneg.transforms.core.arrays import vectors_column
from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.inputs.formats.parquet import opened_parquet

BATCH_VECTORS = 8192


def read_vectors(path: str, id_name: str, vector_name: str) -> Iterator[pa.Table]:
    """Read a file of vectors, as tables of bounded size.

    Args:
        path: Parquet, with exactly one column of strings and one of lists of floats.
        id_name: how the column of ids (string) is called in the result.
        vector_name: how that of the vectors (fixed-size list of float32, L2-normalised) is.

    Raises:
        InputError: no such file, other columns, or vectors that are missing, zero, not finite, or of two lengths.
    """
    with opened_parquet(path) as parquet:
        schema = parquet.schema_arrow
        vectors = [field.name for field in schema if _is_vector(field.type)]
        ids = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
        if len(vectors) != 1 or len(ids) != 1:
            raise InputError(
                f"{path}: its columns are {', '.join(schema.names)}; vectors need exactly one column of strings "
                "(the id) and one list of floats.",
                path=path,
            )
        batches = parquet.iter_batches(BATCH_VECTORS, columns=[ids[0], vectors[0]], use_threads=False)
        while True:
            with explaining(path, "Parquet"):
                batch = next(batches, None)
            if batch is None:
                return
            yield pa.table(
                {id_name: batch[ids[0]].cast(pa.string()), vector_name: unit_vectors(path, batch[vectors[0]])}
            )


def _is_vector(kind: pa.DataType) -> bool:
    a_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return a_list and pa.types.is_floating(kind.value_type)


def unit_vectors(path: str, column: pa.Array) -> pa.Array:
    """Return a column of vectors L2-normalised, computed in float64, given in float32.

    Raises:
        InputError: a vector is missing, all zeros, not finite, or of another length than the first.
    """
    lengths = set(pc.list_value_length(column).to_pylist())
    values = np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    if len(lengths) > 1 or None in lengths or not np.isfinite(values).all():
        raise InputError(f"{path}: a vector is missing, of another length, or not finite; mend the file.", path=path)
    matrix = values.reshape(len(column), max(lengths, default=0))
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    if (norms == 0).any():
        raise InputError(f"{path}: a vector is all zeros, and a cosine with it has no value; mend the file.", path=path)
    return vectors_column((matrix / norms).astype(np.float32))

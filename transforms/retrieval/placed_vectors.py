"""Vectors of the user tied to passages and queries: every one has a vector, and one only."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import InputError


def place_vectors(ids: pa.ChunkedArray, vectors: Iterable[pa.Table], name: str) -> np.ndarray:
    """Return the vectors of some passages in their order, float32, shape (passages, dimension).

    Args:
        ids: the passages' ids.
        vectors: tables of ``passage_id`` and ``vector``, in any order, of other passages too.
        name: the retriever's, for the errors.

    Raises:
        InputError: a passage without a vector or with two, or vectors of two lengths.
    """
    filled = np.zeros(len(ids), dtype=bool)
    whole: np.ndarray | None = None
    for table in vectors:
        rows = pc.index_in(table["passage_id"].combine_chunks(), value_set=ids).fill_null(-1)
        rows = rows.to_numpy(zero_copy_only=False).astype(np.int64)
        column = table["vector"].combine_chunks()
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
        if whole is None:
            whole = np.zeros((len(ids), values.shape[1]), dtype=np.float32)
        if values.shape[1] != whole.shape[1]:
            raise InputError(
                f"retriever {name}, vectors: they have {values.shape[1]} and {whole.shape[1]} dimensions; give those "
                "of one model."
            )
        known = rows[rows >= 0]
        if filled[known].any() or len(np.unique(known)) < len(known):
            raise InputError(f"retriever {name}, vectors: a passage has two in the files; give each one.")
        whole[known] = values[rows >= 0]
        filled[known] = True
    if whole is None or not filled.all():
        missing = ids[int(np.argmin(filled))].as_py()
        raise InputError(
            f"retriever {name}, vectors: {int((~filled).sum()):,} passages have none, {missing!r} among them; add them "
            "to the files, or let a bi-encoder encode the passages."
        )
    return whole


def require_vectors(queries: pa.Table, name: str, column: str) -> None:
    """Check that every query of a block has a vector, all of one length.

    Args:
        queries: with ``query_id`` and the vectors.
        name: the retriever's, for the errors.
        column: that of the vectors.

    Raises:
        InputError: they have not.
    """
    vectors = queries[column]
    missing = queries.filter(vectors.is_null())
    if len(missing):
        raise InputError(
            f"retriever {name}, query_vectors: the query {missing['query_id'][0].as_py()!r} has none; add it to the "
            "files, or let a bi-encoder encode the queries."
        )
    lengths = sorted(set(pc.list_value_length(vectors).to_pylist()))
    if len(lengths) > 1:
        raise InputError(
            f"retriever {name}, query_vectors: they have {lengths[0]} and {lengths[1]} dimensions; give those of one "
            "model."
        )

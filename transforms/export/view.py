"""What formats are made of: a view of what a run chose, and the columns and keys that several of them share.

A view has the columns to write and, beside them, the keys that lay its rows out for a trainer that reads in order.
Scores are the cross-encoder's logits. Sentence-transformers takes the first column called ``label``, ``labels``,
``score`` or ``scores`` for the label, and every other column for a text, so a view has at most one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.output.layout import reading_order

_ORDER = ("round", "query_digest", "query_id", "positive_id")


@dataclass(frozen=True)
class View:
    """Rows of a format.

    Attributes:
        table: the columns to write.
        keys: one row a row of ``table``. ``query_text`` and ``positive_text`` are digests that should stand apart
            (the second may be a list of them); ``round``, ``query_digest``, ``query_id``, ``positive_id`` order the
            rest.
    """

    table: pa.Table
    keys: pa.Table

    def __len__(self) -> int:
        return len(self.table)

    def laid_out(self) -> tuple[pa.Table, int]:
        """Return the rows as they are written, and how many stand too close to a related one."""
        order, close = reading_order(self.keys, _ORDER)
        return self.table.take(order), close


def rows_of_size(chosen: Chosen, size: int) -> tuple[IntArray, IntArray]:
    """Return the positives of the queries with ``size`` negatives, and the rows of these, shape (positives, size)."""
    owners = chosen.positives["query"].to_numpy()
    positive = np.flatnonzero(chosen.negative_counts[owners] == size)
    return positive, chosen.negative_starts[owners[positive]][:, None] + np.arange(size)


def ranges(starts: IntArray, counts: IntArray) -> IntArray:
    """Return ``counts[i]`` numbers from ``starts[i]`` on, for each i, one after the other."""
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))


def owners_of(chosen: Chosen, positive: IntArray) -> IntArray:
    """Return the rows of the queries of some positives, given by their rows."""
    return chosen.positives["query"].to_numpy()[positive]


def place_in_query(chosen: Chosen, positive: IntArray) -> IntArray:
    """Return which of its query's positives each one is, from 0."""
    return positive - chosen.positive_starts[owners_of(chosen, positive)]


def text_columns(chosen: Chosen, positive: IntArray, negatives: dict[str, IntArray]) -> dict[str, pa.Array]:
    """Return anchor, positive and the named columns of negatives, each text given by its row."""
    passages = chosen.negatives["text"].combine_chunks()
    return {
        "anchor": query_column(chosen, "text", owners_of(chosen, positive)),
        "positive": chosen.positives["text"].combine_chunks().take(pa.array(positive)),
        **{name: passages.take(pa.array(rows)) for name, rows in negatives.items()},
    }


def query_column(chosen: Chosen, name: str, owners: IntArray) -> pa.Array:
    """Return a column of the queries in these rows."""
    return chosen.queries[name].combine_chunks().take(pa.array(owners))


def logits_of(chosen: Chosen, positive: IntArray, negative: IntArray) -> np.ndarray:
    """Return the logits of positives and of their negatives, float32, shape (rows, 1 + negatives)."""
    of_positives, of_negatives = (part[LOGIT].to_numpy() for part in (chosen.positives, chosen.negatives))
    return np.concatenate([of_positives[positive][:, None], of_negatives[negative]], axis=1)


def lists(values: np.ndarray) -> pa.Array:
    """Return the rows of a matrix as lists of float32."""
    return lists_of(pa.array(values.ravel(), pa.float32()), values.shape[1])


def lists_of(values: pa.Array, length: int) -> pa.Array:
    """Return values as lists of one length."""
    return ragged(values, np.arange(0, len(values) + 1, length))


def ragged(values: pa.Array | pa.ChunkedArray, offsets: IntArray) -> pa.Array:
    """Return values as lists; list i is ``values[offsets[i]:offsets[i + 1]]``."""
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def positives_then_negatives(chosen: Chosen) -> tuple[pa.Table, IntArray]:
    """Return both in one table, in the order of the queries; and where each query's begin."""
    both = pa.concat_tables([chosen.positives, chosen.negatives]).combine_chunks()
    order = np.argsort(both["query"].to_numpy(), kind="stable")
    return both.take(pa.array(order)).combine_chunks(), chosen.positive_starts + chosen.negative_starts


def keys_of_positives(chosen: Chosen, positive: IntArray, rounds: IntArray) -> pa.Table:
    """Return the keys of rows that have one positive each; those of a lower round stand before the others."""
    owners, place = owners_of(chosen, positive), pa.array(positive)
    return pa.table(
        {
            "round": pa.array(rounds),
            "query_digest": query_column(chosen, "digest", owners),
            "query_id": query_column(chosen, "query_id", owners),
            "positive_id": chosen.positives["passage_id"].combine_chunks().take(place),
            "query_text": query_column(chosen, "text_digest", owners),
            "positive_text": chosen.positives["text_digest"].combine_chunks().take(place),
        }
    )


def keys_of_queries(chosen: Chosen) -> pa.Table:
    """Return the keys of rows that are a query each, with all its positives."""
    queries = len(chosen.queries)
    return pa.table(
        {
            "round": pa.array(np.zeros(queries, dtype=np.int64)),
            "query_digest": chosen.queries["digest"],
            "query_id": chosen.queries["query_id"],
            "positive_id": chosen.queries["query_id"],  # nothing is left to order
            "query_text": chosen.queries["text_digest"],
            "positive_text": ragged(chosen.positives["text_digest"], chosen.positive_starts),
        }
    )

"""What formats are made of: a view of what a run chose, and the columns and keys that several of them share.

A view has the columns to write and, beside them, the keys that lay its rows out for a trainer that reads in order.
Scores are the cross-encoder's logits. Sentence-transformers takes the first column called ``label``, ``labels``,
``score`` or ``scores`` for the label, and every other column for a text, so a view has at most one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.output.layout import ReadBefore, reading_order, shard_end, shards_of_rows
from hardneg.transforms.output.pairing import all_of_query, side_by_side

_ORDER = ("round", "query_digest", "query_id", "positive_id")


@dataclass(frozen=True)
class View:
    """Rows of a format.

    Attributes:
        table: the columns to write.
        keys: one row a row of ``table``. CLASH_KEYS say which rows must stand apart; ``round``, ``query_digest``,
            ``query_id``, ``positive_id`` order the rest.
    """

    table: pa.Table
    keys: pa.Table

    def __len__(self) -> int:
        return len(self.table)

    def cut(self, shards: int) -> Iterator[tuple[int, View]]:
        """Yield (shard, its rows) for a view of all rows of some queries."""
        of_rows = shards_of_rows(self.keys, shards, _ORDER)
        for shard in np.unique(of_rows).tolist():
            here = pa.array(np.flatnonzero(of_rows == shard))
            yield shard, View(self.table.take(here), self.keys.take(here))

    def order(self, before: ReadBefore | None = None) -> tuple[pa.Array, int]:
        """Return the order in which rows are written, and how many more meet in their batch what they avoid."""
        return reading_order(self.keys, _ORDER, before)

    def end(self) -> pa.Table:
        """Return the CLASH_KEYS of the rows that are written last."""
        return shard_end(self.keys, _ORDER)


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


def clash_keys(chosen: Chosen, owners: IntArray, shown: pa.Array) -> dict[str, pa.Array]:
    """Return the CLASH_KEYS of rows.

    Args:
        chosen: what they are made of.
        owners: the row of each one's query.
        shown: lists of the digests of the texts that each one has beside its query.
    """
    avoided = all_of_query(owners, chosen.avoided["query"].to_numpy(), chosen.avoided["text_digest"])
    return {"query_text": query_column(chosen, "text_digest", owners), "shown": shown, "avoided": avoided}


def keys_of_positives(chosen: Chosen, positive: IntArray, rounds: IntArray, negative: IntArray) -> pa.Table:
    """Return the keys of rows that have one positive each; those of a lower round stand before the others.

    ``negative`` has the rows of each one's negatives, shape (rows, negatives).
    """
    owners, place = owners_of(chosen, positive), pa.array(positive)
    digests = chosen.negatives["text_digest"].combine_chunks()
    shown = [chosen.positives["text_digest"].combine_chunks().take(place)]
    shown += [digests.take(pa.array(column)) for column in negative.T]
    return pa.table(
        {
            "round": pa.array(rounds),
            "query_digest": query_column(chosen, "digest", owners),
            "query_id": query_column(chosen, "query_id", owners),
            "positive_id": chosen.positives["passage_id"].combine_chunks().take(place),
            **clash_keys(chosen, owners, side_by_side(shown)),
        }
    )


def keys_of_queries(chosen: Chosen) -> pa.Table:
    """Return the keys of rows that are a query each, with all its positives and negatives."""
    queries = len(chosen.queries)
    both, starts = positives_then_negatives(chosen)
    return pa.table(
        {
            "round": pa.array(np.zeros(queries, dtype=np.int64)),
            "query_digest": chosen.queries["digest"],
            "query_id": chosen.queries["query_id"],
            "positive_id": chosen.queries["query_id"],  # nothing is left to order
            **clash_keys(chosen, np.arange(queries), ragged(both["text_digest"], starts)),
        }
    )

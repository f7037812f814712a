"""The order of a shard's rows: by their keys, and for trainers, which read in order, rows that clash apart."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.hashing import id_keys, occurrence
from hardneg.transforms.core.partition import DIGEST
from hardneg.transforms.output.spreading import APART, OfQuery, ShownRow, clashes_in_order, last_rows, spread

TRIPLETS = pa.schema([("anchor", pa.string()), ("positive", pa.string()), ("negative", pa.string())])
# What says which rows clash: digests of the row's query, of the texts that it shows to its batch, and of those that
# its query avoids.
CLASH_KEYS = pa.schema([("query_text", DIGEST), ("shown", pa.list_(DIGEST)), ("avoided", pa.list_(DIGEST))])
# What orders triplets within a shard; not written.
TRIPLET_KEYS = pa.schema(
    [
        ("selected", pa.int32()),
        ("query_digest", pa.int64()),
        ("query_id", pa.string()),
        ("positive_id", pa.string()),
        *CLASH_KEYS,
    ]
)
TRIPLETS_BY = ("selected", "query_digest", "query_id", "positive_id")


# A table of so few rows is laid out at once, in one process, and then cut into shards. A larger one is laid out shard
# by shard: within small shards there would be too little to choose from.
FEW_ROWS = 1 << 16


@dataclass(frozen=True)
class ReadBefore:
    """What is read before a shard's rows.

    Attributes:
        rows: how many rows, in all.
        ends: the CLASH_KEYS of the last ``APART`` of them, in their order.
    """

    rows: int = 0
    ends: pa.Table = field(default_factory=CLASH_KEYS.empty_table)

    def then(self, rows: int, ends: pa.Table) -> ReadBefore:
        """Return what is read before the next shard: this, and so many rows that end so."""
        whole = pa.concat_tables([self.ends, ends])
        return ReadBefore(self.rows + rows, whole.slice(max(0, len(whole) - APART)))


def shards_of_rows(table: pa.Table, shards: int, by: Sequence[str] = TRIPLETS_BY) -> IntArray:
    """Return the shard of each row: a query's rows go one after the other to the shard of its digest and those after.

    So that there are as many queries in a shard as there can be: rows of one query must stand a batch apart.

    Args:
        table: ``query_digest``, ``query_id``, and the columns to order by; all rows of its queries.
        shards: how many there are.
        by: as in ``reading_order``.
    """
    rows = _sorted(table, ("query_digest", "query_id", *by)).to_numpy()
    place = np.empty(len(rows), dtype=np.int64)
    place[rows] = occurrence(id_keys(table["query_id"])[rows])
    return (table["query_digest"].to_numpy() + place) % shards


def shard_end(table: pa.Table, by: Sequence[str] = TRIPLETS_BY) -> pa.Table:
    """Return the CLASH_KEYS of the rows that stand last in a shard, whatever is read before it.

    Args:
        table: its rows, with CLASH_KEYS and the columns to order by.
        by: as in ``reading_order``.
    """
    rows = _sorted(table, by)
    keys = _keys(table, rows)
    return keys.take(pa.array(last_rows(*_clash_rows([keys])), pa.int64())).combine_chunks()


def read_before(shards: Iterable[tuple[int, int, pa.Table]]) -> Iterator[tuple[int, ReadBefore]]:
    """Yield (shard, what is read before it) for the shards of a table.

    Args:
        shards: (number, rows, ``shard_end``), in any order.
    """
    before = ReadBefore()
    for number, rows, ends in sorted(shards, key=lambda shard: shard[0]):
        yield number, before
        before = before.then(rows, ends)


def cut_evenly(order: pa.Array, shards: int) -> Iterator[tuple[int, pa.Array]]:
    """Yield (shard, its part) of an order of few rows; shards without rows are left out."""
    for shard, part in enumerate(np.array_split(order.to_numpy(), shards)):
        if len(part):
            yield shard, pa.array(part)


def lay_out_triplets(table: pa.Table, before: ReadBefore | None = None) -> tuple[pa.Table, int]:
    """Order a shard's triplets for a trainer that reads in order with in-batch negatives.

    Args:
        table: columns of TRIPLETS and TRIPLET_KEYS, in any order.
        before: what is read before them.

    Returns:
        the TRIPLETS columns in the order to write, and how many rows clash, as in ``reading_order``.
    """
    order, clashes = reading_order(table, TRIPLETS_BY, before)
    return table.select(TRIPLETS.names).take(order), clashes


def reading_order(table: pa.Table, by: Sequence[str], before: ReadBefore | None = None) -> tuple[pa.Array, int]:
    """Return the order of a shard's rows for a trainer that reads in order.

    Args:
        table: CLASH_KEYS, and the columns to order by.
        by: columns that order rows as far as ``spread`` leaves a choice; together they tell all rows apart.
        before: what is read before them.

    Returns:
        the rows in the order to write, int64, and how many rows more, with these, meet in a batch of 64 a text that
        they avoid.
    """
    before = before or ReadBefore()
    rows = _sorted(table, by)
    keys = _keys(table, rows)
    ends = last_rows(*_clash_rows([keys]))  # as in ``shard_end``, which knows of no other rows
    own, earlier = _clash_rows([keys, before.ends])
    at_the_end = set(ends)
    others = [place for place in range(len(own)) if place not in at_the_end]
    tail = [own[place] for place in ends]
    chosen = spread([own[place] for place in others], earlier, tail, before.rows)
    order = [*(others[place] for place in chosen), *ends]
    clashes = clashes_in_order([own[place] for place in order], earlier, before.rows)
    return rows.take(pa.array(order, pa.int64())), clashes


def _sorted(table: pa.Table, by: Sequence[str]) -> pa.Array:
    return pc.sort_indices(table, sort_keys=[(name, "ascending") for name in dict.fromkeys(by)])


def _keys(table: pa.Table, rows: pa.Array) -> pa.Table:
    return table.select(CLASH_KEYS.names).take(rows).cast(CLASH_KEYS)


def _avoided(keys: pa.Table) -> defaultdict[bytes, set[bytes]]:
    """Return the digests of all that each query avoids, by the digest of its text."""
    avoided: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for query, texts in zip(keys["query_text"].to_pylist(), keys["avoided"].to_pylist(), strict=True):
        avoided[query].update(texts)
    return avoided


def _clash_rows(tables: Sequence[pa.Table]) -> list[list[ShownRow]]:
    """Return tables of CLASH_KEYS as rows with numbers for texts, of those texts alone that can clash."""
    keys = pa.concat_tables(tables)
    shown = keys["shown"].to_pylist()
    seen = {text for row in shown for text in row}
    avoided = {query: texts & seen for query, texts in _avoided(keys).items()}
    clash = sorted(set().union(*avoided.values())) if avoided else []
    number = {text: place for place, text in enumerate(clash)}
    queries = {
        query: OfQuery(place, tuple(sorted(number[text] for text in avoided[query])))
        for place, query in enumerate(sorted(avoided))
    }
    rows = [
        ShownRow(queries[query], tuple(sorted({number[text] for text in texts if text in number})))
        for query, texts in zip(keys["query_text"].to_pylist(), shown, strict=True)
    ]
    cuts = np.cumsum([0, *map(len, tables)]).tolist()
    return [rows[start:stop] for start, stop in itertools.pairwise(cuts)]


def arrange(kind: str, table: pa.Table) -> pa.Table:
    """Put the rows of a shard of any table but ``triplets`` in their order."""
    if kind == "passages":
        # Segments send each passage once, but blocks may ask for it many times.
        table = table.sort_by("passage_id")
        ids = table["passage_id"].to_pylist()
        first = [row == 0 or ids[row] != ids[row - 1] for row in range(len(ids))]
        return table.filter(pa.array(first, pa.bool_()))
    keys = {
        "queries": ("digest", "query_id"),
        "candidates": ("query_digest", "query_id", "fused_rank", "passage_id"),
        "suspect_pairs": ("query_digest", "query_id", "passage_id"),
    }[kind]
    table = table.sort_by([(key, "ascending") for key in keys])  # nulls stand last
    return table.drop_columns([keys[0]])

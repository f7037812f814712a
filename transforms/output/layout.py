"""The order of a shard's rows: by their keys, and for trainers, which read in order, related rows apart."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TRIPLETS = pa.schema([("anchor", pa.string()), ("positive", pa.string()), ("negative", pa.string())])
# What orders triplets within a shard; not written.
TRIPLET_KEYS = pa.schema(
    [
        ("selected", pa.int32()),
        ("query_digest", pa.int64()),
        ("query_id", pa.string()),
        ("positive_id", pa.string()),
        ("query_text", pa.binary(16)),
        ("positive_text", pa.binary(16)),
    ]
)
# Rows that a training batch of 64 may look back on.
APART = 63


def lay_out_triplets(table: pa.Table) -> tuple[pa.Table, int]:
    """Order a shard's triplets for a trainer that reads in order with in-batch negatives.

    Args:
        table: columns of TRIPLETS and TRIPLET_KEYS, in any order.

    Returns:
        the TRIPLETS columns in the order to write, and how many rows stand closer than ``APART`` to a row with
        their query or an equal positive text because no other was left.
    """
    order, close = reading_order(table, ("selected", "query_digest", "query_id", "positive_id"))
    return table.select(TRIPLETS.names).take(order), close


def reading_order(table: pa.Table, by: Sequence[str]) -> tuple[pa.Array, int]:
    """Return the order of a shard's rows for a trainer that reads in order.

    Args:
        table: ``query_text``, the digest of each row's query; ``positive_text``, the digest of its positive, or a
            list of digests; and the columns to order by.
        by: columns that order rows as far as the distances leave a choice; together they tell all rows apart.

    Returns:
        the rows in the order to write, int64, and how many stand closer than ``APART`` to a row with their query or
        an equal positive text because no other was left.
    """
    rows = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in by])
    keyed = table.select(["query_text", "positive_text"]).take(rows)
    queries = _numbers(keyed["query_text"].to_pylist()).tolist()
    positives = keyed["positive_text"].to_pylist()
    if not pa.types.is_list(keyed["positive_text"].type):
        positives = [[each] for each in positives]
    of_texts = iter((_numbers([each for row in positives for each in row]) + len(table)).tolist())
    keys = [[query, *itertools.islice(of_texts, len(row))] for query, row in zip(queries, positives, strict=True)]
    order, close = spread(keys, APART)
    return rows.take(pa.array(order)), close


def _numbers(digests: list[bytes]) -> np.ndarray:
    """Return a number for each digest, equal where they are."""
    return np.unique(np.array(digests, dtype="S16"), return_inverse=True)[1]


def spread(keys: np.ndarray | Sequence[Sequence[int]], apart: int) -> tuple[np.ndarray, int]:
    """Order rows greedily so that rows with a common key stand more than ``apart`` apart.

    At each place the first row that shares no key with the last ``apart`` rows written is taken; if there is
    none, the first row of all, which is counted.

    Args:
        keys: of each row, at least one; or int, shape (rows, keys a row).

    Returns:
        the order, int64, shape (rows,), and the number of rows that stand too close.
    """
    keys_of = keys.tolist() if isinstance(keys, np.ndarray) else keys
    free: dict[int, int] = defaultdict(int)  # key -> first place where it may stand again
    due: dict[int, list[int]] = defaultdict(list)  # place -> keys that may stand again there
    parked: dict[int, list[int]] = defaultdict(list)  # key -> a heap of the rows that wait for it
    ready = list(range(len(keys)))  # a heap of rows not known to be blocked
    written = np.zeros(len(keys), dtype=bool)
    order: list[int] = []
    first = close = 0

    def release(key: int) -> None:
        # One row is enough: the others stand behind it, and wait again once it is written. So a key that most
        # rows have does not make every row move again and again.
        while parked[key]:
            row = heapq.heappop(parked[key])
            if not written[row]:
                heapq.heappush(ready, row)
                return

    while len(order) < len(keys):
        place = len(order)
        for key in due.pop(place, ()):
            if free[key] == place:
                release(key)
        chosen = None
        while ready and chosen is None:
            row = heapq.heappop(ready)
            until, key = max((free[key], key) for key in keys_of[row])
            if until <= place:
                chosen = row
                continue
            heapq.heappush(parked[key], row)
            for key in keys_of[row]:
                if free[key] <= place:
                    release(key)
        if chosen is None:
            while written[first]:
                first += 1
            chosen = first
            close += 1
        written[chosen] = True
        order.append(chosen)
        for key in keys_of[chosen]:
            free[key] = place + apart + 1
            due[free[key]].append(key)
    return np.array(order, dtype=np.int64), close


def arrange(kind: str, table: pa.Table) -> tuple[pa.Table, int]:
    """Put a shard's rows in their order; return them and how many triplets stand too close."""
    if kind == "triplets":
        return lay_out_triplets(table)
    if kind == "passages":
        # Segments send each passage once, but blocks may ask for it many times.
        table = table.sort_by("passage_id")
        ids = table["passage_id"].to_pylist()
        first = [row == 0 or ids[row] != ids[row - 1] for row in range(len(ids))]
        return table.filter(pa.array(first, pa.bool_())), 0
    keys = {
        "queries": ("digest", "query_id"),
        "candidates": ("query_digest", "query_id", "fused_rank", "passage_id"),
        "suspect_pairs": ("query_digest", "query_id", "passage_id"),
    }[kind]
    table = table.sort_by([(key, "ascending") for key in keys])  # nulls stand last
    return table.drop_columns([keys[0]]), 0

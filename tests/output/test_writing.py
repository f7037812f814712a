"""Shards: the same rows are the same bytes, whole or not at all, in an order that suits trainers."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.transforms.core.text import cut_digest, text_digest
from hardneg.transforms.output.layout import APART, TRIPLET_KEYS, TRIPLETS, arrange, lay_out_triplets, spread
from hardneg.transforms.output.shards import ROW_GROUP, parquet_bytes, shard_name, write_shard


def naive_spread(keys: np.ndarray, apart: int) -> tuple[list[int], int]:
    """Look through all rows for every place."""
    left, order, close = list(range(len(keys))), [], 0
    while left:
        recent = {key for row in order[max(0, len(order) - apart) :] for key in keys[row].tolist()}
        fitting = [row for row in left if not recent & set(keys[row].tolist())]
        order.append((fitting or left)[0])
        close += not fitting
        left.remove(order[-1])
    return order, close


@examples(300)
@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(1, 15), st.integers(1, 15), st.integers(0, 9))
def test_spread_is_the_naive_greedy(seed: int, rows: int, queries: int, positives: int, apart: int) -> None:
    rng = np.random.default_rng(seed)
    keys = np.stack([rng.integers(0, queries, rows), 100 + rng.integers(0, positives, rows)], axis=1)
    order, close = spread(keys, apart)
    assert (order.tolist(), close) == naive_spread(keys, apart)
    assert order.dtype == np.int64


def test_spread_keeps_apart_what_can_be_kept_apart() -> None:
    keys = np.stack([np.arange(1000) % 100, 1000 + np.arange(1000) % 200], axis=1)
    order, close = spread(keys, APART)
    assert close == 0
    for column in keys[order].T:
        last: dict[int, int] = {}
        for place, key in enumerate(column.tolist()):
            assert place - last.get(key, -1000) > APART
            last[key] = place


def test_spread_with_one_positive_for_everything() -> None:
    """Every row but the first is forced: in the order given, and in no quadratic time (this took minutes)."""
    rows = 150_000
    order, close = spread(np.stack([np.arange(rows), np.full(rows, rows)], axis=1), APART)
    assert order.tolist() == list(range(rows))
    assert close == rows - 1


def triplets(rows: list[tuple[int, str, str, str, str, str]]) -> pa.Table:
    """Return a table from (selected, query id, query, positive id, positive, negative)."""
    return pa.table(
        {
            "anchor": [row[2] for row in rows],
            "positive": [row[4] for row in rows],
            "negative": [row[5] for row in rows],
            "selected": [row[0] for row in rows],
            "query_digest": [cut_digest(row[1]) for row in rows],
            "query_id": [row[1] for row in rows],
            "positive_id": [row[3] for row in rows],
            "query_text": [text_digest(row[2]) for row in rows],
            "positive_text": [text_digest(row[4]) for row in rows],
        },
        schema=pa.schema([*TRIPLETS, *TRIPLET_KEYS]),
    )


def related(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["anchor"].casefold() == other["anchor"].casefold() or one["positive"] == other["positive"]


def test_triplets_are_laid_out_for_in_batch_negatives() -> None:
    """By selection rank, then the query's digest; related rows stand apart, in whatever order they came."""
    rows = [
        (rank, f"q{query}", f"Query {query // 2}" if query % 2 else f"query {query // 2}", f"p{query // 5}-{p}",
         f"positive {query // 5} {p}", f"negative {query} {rank}")
        for query in range(400)
        for rank in (1, 2)
        for p in (0, 1)
    ]  # fmt: skip
    table = triplets(rows)
    laid, close = lay_out_triplets(table)
    assert laid.schema == TRIPLETS
    assert sorted(laid.to_pylist(), key=str) == sorted(table.select(TRIPLETS.names).to_pylist(), key=str)
    written = laid.to_pylist()
    too_close = [
        place
        for place, row in enumerate(written)
        if any(related(row, other) for other in written[max(0, place - APART) : place])
    ]
    assert len(too_close) == close
    assert all(place > len(written) - 200 for place in too_close), "only what is left at the end may be forced"
    # The first rows are the first-ranked negatives of the queries of the smallest digests, as far as they fit.
    first = min(rows, key=lambda row: (row[0], cut_digest(row[1]), row[3]))
    assert (written[0]["anchor"], written[0]["positive"], written[0]["negative"]) == (first[2], first[4], first[5])
    assert [row["negative"][-1] for row in written[:100]] == ["1"] * 100
    shuffled, again = lay_out_triplets(table.take(pa.array(np.random.default_rng(0).permutation(len(table)))))
    assert shuffled.equals(laid)
    assert again == close


def test_equal_positive_texts_of_other_ids_stand_apart() -> None:
    rows = [(1, f"q{n}", f"query {n}", f"p{n}", "The same." if n < 2 else f"text {n}", "no") for n in range(100)]
    laid, close = lay_out_triplets(triplets(rows))
    places = [place for place, text in enumerate(laid["positive"].to_pylist()) if text == "The same."]
    assert places[1] - places[0] > APART
    assert close == 0


def test_digests_that_end_in_zero_bytes_are_told_apart() -> None:
    table = triplets([(1, f"q{n}", f"{n}", f"p{n}", f"{n}", "no") for n in range(3)])
    zeros = pa.array([b"\x01" + b"\x00" * 15, b"\x01\x01" + b"\x00" * 14, b"\x00" * 16], pa.binary(16))
    for name in ("query_text", "positive_text"):
        table = table.set_column(table.schema.get_field_index(name), name, zeros)
    assert lay_out_triplets(table)[1] == 0


def test_no_triplets() -> None:
    laid, close = lay_out_triplets(triplets([]))
    assert (len(laid), laid.schema, close) == (0, TRIPLETS, 0)


@pytest.mark.parametrize("kind", ["candidates", "queries", "passages"])
def test_rows_stand_in_one_order(kind: str) -> None:
    table = pa.table(
        {
            "query_digest": pa.array([5, 5, 5, 5, 2, 5], pa.int64()),
            "digest": pa.array([5, 4, 3, 2, 1, 0], pa.int64()),
            "query_id": ["a", "a", "b", "a", "z", "a"],
            "fused_rank": pa.array([2, 1, 1, None, 7, None], pa.int32()),
            "passage_id": ["p1", "p2", "p3", "p5", "p6", "p4"],
        }
    )
    expected = {"candidates": ["p6", "p2", "p1", "p4", "p5", "p3"], "queries": ["p4", "p6", "p5", "p3", "p2", "p1"]}
    arranged, close = arrange(kind, table)
    assert close == 0
    assert arranged["passage_id"].to_pylist() == expected.get(kind, ["p1", "p2", "p3", "p4", "p5", "p6"])
    dropped = {"candidates": "query_digest", "queries": "digest"}.get(kind)
    assert arranged.column_names == [name for name in table.column_names if name != dropped]
    backwards = table.take(pa.array([5, 4, 3, 2, 1, 0]))
    assert parquet_bytes(arrange(kind, backwards)[0]) == parquet_bytes(arranged)


def test_passages_are_written_once() -> None:
    table = pa.table({"passage_id": ["b", "a", "b"], "text": ["y", "x", "y"]})
    assert arrange("passages", table)[0].to_pydict() == {"passage_id": ["a", "b"], "text": ["x", "y"]}


def test_the_same_rows_are_the_same_bytes() -> None:
    """However the table was put together, and whatever metadata it carries."""
    whole = pa.table({"text": ["a", None, "文"] * 3000, "n": pa.array([1, None, 3] * 3000, pa.int32())})
    parts = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 5000), whole.slice(5001)])
    data = parquet_bytes(whole)
    assert parquet_bytes(parts) == data
    assert parquet_bytes(whole.replace_schema_metadata({"pandas": "something"})) == data
    read = pq.ParquetFile(pa.BufferReader(data))
    assert read.read().equals(whole)
    assert [read.metadata.row_group(n).num_rows for n in range(3)] == [ROW_GROUP, ROW_GROUP, 9000 - 2 * ROW_GROUP]


def test_write_shard(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]})
    name = shard_name(3, 8)
    assert name == "part-00003-of-00008.parquet"
    shard = write_shard(str(tmp_path / "triplets"), name, table)
    path = tmp_path / "triplets" / name
    assert (shard.name, shard.rows, shard.close) == (name, 2, 0)
    assert shard.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert pq.read_table(path).equals(table)
    # A retry overwrites with the same bytes and leaves nothing beside it.
    assert write_shard(str(tmp_path / "triplets"), name, table) == shard
    assert [entry.name for entry in (tmp_path / "triplets").iterdir()] == [name]


def test_selected_is_what_orders_first() -> None:
    rows = [(rank, f"q{n}", f"query {n}", f"p{n}", f"positive {n}", f"{rank}") for n in range(70) for rank in (2, 1, 3)]
    ranks = [int(rank) for rank in lay_out_triplets(triplets(rows))[0]["negative"].to_pylist()]
    assert all(one <= other for one, other in pairwise(ranks))

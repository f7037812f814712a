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
from hardneg.transforms.output.layout import (
    TRIPLET_KEYS,
    TRIPLETS,
    ReadBefore,
    arrange,
    lay_out_triplets,
    read_before,
    shard_end,
)
from hardneg.transforms.output.shards import ROW_GROUP, parquet_bytes, shard_name, write_shard
from hardneg.transforms.output.spreading import (
    APART,
    BATCH,
    OfQuery,
    ShownRow,
    clashes_in_order,
    last_rows,
    spread,
)


def rows_of(seed: int, rows: int, queries: int, texts: int) -> list[ShownRow]:
    rng = np.random.default_rng(seed)
    of = [OfQuery(n, tuple(sorted({*rng.integers(0, texts, rng.integers(0, 4)).tolist()}))) for n in range(queries)]
    return [
        ShownRow(of[rng.integers(queries)], tuple({*rng.integers(0, texts, rng.integers(1, 4)).tolist()}))
        for _ in range(rows)
    ]


def clash(one: ShownRow, other: ShownRow) -> bool:
    meets = set(one.shown) & set(other.query.avoided) or set(other.shown) & set(one.query.avoided)
    return bool(meets) or one.query.number == other.query.number


def naive_spread(rows: list[ShownRow], before: list[ShownRow], after: list[ShownRow], offset: int) -> list[int]:
    """Look through all rows for every place, and through all places for every row."""
    left, order = list(range(len(rows))), []

    def fitting(anywhere: bool) -> int | None:
        place = len(before) + len(order)
        start = place - APART if anywhere else place - (offset + len(order)) % BATCH
        stop = place + APART if anywhere else start + APART
        read = [*before, *(rows[each] for each in order)][max(0, start) :]
        read += after[: max(0, stop + 1 - len(before) - len(rows))]
        return next((each for each in left if not any(clash(rows[each], other) for other in read)), None)

    while (chosen := fitting(True)) is not None:
        order.append(chosen)
        left.remove(chosen)
    standing = list(enumerate([*before, *(rows[each] for each in order), *after], -len(before)))
    put = []
    for each in left:
        clashes = [place for place, other in standing if clash(rows[each], other)]
        places = (place for place in range(len(order), -1, -1) if all(abs(place - at) > APART for at in clashes))
        if (place := next(places, None)) is not None:
            put.append((place, each))
            standing.append((place, rows[each]))
    for place, each in sorted(put, key=lambda pair: -pair[0]):
        order[place:place] = [each]
    for place in {place for place, _ in put}:  # those of one place stand in the order in which they were put there
        group = [each for at, each in put if at == place]
        start = min(order.index(each) for each in group)
        order[start : start + len(group)] = group
    left = [each for each in left if each not in order]
    while left:
        chosen = fitting(False)
        order.append(left[0] if chosen is None else chosen)
        left.remove(order[-1])

    def clean(batch: int, order: list[int]) -> list[int]:
        read = [*before, *(rows[each] for each in order), *after]
        of = [(offset - len(before) + place) // BATCH for place in range(len(read))]
        return [row for row, number in zip(read, of, strict=True) if number == batch]

    for place in range(len(order) - 1, -1, -1):
        home = (offset + place) // BATCH
        for other in [place, *range(BATCH * home - offset - 1, -1, -1)]:
            swapped = list(order)
            swapped[place], swapped[other] = swapped[other], swapped[place]
            moved = ((rows[swapped[at]], clean((offset + at) // BATCH, swapped)) for at in {place, other})
            if not any(clash(row, mate) for row, mates in moved for mate in mates if mate is not row):
                order = swapped
                break
    return order


@examples(200)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0, 5, 90, 150]),
    st.integers(1, 200),
    st.integers(5, 900),
    st.integers(0, 200),
)
def test_spread_is_the_naive_greedy(seed: int, number: int, queries: int, texts: int, offset: int) -> None:
    rows = rows_of(seed, number + 2 * APART, queries, texts)
    middle, around = rows[:number], rows[number:]
    before, after = around[: min(offset, APART)], around[APART : APART + seed % (APART + 1)]
    assert spread(middle, before, after, offset) == naive_spread(middle, before, after, offset)


def test_spread_keeps_apart_what_can_be_kept_apart() -> None:
    rows = [ShownRow(OfQuery(n % 100, (n % 200,)), (n % 200,)) for n in range(1000)]
    order = spread(rows)
    for keys in ([rows[each].query.number for each in order], [rows[each].shown for each in order]):
        last: dict[Any, int] = {}
        for place, key in enumerate(keys):
            assert place - last.get(key, -1000) > APART
            last[key] = place


def test_spread_with_one_positive_for_everything() -> None:
    """Every row but the first of a batch is forced: in the order given, in no quadratic time (this took minutes)."""
    rows = [ShownRow(OfQuery(n, (0,)), (0,)) for n in range(100_000)]
    assert spread(rows) == list(range(len(rows)))


@examples(100)
@given(st.integers(0, 2**32), st.integers(0, 300), st.integers(1, 60), st.integers(0, 300))
def test_clashes_are_counted_batch_by_batch(seed: int, number: int, texts: int, cut: int) -> None:
    """Whether rows are counted at once or in two parts."""
    rows = rows_of(seed, number, 50, texts)
    expected = 0
    for start in range(0, number, BATCH):
        batch = rows[start : start + BATCH]
        for row in batch:
            expected += any(set(other.shown) & set(row.query.avoided) for other in batch if other is not row)
    cut = min(cut, number)
    first, second = rows[:cut], rows[cut:]
    assert clashes_in_order(rows) == expected
    assert clashes_in_order(first) + clashes_in_order(second, first[-APART:] if cut else [], cut) == expected


def test_the_last_rows_do_not_clash() -> None:
    rows = rows_of(0, 500, 400, 900)
    ends = last_rows(rows)
    assert (len(ends), ends) == (APART, sorted(ends))
    assert not any(clash(rows[one], rows[other]) for one in ends for other in ends if one != other)
    assert sorted(last_rows(rows[:20])) == list(range(20))
    assert sorted(last_rows([rows[0]] * 100)) == list(range(100 - APART, 100))


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
            "shown": [[text_digest(row[4]), text_digest(row[5])] for row in rows],
            "avoided": [[text_digest(row[4])] for row in rows],
        },
        schema=pa.schema([*TRIPLETS, *TRIPLET_KEYS]),
    )


def meetings(written: list[dict[str, Any]], rows: list[tuple[int, str, str, str, str, str]]) -> int:
    """Return how many rows meet a positive of their query in another row of their batch."""
    positives: dict[str, set[str]] = {}
    for row in rows:
        positives.setdefault(row[2].casefold(), set()).add(row[4].casefold())
    met = 0
    for start in range(0, len(written), BATCH):
        batch = written[start : start + BATCH]
        for row in batch:
            shown = {o[part].casefold() for o in batch if o is not row for part in ("positive", "negative")}
            met += bool(shown & positives[row["anchor"].casefold()])
    return met


def test_triplets_are_laid_out_for_in_batch_negatives() -> None:
    """By selection rank, then the query's digest; rows that clash stand apart, in whatever order they came."""
    rows = [
        (rank, f"q{query}", f"Query {query // 2}" if query % 2 else f"query {query // 2}", f"p{query // 5}-{p}",
         f"positive {query // 5} {p}", f"positive {(query // 5 + 7) % 240} {p}")
        for query in range(1200)
        for rank in (1, 2)
        for p in (0, 1)
    ]  # fmt: skip
    table = triplets(rows)
    laid, clashes = lay_out_triplets(table)
    assert laid.schema == TRIPLETS
    assert sorted(laid.to_pylist(), key=str) == sorted(table.select(TRIPLETS.names).to_pylist(), key=str)
    written = laid.to_pylist()
    assert meetings(written, rows) == clashes
    assert clashes < len(rows) / 20
    assert meetings(written[:4000], rows) == 0, "only what is left at the end may be forced"
    assert meetings(written[17:4000], rows) == 0, "batches may begin anywhere"
    first = min(rows, key=lambda row: (row[0], cut_digest(row[1]), row[3]))
    assert (written[0]["anchor"], written[0]["positive"], written[0]["negative"]) == (first[2], first[4], first[5])
    shuffled, again = lay_out_triplets(table.take(pa.array(np.random.default_rng(0).permutation(len(table)))))
    assert shuffled.equals(laid)
    assert again == clashes


@pytest.mark.parametrize("shards", [2, 9])
def test_batches_that_span_shards_are_kept_clean_too(shards: int) -> None:
    rows = [
        (rank, f"q{n}", f"query {n}", f"p{n // 3}", f"text {n // 3}", f"text {(n // 3 + 40 * rank) % 500}")
        for n in range(1500)
        for rank in (1, 2)
    ]
    table = triplets(rows)
    parts = [table.filter(pa.array(table["query_digest"].to_numpy() % shards == n)) for n in range(shards)]
    ends = [(n, len(part), shard_end(part)) for n, part in enumerate(parts)]
    laid = [lay_out_triplets(parts[n], before) for n, before in read_before(reversed(ends))]
    written = pa.concat_tables([each for each, _ in laid]).to_pylist()
    assert meetings(written, rows) == sum(clashes for _, clashes in laid)
    assert meetings(written, rows) <= len(rows) / 50, "each row clashes with every seventieth other"
    # Told of what was read before it by the rows themselves, a shard is laid out in the same way.
    before = ReadBefore()
    for part, (each, clashes) in zip(parts, laid, strict=True):
        again, counted = lay_out_triplets(part, before)
        assert (again.equals(each), counted) == (True, clashes)
        before = before.then(len(part), shard_end(part))


def test_what_another_row_shows_as_a_negative_stands_apart() -> None:
    rows = [(1, f"q{n}", f"query {n}", f"p{n}", f"text {n}", f"no {n}") for n in range(100)]
    rows[50] = (1, "q50", "query 50", "p50", "text 50", "TEXT 3")
    laid, clashes = lay_out_triplets(triplets(rows))
    anchors = laid["anchor"].to_pylist()
    assert abs(anchors.index("query 3") - anchors.index("query 50")) > APART
    assert clashes == 0


def test_equal_positive_texts_of_other_ids_stand_apart() -> None:
    rows = [(1, f"q{n}", f"query {n}", f"p{n}", "The same." if n < 2 else f"text {n}", f"no {n}") for n in range(100)]
    laid, clashes = lay_out_triplets(triplets(rows))
    places = [place for place, text in enumerate(laid["positive"].to_pylist()) if text == "The same."]
    assert places[1] - places[0] > APART
    assert clashes == 0


def test_digests_that_end_in_zero_bytes_are_told_apart() -> None:
    table = triplets([(1, f"q{n}", f"{n}", f"p{n}", f"{n}", "no") for n in range(3)])
    zeros = [b"\x01" + b"\x00" * 15, b"\x01\x01" + b"\x00" * 14, b"\x00" * 16]
    lists = pa.array([[each] for each in zeros], pa.list_(pa.binary(16)))
    for name, column in (("query_text", pa.array(zeros, pa.binary(16))), ("shown", lists), ("avoided", lists)):
        table = table.set_column(table.schema.get_field_index(name), name, column)
    assert lay_out_triplets(table)[1] == 0


def test_no_triplets() -> None:
    laid, clashes = lay_out_triplets(triplets([]))
    assert (len(laid), laid.schema, clashes) == (0, TRIPLETS, 0)


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
    arranged = arrange(kind, table)
    assert arranged["passage_id"].to_pylist() == expected.get(kind, ["p1", "p2", "p3", "p4", "p5", "p6"])
    dropped = {"candidates": "query_digest", "queries": "digest"}.get(kind)
    assert arranged.column_names == [name for name in table.column_names if name != dropped]
    backwards = table.take(pa.array([5, 4, 3, 2, 1, 0]))
    assert parquet_bytes(arrange(kind, backwards)) == parquet_bytes(arranged)


def test_passages_are_written_once() -> None:
    table = pa.table({"passage_id": ["b", "a", "b"], "text": ["y", "x", "y"]})
    assert arrange("passages", table).to_pydict() == {"passage_id": ["a", "b"], "text": ["x", "y"]}


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
    assert (shard.name, shard.rows, shard.clashes) == (name, 2, 0)
    assert shard.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert pq.read_table(path).equals(table)
    # A retry overwrites with the same bytes and leaves nothing beside it.
    assert write_shard(str(tmp_path / "triplets"), name, table) == shard
    assert [entry.name for entry in (tmp_path / "triplets").iterdir()] == [name]


def test_selected_is_what_orders_first() -> None:
    rows = [
        (rank, f"q{n}", f"query {n}", f"p{n}", f"positive {n}", f"{rank}") for n in range(200) for rank in (2, 1, 3)
    ]
    ranks = [int(rank) for rank in lay_out_triplets(triplets(rows))[0]["negative"].to_pylist()]
    assert all(one <= other for one, other in pairwise(ranks))

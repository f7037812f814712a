"""Joining queries with judgements, sharing positives, and cutting blocks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.errors import HardnegError
from hardneg.transforms.core.arrays import vectors_column
from hardneg.transforms.core.schemas import JOINED, QRELS, QUERIES
from hardneg.transforms.core.text import cut_digest, text_digest
from hardneg.transforms.corpus.query_blocks import (
    add_column,
    cut_blocks,
    join_queries,
    positives_of,
    share_positives,
    whole_block,
    with_positives,
)
from hardneg.transforms.corpus.query_blocks_stage import SmallestDigests

IDS = pa.list_(pa.string())
FILES = ["first.jsonl", "second.jsonl", "qrels.tsv"]


def queries_of(*rows: tuple[str, str, int, int]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(QUERIES.names, row, strict=True)) for row in rows], QUERIES)


def qrels_of(*rows: tuple[str, str, float]) -> pa.Table:
    keys = QRELS.names
    return pa.Table.from_pylist(
        [dict(zip(keys, (*row, 2, line), strict=True)) for line, row in enumerate(rows, 2)], QRELS
    )


QUERY_ROWS = [("q2", "Two?", 0, 1), ("q1", "one?", 0, 2), ("q3", "three?", 1, 1), ("q1", "one?", 1, 2)]
QREL_ROWS = [
    ("q1", "p2", 1.0), ("q1", "p1", 2.0), ("q2", "p1", 0.0), ("qx", "p1", 1.0), ("q1", "p2", 3.0), ("q2", "p9", -1.0),
]  # fmt: skip


def parts_of(table: pa.Table, cuts: list[int]) -> list[pa.Table]:
    bounds = [0, *sorted(min(cut, len(table)) for cut in cuts), len(table)]
    return [table.slice(start, stop - start) for start, stop in itertools.pairwise(bounds)]


@settings(deadline=None)
@given(
    st.permutations(QUERY_ROWS), st.permutations(QREL_ROWS), st.lists(st.integers(0, 6), max_size=3), st.integers(0, 9)
)
def test_join_queries(queries: list, qrels: list, cuts: list[int], turn: int) -> None:
    """In whatever order and in whatever tables the rows come."""
    judged = parts_of(qrels_of(*qrels), cuts)
    turn %= len(judged)
    table, unknown, repeated = join_queries(parts_of(queries_of(*queries), cuts), judged[turn:] + judged[:turn], FILES)
    assert table.schema == JOINED
    assert table.select(["query_id", "text", "judged_ids", "judged_grades", "shared_ids"]).to_pylist() == [
        {"query_id": "q1", "text": "one?", "judged_ids": ["p1", "p2"], "judged_grades": [2.0, 3.0], "shared_ids": []},
        {"query_id": "q2", "text": "Two?", "judged_ids": ["p1", "p9"], "judged_grades": [0.0, -1.0], "shared_ids": []},
        {"query_id": "q3", "text": "three?", "judged_ids": [], "judged_grades": [], "shared_ids": []},
    ]
    assert table["digest"].to_pylist() == [cut_digest(name) for name in ("q1", "q2", "q3")]
    assert table["text_digest"].to_pylist() == [text_digest(text) for text in ("one?", "Two?", "three?")]
    assert unknown.schema == QRELS
    assert [(row["query_id"], row["passage_id"]) for row in unknown.to_pylist()] == [("qx", "p1")]
    assert repeated == 1


@pytest.mark.parametrize("turned", [False, True])
def test_the_same_query_id_with_different_texts(turned: bool) -> None:
    rows = [("q", "one?", 0, 7), ("q", "One?", 1, 3)]
    tables = [queries_of(row) for row in (reversed(rows) if turned else rows)]
    with pytest.raises(HardnegError) as raised:
        join_queries(tables, [], FILES)
    assert str(raised.value) == (
        "query id 'q' stands twice with different texts: first.jsonl:7 and second.jsonl:3; give each its own id."
    )


def test_join_without_rows() -> None:
    table, unknown, repeated = join_queries([], [], FILES)
    assert (table.schema, len(table), len(unknown), repeated) == (JOINED, 0, 0, 0)
    table, unknown, _ = join_queries([], [qrels_of(("q", "p", 1.0))], FILES)
    assert (len(table), len(unknown)) == (0, 1)
    assert share_positives(table, 1).schema == JOINED
    assert with_positives(table, 1).tolist() == []


def joined(*rows: tuple[str, str, dict[str, float]]) -> pa.Table:
    """Return a JOINED table from (query id, text, grades)."""
    queries = queries_of(*((name, text, 0, line) for line, (name, text, _) in enumerate(rows, 1)))
    qrels = qrels_of(*((name, passage, grade) for name, _, grades in rows for passage, grade in grades.items()))
    return join_queries([queries], [qrels], FILES)[0]


def test_equal_queries_share_their_positives() -> None:
    table = joined(
        ("a", "What is it?", {"p1": 1, "p2": 0.5, "p5": 2}),
        ("b", "WHAT  is it?", {"p3": 1, "p1": 0}),
        ("c", "what is it?", {}),
        ("d", "What else?", {"p4": 1}),
    )
    shared = share_positives(table, 1)
    assert shared.schema == JOINED
    assert dict(zip(shared["query_id"].to_pylist(), shared["shared_ids"].to_pylist(), strict=True)) == {
        "a": ["p3"],
        "b": ["p1", "p5"],  # p1 too, which b itself calls not relevant
        "c": ["p1", "p3", "p5"],
        "d": [],
    }
    assert share_positives(table, 2)["shared_ids"].to_pylist() == [[], ["p5"], ["p5"], []]
    assert with_positives(table, 1).tolist() == [True, True, False, True]
    assert with_positives(table, 2).tolist() == [True, False, False, False]
    assert [positives_of(row, 1) for row in table.to_pylist()] == [["p1", "p5"], ["p3"], [], ["p4"]]


@settings(deadline=None)
@given(st.data())
def test_sharing_against_a_plain_loop(data: st.DataObject) -> None:
    grades = st.dictionaries(st.sampled_from("uvwxyz"), st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]))
    rows = [
        (f"q{number}", data.draw(st.sampled_from(["a", "A ", "b", "c"])), data.draw(grades))
        for number in range(data.draw(st.integers(1, 6)))
    ]
    table = share_positives(joined(*rows), 1)
    for (_, text, mine), row in zip(rows, table.to_pylist(), strict=True):
        theirs = {
            passage
            for _, other, others in rows
            if other.strip().lower() == text.strip().lower()
            for passage, grade in others.items()
            if grade >= 1
        }
        assert row["shared_ids"] == sorted(theirs - {passage for passage, grade in mine.items() if grade >= 1})


def test_runs_and_vectors_are_joined_by_query_id() -> None:
    table = joined(("a", "x", {}), ("b", "y", {}), ("c", "z", {}))
    runs = [
        pa.table({"query_id": ["c"], "run_r": pa.array([["p2", "p1"]], pa.list_(pa.string()))}),
        pa.table({"query_id": ["a", "elsewhere"], "run_r": pa.array([[], ["p"]], pa.list_(pa.string()))}),
    ]
    with_run = add_column(table, "run_r", IDS, runs)
    assert with_run["run_r"].to_pylist() == [[], None, ["p2", "p1"]]
    vectors = pa.table({"query_id": ["b", "a"], "embedding_e": vectors_column(np.eye(2, dtype=np.float32))})
    with_vectors = add_column(table, "embedding_e", pa.list_(pa.float32()), [vectors])
    assert with_vectors["embedding_e"].to_pylist() == [[0, 1], [1, 0], None]
    assert add_column(table, "run_r", IDS, [])["run_r"].null_count == 3
    assert len(add_column(table.slice(0, 0), "run_r", IDS, runs)) == 0
    with pytest.raises(HardnegError, match="run_r: a query stands twice in its files"):
        add_column(table, "run_r", IDS, [runs[0], runs[0]])


digests = st.lists(st.integers(0, 2**63 - 1), unique=True, max_size=40)


@settings(deadline=None)
@given(digests, st.integers(1, 50) | st.none(), st.lists(st.integers(0, 40), max_size=4), st.randoms())
def test_smallest_digests(values: list[int], wanted: int | None, cuts: list[int], random: Any) -> None:
    """Whatever the bundles and the order in which they are merged."""
    combine = SmallestDigests(wanted)
    bounds = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    parts = [values[start:stop] for start, stop in itertools.pairwise(bounds)]
    accumulators = [combine.add_input(combine.create_accumulator(), part) for part in parts]
    random.shuffle(accumulators)
    count, cutoff = combine.extract_output(combine.merge_accumulators([*accumulators, combine.create_accumulator()]))
    taken = sorted(value for value in values if value <= cutoff)
    assert taken == sorted(values)[:wanted]
    assert count == len(taken)


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 40), st.integers(1, 8))
def test_blocks_hold_each_wanted_query_once(queries: int, wanted: int, size: int, parts: int) -> None:
    table = joined(*((f"q{number}", f"text {number}", {}) for number in range(queries)))
    values = sorted(table["digest"].to_pylist())
    cutoff = (min(queries, wanted), values[min(queries, wanted) - 1])
    blocks: dict[int, list[pa.Table]] = {}
    for start in range(0, queries, parts):
        for number, part in cut_blocks(table.slice(start, parts), cutoff, size):
            blocks.setdefault(number, []).append(part)
    whole = {number: whole_block(number, reversed(tables))[1] for number, tables in blocks.items()}
    assert sorted(digest for block in whole.values() for digest in block["digest"].to_pylist()) == values[:wanted]
    assert len(whole) <= max(1, round(cutoff[0] / size))
    for block in whole.values():
        assert block["query_id"].to_pylist() == sorted(block["query_id"].to_pylist())
        assert block.schema == JOINED


def test_no_query_is_wanted() -> None:
    assert list(cut_blocks(joined().slice(0, 0), (0, 2**63 - 1), 256)) == []

"""Segments: cut by a digest, merged in one order, opened once, and never an earlier run's."""

from __future__ import annotations

import gc
import threading
import weakref
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples

from hardneg.errors import HardnegError
from hardneg.transforms.core.partition import cut, split_by
from hardneg.transforms.core.schemas import BLOCK_TEXTS
from hardneg.transforms.core.text import cut_digest, text_digest
from hardneg.transforms.corpus import segments
from hardneg.transforms.corpus.segments import (
    Segment,
    find_sorted,
    folder,
    merge_passages,
    open_segment,
    read_table,
    write_table,
)
from hardneg.transforms.corpus.texts import (
    fetch_texts,
    needed_rows,
    read_referred,
    texts_from_segments,
    texts_from_table,
)

FILES = ["a.jsonl", "b.jsonl"]


def passages(*rows: tuple[str, str, int, int]) -> pa.Table:
    """Return a table from (id, text, file, line), with one column that passes through."""
    return pa.table(
        {
            "passage_id": pa.array([row[0] for row in rows], pa.string()),
            "text": pa.array([row[1] for row in rows], pa.string()),
            "file": pa.array([row[2] for row in rows], pa.int32()),
            "line": pa.array([row[3] for row in rows], pa.int64()),
            "source": pa.array([None if row[3] == 3 else f"{row[2]}:{row[3]}" for row in rows], pa.string()),
        }
    )


ROWS = [
    ("b", "two", 0, 1),
    ("a", "one", 0, 2),
    ("é", "four", 0, 3),
    ("b", "two", 1, 1),
    ("Z", "", 1, 2),
    ("b", "two", 1, 4),
]


@settings(deadline=None)
@given(st.permutations(ROWS), st.lists(st.integers(0, 6), max_size=3))
def test_merge_passages(rows: list, cuts: list[int]) -> None:
    """In whatever order and in whatever tables the rows come; a repeated row is kept once, from the first file."""
    bounds = [0, *sorted(cuts), 6]
    merged = merge_passages([passages(*rows[start:stop]) for start, stop in pairwise(bounds)], FILES)
    assert merged.passages.to_pydict() == {
        "passage_id": ["Z", "a", "b", "é"],
        "text": ["", "one", "two", "four"],
        "text_digest": [text_digest(text) for text in ("", "one", "two", "four")],
        "source": ["1:2", "0:2", "0:1", None],
    }
    assert merged.repeated == 2
    assert merged.passages["text"].num_chunks == 1


@pytest.mark.parametrize("turned", [False, True])
def test_the_same_passage_id_with_different_texts(turned: bool) -> None:
    rows = [("p", "one", 0, 7), ("p", "one", 1, 1), ("p", "One", 1, 3)]
    with pytest.raises(HardnegError) as raised:
        merge_passages([passages(row) for row in (reversed(rows) if turned else rows)], FILES)
    assert str(raised.value) == (
        "passage id 'p' stands twice with different texts: a.jsonl:7 and b.jsonl:3; give each its own id."
    )


@settings(deadline=None)
@given(st.lists(st.text("abcé文", max_size=4)), st.integers(1, 9))
def test_cut(ids: list[str], parts: int) -> None:
    assert cut(ids, parts).tolist() == [cut_digest(identifier) % parts for identifier in ids]
    assert cut(ids, parts).dtype == np.int64


@settings(deadline=None)
@given(st.lists(st.integers(-3, 5)))
def test_split_by(keys: list[int]) -> None:
    table = pa.table({"row": pa.array(range(len(keys)), pa.int32())})
    split = {key: part["row"].to_pylist() for key, part in split_by(table, np.array(keys, dtype=np.int64))}
    assert list(split) == sorted(set(keys))
    for key, rows in split.items():
        assert rows == [row for row, other in enumerate(keys) if other == key]


def test_tables_are_written_and_mapped(tmp_path: Path) -> None:
    table = passages(*ROWS)
    path = str(tmp_path / "deep" / "t.arrow")
    for rows in (table, table.slice(0, 0)):
        write_table(path, rows)
        assert read_table(path).equals(rows)


def build(work: Path, number: int, table: pa.Table) -> str:
    write_table(str(Path(folder(str(work), number)) / segments.TEXTS), merge_passages([table], FILES).passages)
    return str(work)


def test_a_segment_finds_and_reads(tmp_path: Path) -> None:
    segment = Segment(build(tmp_path, 3, passages(*ROWS)), 3)
    assert len(segment) == 4
    found = segment.find(pa.array(["é", "nobody", "Z", "b", "b"]))
    assert found.tolist() == [3, -1, 0, 2, 2]
    assert found.dtype == np.int64
    assert segment.find(pa.array([], pa.string())).tolist() == []
    assert segment.texts(np.array([2, 0, 2])) == ["two", "", "two"]
    assert segment.texts(np.empty(0, dtype=np.int64)) == []
    np.save(segment.local / "embedding_e.npy", np.ones((4, 2), np.float32))
    array = segment.array("embedding_e")
    assert not array.flags.writeable
    assert isinstance(array, np.memmap)


def test_a_segment_is_opened_once(tmp_path: Path) -> None:
    work = build(tmp_path, 0, passages(*ROWS))
    made: list[int] = []
    found: list[tuple[Segment, object]] = []

    def use() -> None:
        opened = open_segment(work, 0)
        found.append((opened, opened.hold("engine", lambda: made.append(1) or object())))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(part) for pair in found for part in pair}) == 2
    assert made == [1]


def test_the_least_recently_used_are_closed(tmp_path: Path) -> None:
    for number in range(segments.OPEN_SEGMENTS + 1):
        build(tmp_path, number, passages(("p", f"text {number}", 0, 1)))
    work = str(tmp_path)
    first, second = open_segment(work, 0), weakref.ref(open_segment(work, 1))
    opened = [weakref.ref(open_segment(work, number)) for number in range(2, segments.OPEN_SEGMENTS)]
    assert open_segment(work, 0) is first
    assert second() is not None
    open_segment(work, segments.OPEN_SEGMENTS)
    assert open_segment(work, 0) is first
    gc.collect()
    assert second() is None, "nobody holds it any longer"
    assert all(each() is not None for each in opened)
    open_segment(work, 1)
    gc.collect()
    assert opened[0]() is None, "one more, one less"


def test_an_earlier_runs_segment_is_not_used_again(tmp_path: Path) -> None:
    """Two runs in one process may use the same work folder, one after the other."""
    work = build(tmp_path, 0, passages(("p", "old", 0, 1)))
    assert open_segment(work, 0).texts(np.array([0])) == ["old"]
    build(tmp_path, 0, passages(("p", "new", 0, 1)))
    assert open_segment(work, 0).texts(np.array([0])) == ["new"]


@pytest.fixture
def work(tmp_path: Path) -> str:
    build(tmp_path, 0, passages(("a", "text a", 0, 1), ("b", "text b", 0, 2)))
    return build(tmp_path, 1, passages(("c", "text c", 0, 1), ("d", "text d", 0, 2)))


def test_texts_come_from_segments_or_with_the_block(work: str) -> None:
    """Both ways give the same texts."""
    numbers, rows = np.array([1, 0, 1, 0, 1], np.int32), np.array([1, 0, 0, 1, 1], np.int32)
    expected = ["text d", "text a", "text c", "text b", "text d"]
    assert texts_from_segments(work)(numbers, rows) == expected
    candidates = pa.table({"segment": numbers, "row": rows, "passage_id": ["x"] * 5})
    needed = needed_rows(candidates)
    assert [(segment, table["row"].to_pylist()) for segment, table in needed] == [(0, [0, 1]), (1, [0, 1])]
    parts = [fetch_texts(work, segment, table) for segment, table in reversed(needed)]
    assert all(part.schema == BLOCK_TEXTS for part in parts)
    assert texts_from_table(pa.concat_tables(parts))(numbers, rows) == expected
    none = np.empty(0, np.int32)
    assert texts_from_segments(work)(none, none) == []
    assert texts_from_table(BLOCK_TEXTS.empty_table())(none, none) == []
    assert needed_rows(candidates.slice(0, 0)) == []


def test_passages_that_are_referred_to_are_read_once(work: str) -> None:
    requests = [pa.table({"row": pa.array(rows, pa.int32())}) for rows in ([1], [0, 1], [1])]
    parts = dict(read_referred((1, requests), work, 4))
    assert {shard: part["passage_id"].to_pylist() for shard, part in parts.items()} == {
        shard: [name for name in ("c", "d") if cut_digest(name) % 4 == shard]
        for shard in sorted({cut_digest(name) % 4 for name in ("c", "d")})
    }
    assert all(part.column_names == ["passage_id", "text", "source"] for part in parts.values())


@examples(60)
@given(st.lists(st.text(max_size=4), unique=True, max_size=40), st.lists(st.text(max_size=4), max_size=20))
def test_strings_are_found_among_sorted_ones(values: list[str], others: list[str]) -> None:
    ordered = pa.array(values, pa.string()).sort()
    wanted = [*values, *others]
    place = {value: row for row, value in enumerate(ordered.to_pylist())}
    found = find_sorted(ordered, pa.array(wanted, pa.string()))
    assert (found.dtype, found.tolist()) == (np.int64, [place.get(each, -1) for each in wanted])

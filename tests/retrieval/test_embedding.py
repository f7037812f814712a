"""The user's own vectors, the addresses of what was computed, and how segments get their embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.errors import HardnegError
from hardneg.transforms.core.arrays import vectors_column
from hardneg.transforms.core.source import Source
from hardneg.transforms.corpus import segments
from hardneg.transforms.corpus.ingestion import SegmentInfo
from hardneg.transforms.corpus.segments import folder, write_table
from hardneg.transforms.retrieval.encode import (
    CHUNK,
    _Assemble,
    _chunks,
    _require_vectors,
    _StoreVectors,
    store_array,
    stored_array,
    texts_digest,
)
from hardneg.transforms.retrieval.search import embeddings_of

SOURCE = Source("dense", "mine")


@pytest.fixture
def work(tmp_path: Path) -> str:
    """Two passages in segment 0."""
    table = pa.table({"passage_id": ["a", "b"], "text": ["x", "y"]})
    write_table(str(Path(folder(str(tmp_path), 0)) / segments.TEXTS), table)
    return str(tmp_path)


def store(
    work: str, tables: Iterable[tuple[list[str], list[list[float]]]], passages: Iterable[int] = (2,)
) -> list[int]:
    vectors = [
        pa.table({"passage_id": ids, "vector": vectors_column(np.array(rows, dtype=np.float32))})
        for ids, rows in tables
    ]
    return list(_StoreVectors(work, SOURCE).process((0, {"vectors": vectors, "segments": passages})))


@pytest.mark.parametrize("turned", [False, True])
def test_vectors_are_put_in_the_segments_order(work: str, turned: bool) -> None:
    tables = [(["b", "unknown"], [[0.0, 1.0], [1.0, 0.0]]), (["a"], [[0.6, 0.8]])]
    assert store(work, reversed(tables) if turned else tables) == [0]
    array = np.load(Path(folder(work, 0)) / "embedding_mine.npy")
    np.testing.assert_array_equal(array, np.array([[0.6, 0.8], [0.0, 1.0]], dtype=np.float32))


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ([(["b"], [[1.0]])], "1 passages have no vector, 'a' among them"),
        ([], "2 passages have no vector, 'a' among them"),
        ([(["a"], [[1.0]]), (["b"], [[1.0, 0.0]])], "vectors have 2 and 1 dimensions"),
        ([(["a", "b"], [[1.0], [1.0]]), (["b"], [[-1.0]])], "a passage has two vectors"),
        ([(["a", "b", "a"], [[1.0], [1.0], [-1.0]])], "a passage has two vectors"),
    ],
)
def test_vectors_that_do_not_fit_the_corpus(work: str, tables: list, problem: str) -> None:
    with pytest.raises(HardnegError, match=f"--embeddings mine: {problem}"):
        store(work, tables)
    assert not (Path(folder(work, 0)) / "embedding_mine.npy").exists()


def test_vectors_of_a_segment_that_is_not_there(work: str) -> None:
    """The user may have vectors of more passages than the corpus has."""
    assert store(work, [(["zzz"], [[1.0]])], passages=()) == []


def queries_with(vectors: list[list[float] | None]) -> pa.Table:
    return pa.table(
        {
            "query_id": [f"q{number}" for number in range(len(vectors))],
            SOURCE.embedding: pa.array(vectors, pa.list_(pa.float32())),
        }
    )


def test_every_query_needs_a_vector() -> None:
    good = queries_with([[0.0, 1.0], [1.0, 0.0]])
    assert _require_vectors((3, good), SOURCE) == (3, good)
    np.testing.assert_array_equal(embeddings_of(good, SOURCE), [[0, 1], [1, 0]])
    with pytest.raises(HardnegError, match="--query-embeddings mine: the query 'q1' has no vector"):
        _require_vectors((3, queries_with([[0.0], None])), SOURCE)
    with pytest.raises(HardnegError, match="--query-embeddings mine: vectors have 1 and 3 dimensions"):
        _require_vectors((3, queries_with([[0.0], [0.0, 1.0, 0.0]])), SOURCE)


@settings(deadline=None)
@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_addresses_tell_texts_apart(one: list[str], other: list[str]) -> None:
    assert (texts_digest("f", one) == texts_digest("f", other)) == (one == other)
    assert texts_digest("f", one) != texts_digest("g", one)


def test_addresses_do_not_change() -> None:
    """Literal: another address forgets what a killed run has computed."""
    assert texts_digest("f", ["a", "文"], ["b", ""]) == (
        "3889293b27409d3f8837604db42a9076fe86e0e77028aa96485a527a64c199e7"
    )
    assert texts_digest("f", ["ab", ""], ["c", ""]) != texts_digest("f", ["a", "b"], ["c", ""])


def test_arrays_are_stored_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "x.npy")
    assert stored_array(path) is None
    for values in (np.arange(6, dtype=np.float32).reshape(2, 3), np.empty((2, 0), np.float32)):
        store_array(path, values)
        found = stored_array(path)
        assert found is not None
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("passages", [1, CHUNK, CHUNK + 1, 3 * CHUNK - 1])
def test_chunks_cover_a_segment(passages: int) -> None:
    chunks = list(_chunks(SegmentInfo(7, passages, 0)))
    assert [row for _, start, stop in chunks for row in range(start, stop)] == list(range(passages))
    assert {number for number, _, _ in chunks} == {7}


def test_chunks_are_assembled_in_their_order(work: str, tmp_path: Path) -> None:
    """However they arrive; and one that has vanished is an error that says what to do."""
    for number in range(2):
        store_array(str(tmp_path / f"{number}.npy"), np.full((1, 3), number, dtype=np.float32))
    chunks = [(1, str(tmp_path / "1.npy")), (0, str(tmp_path / "0.npy"))]
    assert list(_Assemble(work, "embedding_mine").process((0, chunks))) == [0]
    array = np.load(Path(folder(work, 0)) / "embedding_mine.npy")
    np.testing.assert_array_equal(array, [[0, 0, 0], [1, 1, 1]])
    with pytest.raises(HardnegError, match=r"gone\.npy vanished while the run was using it"):
        list(_Assemble(work, "embedding_mine").process((0, [(0, str(tmp_path / "gone.npy"))])))

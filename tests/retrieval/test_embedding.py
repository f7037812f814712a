"""The user's own vectors, the addresses of what was computed, and how segments get their embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.errors import InputError, RunError
from hardneg.transforms.core.arrays import vectors_column
from hardneg.transforms.corpus.ingestion import SegmentInfo
from hardneg.transforms.retrieval.embeddings import embeddings_of
from hardneg.transforms.retrieval.encode import assemble, store_array, stored_array, texts_digest
from hardneg.transforms.retrieval.encode_stage import CHUNK, chunks
from hardneg.transforms.retrieval.placed_vectors import place_vectors, require_vectors

COLUMN = "embedding_mine"


def placed(tables: Iterable[tuple[list[str], list[list[float]]]]) -> np.ndarray:
    """Return the vectors of the passages a and b."""
    vectors = [
        pa.table({"passage_id": ids, "vector": vectors_column(np.array(rows, dtype=np.float32))})
        for ids, rows in tables
    ]
    return place_vectors(pa.chunked_array([["a", "b"]]), vectors, "mine")


@pytest.mark.parametrize("turned", [False, True])
def test_vectors_are_put_in_the_segments_order(turned: bool) -> None:
    tables = [(["b", "unknown"], [[0.0, 1.0], [1.0, 0.0]]), (["a"], [[0.6, 0.8]])]
    found = placed(reversed(tables) if turned else tables)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([[0.6, 0.8], [0.0, 1.0]], dtype=np.float32))


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ([(["b"], [[1.0]])], "1 passages have none, 'a' among them"),
        ([], "2 passages have none, 'a' among them"),
        ([(["a"], [[1.0]]), (["b"], [[1.0, 0.0]])], "they have 2 and 1 dimensions"),
        ([(["a", "b"], [[1.0], [1.0]]), (["b"], [[-1.0]])], "a passage has two in the files"),
        ([(["a", "b", "a"], [[1.0], [1.0], [-1.0]])], "a passage has two in the files"),
    ],
)
def test_vectors_that_do_not_fit_the_corpus(tables: list, problem: str) -> None:
    with pytest.raises(InputError, match=f"retriever mine, vectors: {problem}"):
        placed(tables)


def queries_with(vectors: list[list[float] | None]) -> pa.Table:
    return pa.table(
        {
            "query_id": [f"q{number}" for number in range(len(vectors))],
            COLUMN: pa.array(vectors, pa.list_(pa.float32())),
        }
    )


def test_every_query_needs_a_vector() -> None:
    good = queries_with([[0.0, 1.0], [1.0, 0.0]])
    require_vectors(good, "mine", COLUMN)
    np.testing.assert_array_equal(embeddings_of(good, COLUMN), [[0, 1], [1, 0]])
    with pytest.raises(InputError, match="retriever mine, query_vectors: the query 'q1' has none"):
        require_vectors(queries_with([[0.0], None]), "mine", COLUMN)
    with pytest.raises(InputError, match="retriever mine, query_vectors: they have 1 and 3 dimensions"):
        require_vectors(queries_with([[0.0], [0.0, 1.0, 0.0]]), "mine", COLUMN)


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
    found = list(chunks(SegmentInfo(7, passages, 0)))
    assert [row for _, start, stop in found for row in range(start, stop)] == list(range(passages))
    assert {number for number, _, _ in found} == {7}


def test_chunks_are_assembled_in_their_order(tmp_path: Path) -> None:
    """However they arrive; and one that has vanished is an error that says what to do."""
    for number in range(2):
        store_array(str(tmp_path / f"{number}.npy"), np.full((1, 3), number, dtype=np.float32))
    whole = tmp_path / "whole.npy"
    assemble([(1, str(tmp_path / "1.npy")), (0, str(tmp_path / "0.npy"))], 2, whole)
    np.testing.assert_array_equal(np.load(whole), [[0, 0, 0], [1, 1, 1]])
    with pytest.raises(RunError, match=r"gone\.npy vanished while the run was using it"):
        assemble([(0, str(tmp_path / "gone.npy"))], 1, whole)

"""The user's own vectors, texts encoded once, and how segments get their embeddings."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.errors import InputError, ModelError, RunError
from hardneg.transforms.core.arrays import vectors_column
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.retrieval.embeddings import embeddings_of
from hardneg.transforms.retrieval.encode import Piece, Wanted, assemble, passage_keys, write_pieces
from hardneg.transforms.retrieval.placed_vectors import place_vectors, require_vectors
from hardneg.transforms.retrieval.stored_embeddings import StoredEmbeddings
from hardneg.transforms.store.uses import StorePlace
from hardneg.transforms.store.value_keys import embedding_keys

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


TEXT = st.sampled_from(["a", "b", "c", "d", "e", "f"])


@settings(deadline=None)
@given(st.lists(st.lists(TEXT, max_size=6), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 3))
def test_every_passage_gets_its_texts_embedding(
    tmp_path_factory: pytest.TempPathFactory, segments: list[list[str]], ranges: int, size: int
) -> None:
    """Through key ranges, chunks and pieces, back into its row; a text that stands twice is in one chunk."""
    folder = tmp_path_factory.mktemp("work")
    by_range: dict[int, list[pa.Table]] = {}
    for number, texts in enumerate(segments):
        for place, table in passage_keys(number, texts, ranges):
            by_range.setdefault(place, []).append(table)
    pieces: dict[int, list[Piece]] = {}
    chunks = [chunk for tables in by_range.values() for chunk in Wanted.of(tables).chunks(size)]
    for chunk in chunks:
        again = Wanted.of([chunk.table()])
        texts = [segments[segment][row] for segment, row in zip(again.segments, again.rows, strict=True)]
        values = np.array([[ord(text), 1] for text in texts], dtype=np.float32)
        for number, piece in write_pieces(str(folder), again, values):
            pieces.setdefault(number, []).append(piece)
        assert len(set(texts)) <= size
    assert sum(len(set(chunk.keys.tolist())) for chunk in chunks) == len({text for texts in segments for text in texts})
    for number, texts in enumerate(segments):
        if texts:
            assemble(reversed(pieces[number]), len(texts), folder / "whole.npy")
            found = np.load(folder / "whole.npy")
            assert found.dtype == np.float32
            assert found.tolist() == [[ord(text), 1] for text in texts]


def test_a_piece_that_vanished_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"gone\.npy vanished while the run was using it"):
        assemble([Piece(str(tmp_path / "gone.npy"), b"")], 1, tmp_path / "whole.npy")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_without_room_is_an_error_and_no_crash(tmp_path: Path, small_disk: Path) -> None:
    """A memory map of a file whose blocks are not there ends the process by a signal when the disk is full."""
    wanted = Wanted(embedding_keys("passage", ["a"]), np.zeros(1, int), np.zeros(1, int))
    ((_, piece),) = write_pieces(str(tmp_path), wanted, np.ones((1, 1024), np.float32))
    assemble([piece], 100, small_disk / "fits.npy")
    with pytest.raises(OSError, match="No space left"):
        assemble([piece], 1000, small_disk / "whole.npy")


class FakeEncoder:
    """Encodes a text as its length; remembers what it was asked."""

    fingerprint = "f" * 64

    def __init__(self) -> None:
        self.asked: list[str] = []

    def parts(self, texts: list[str], _: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self.asked += texts
        for row, text in enumerate(texts):
            yield np.array([row]), np.full((1, 2), len(text), dtype=np.float32)


def test_a_text_is_encoded_once(tmp_path: Path) -> None:
    """In one role; the next process finds it, and loads nothing where nothing is new."""
    model, loaded = FakeEncoder(), []
    about = {"fingerprint": FakeEncoder.fingerprint, "dimension": 2}
    stored = StoredEmbeddings(
        StorePlace(str(tmp_path)), ModelSpec("bi-encoder", "toy"), lambda *_: about,
        lambda spec: (loaded.append(spec), model)[1],
    )  # fmt: skip
    values, computed, _ = stored.encode(["aa", "b", "aa"], "query")
    assert (values.tolist(), computed, model.asked) == ([[2, 2], [1, 1], [2, 2]], 2, ["aa", "b"])
    values, computed, _ = stored.encode(["b", "aa"], "query")
    assert (values.tolist(), computed, len(loaded)) == ([[1, 1], [2, 2]], 0, 1)
    assert stored.encode(["b"], "passage")[1] == 1
    assert stored.encode([], "query")[0].shape == (0, 2)
    model.fingerprint = "e" * 64
    with pytest.raises(ModelError, match="changed meanwhile"):
        stored.encode(["new"], "query")

"""Dense search: what a full sort of the pairwise similarities says, however the corpus and the queries are cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.transforms.retrieval import dense
from hardneg.transforms.retrieval.dense import pair_similarities, search_dense, similarity


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@st.composite
def embeddings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Queries and passages with many equal and many nearly equal vectors."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dimension = draw(st.sampled_from([1, 2, 3, 8, 48]))
    different = rng.normal(size=(draw(st.integers(1, 8)), dimension))
    passages = different[rng.integers(0, len(different), draw(st.integers(1, 60)))]
    noise = draw(st.sampled_from([0.0, 1e-8, 3e-8, 1e-7, 1e-6, 1.0]))
    passages = passages + noise * rng.normal(size=passages.shape)
    queries = different[rng.integers(0, len(different), draw(st.integers(1, 6)))]
    if draw(st.booleans()):
        queries = rng.normal(size=queries.shape)
    return unit(queries), unit(passages)


def by_full_sort(queries: np.ndarray, passages: np.ndarray, k: int) -> set[tuple[int, int]]:
    """Return the pairs that a plain loop would keep: similarity descending, then row."""
    found = set()
    for number, query in enumerate(queries):
        scores = [np.float32((query.astype(np.float64) * passage.astype(np.float64)).sum()) for passage in passages]
        order = sorted(range(len(passages)), key=lambda row: (-scores[row], row))
        found |= {(number, row) for row in order[:k]}
    return found


def pairs(found: tuple[np.ndarray, np.ndarray]) -> set[tuple[int, int]]:
    rows = list(zip(found[0].tolist(), found[1].tolist(), strict=True))
    assert len(set(rows)) == len(rows)
    return set(rows)


@settings(deadline=None)
@given(embeddings(), st.integers(1, 70), st.sampled_from([1, 3, 16, 8192]))
def test_search_dense_is_a_full_sort(both: tuple[np.ndarray, np.ndarray], k: int, chunk: int) -> None:
    queries, passages = both
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "_CHUNK", chunk)
        assert pairs(search_dense(queries, passages, k)) == by_full_sort(queries, passages, k)


@settings(deadline=None)
@given(embeddings(), st.integers(1, 20), st.lists(st.integers(0, 60), max_size=3))
def test_the_top_k_does_not_depend_on_segments(both: tuple[np.ndarray, np.ndarray], k: int, cuts: list[int]) -> None:
    """The best k of the segments' best k are the best k of all, ties included."""
    queries, passages = both
    bounds = [0, *sorted(min(cut, len(passages)) for cut in cuts), len(passages)]
    found = set()
    for start, stop in itertools.pairwise(bounds):
        found |= {(query, row + start) for query, row in pairs(search_dense(queries, passages[start:stop], k))}
    best = set()
    for number in range(len(queries)):
        rows = np.array(sorted(row for query, row in found if query == number))
        scores = pair_similarities(queries, np.full(len(rows), number), passages, rows)
        best |= {(number, row) for row in rows[np.lexsort((rows, -scores))][:k].tolist()}
    assert best == by_full_sort(queries, passages, k)


@settings(deadline=None)
@given(embeddings(), st.data())
def test_similarity_depends_on_the_pair_alone(both: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    """Bit for bit, in whatever company and order a pair is computed."""
    queries, passages = both
    count = data.draw(st.integers(1, 50))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    query_rows, rows = rng.integers(0, len(queries), count), rng.integers(0, len(passages), count)
    together = pair_similarities(queries, query_rows, passages, rows)
    alone = [similarity(queries[q : q + 1], passages[p : p + 1])[0] for q, p in zip(query_rows, rows, strict=True)]
    assert together.tobytes() == np.array(alone, dtype=np.float32).tobytes()
    order = rng.permutation(count)
    assert together[order].tobytes() == pair_similarities(queries, query_rows[order], passages, rows[order]).tobytes()


def test_similarity_is_a_cosine_in_float32() -> None:
    rng = np.random.default_rng(0)
    queries, passages = unit(rng.normal(size=(500, 384))), unit(rng.normal(size=(500, 384)))
    values = similarity(queries, passages)
    assert values.dtype == np.float32
    expected = [np.dot(q.astype(float), p.astype(float)) for q, p in zip(queries, passages, strict=True)]
    np.testing.assert_allclose(values, expected, atol=6e-8)
    np.testing.assert_allclose(similarity(queries, queries), 1, atol=2e-7)


def test_many_exact_duplicates_at_the_last_place() -> None:
    """What tells equal passages apart is their row, not where a chunk begins."""
    passages = np.tile(unit(np.array([[1.0, 2.0, 3.0]])), (20_000, 1))
    query_rows, rows = search_dense(passages[:2], passages, 100)
    assert sorted(zip(query_rows.tolist(), rows.tolist(), strict=True)) == [(q, r) for q in (0, 1) for r in range(100)]


def test_empty_inputs() -> None:
    some, none = np.ones((2, 1), dtype=np.float32), np.empty((0, 1), dtype=np.float32)
    for queries, passages in ((none, some), (some, none), (none, none)):
        query_rows, rows = search_dense(queries, passages, 5)
        assert len(query_rows) == len(rows) == 0
        assert query_rows.dtype == rows.dtype == np.int64
    nothing = np.empty(0, dtype=np.int64)
    assert pair_similarities(some, nothing, some, nothing).shape == (0,)


def test_passages_may_be_mapped(tmp_path) -> None:
    rng = np.random.default_rng(1)
    queries, passages = unit(rng.normal(size=(3, 16))), unit(rng.normal(size=(300, 16)))
    np.save(tmp_path / "e.npy", passages)
    mapped = np.load(tmp_path / "e.npy", mmap_mode="r")
    assert pairs(search_dense(queries, mapped, 7)) == by_full_sort(queries, passages, 7)

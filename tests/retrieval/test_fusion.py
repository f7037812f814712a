"""Search and merge: ranks and signals are the same however the corpus is cut, and nothing lacks a signal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from profiles import examples

from hardneg.errors import HardnegError
from hardneg.transforms.core.arrays import vectors_column
from hardneg.transforms.core.tokenization import TokenizerSpec, make_tokenizer
from hardneg.transforms.corpus.segments import TEXTS, Segment, folder, merge_passages, write_table
from hardneg.transforms.retrieval.bm25.retriever import Bm25Retriever
from hardneg.transforms.retrieval.bm25.stored import store_statistics, write_postings, write_weighted
from hardneg.transforms.retrieval.dense import similarity
from hardneg.transforms.retrieval.embeddings import embeddings_of
from hardneg.transforms.retrieval.merge import RRF_K, merge_segments, rank_within
from hardneg.transforms.retrieval.retriever import Retriever
from hardneg.transforms.retrieval.run_file import RunRetriever
from hardneg.transforms.retrieval.search import ASKED, search_segment
from hardneg.transforms.retrieval.vectors import VectorsRetriever

BM25_RETRIEVER = Bm25Retriever()
VECTORS = VectorsRetriever(name="small", vectors="given", query_vectors="given")
RUN_FILE = RunRetriever(name="other", file="given")
RETRIEVERS = [BM25_RETRIEVER, VECTORS, RUN_FILE]
SOURCES = [each.source for each in RETRIEVERS]
BM25, DENSE, RUN = SOURCES
TOKENIZE = make_tokenizer(TokenizerSpec("unicode", None))
NOBODY = {name: pa.array([[]], pa.list_(pa.string())) for name in ASKED}
WORDS = ("otter", "lynx", "heron", "trout", "river", "ice", "moss", "owl")


def test_the_columns_of_a_source() -> None:
    assert [source.signal for source in SOURCES] == ["bm25", "similarity_small", None]
    assert [source.rank for source in SOURCES] == ["rank_bm25", "rank_small", "rank_other"]


class Corpus:
    """Some passages, and the means to search them cut into any number of segments."""

    def __init__(self, rng: np.random.Generator, passages: int) -> None:
        # Few words and few vectors, so that ties and equal texts are common.
        self.ids = [f"p{number:03d}" for number in rng.permutation(passages)]
        self.texts = [" ".join(rng.choice(WORDS, rng.integers(1, 4))) for _ in self.ids]
        vectors = rng.normal(size=(7, 8))[rng.integers(0, 7, passages)]
        self.vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def table(self, rows: np.ndarray) -> pa.Table:
        return pa.table(
            {
                "passage_id": pa.array([self.ids[row] for row in rows], pa.string()),
                "text": pa.array([self.texts[row] for row in rows], pa.string()),
                "file": pa.array([0] * len(rows), pa.int32()),
                "line": pa.array(rows + 1, pa.int64()),
                "source": pa.array([f"from {self.ids[row]}" for row in rows], pa.string()),
            }
        )

    def search(
        self,
        work: Path,
        cut: np.ndarray,
        queries: pa.Table,
        k: int,
        retrievers: Sequence[Retriever] = RETRIEVERS,
    ) -> list[pa.Table]:
        """Build the segments that ``cut`` says, and search each."""
        numbers = np.unique(cut).tolist()
        for number in numbers:
            merged = merge_passages([self.table(np.flatnonzero(cut == number))], ["corpus"]).passages
            target = Path(folder(str(work), int(number)))
            write_table(str(target / TEXTS), merged)
            rows = [self.ids.index(identifier) for identifier in merged["passage_id"].to_pylist()]
            np.save(target / f"{VECTORS.array}.npy", self.vectors[rows])
            write_postings(str(work), "bm25", number, (TOKENIZE(text) for text in merged["text"].to_pylist()))
        store_statistics(str(work), "bm25", numbers)
        for number in numbers:
            write_weighted(str(work), "bm25", number)
        return [search_segment(queries, Segment(str(work), number), retrievers, k) for number in numbers]


def make_queries(rng: np.random.Generator, corpus: Corpus, count: int) -> pa.Table:
    vectors = rng.normal(size=(count, 8))
    vectors[0] = corpus.vectors[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def some_ids() -> list[list[str]]:
        return [
            sorted(rng.choice([*corpus.ids, "unknown"], min(len(corpus.ids), rng.integers(0, 4)), replace=False))
            for _ in range(count)
        ]

    runs: list[list[str] | None] = [list(rng.permutation([*corpus.ids, "nowhere"])[:6]) for _ in range(count)]
    runs[-1] = None  # the run does not know the query
    return pa.table(
        {
            "query_id": pa.array([f"q{number}" for number in range(count)]),
            "text": pa.array([" ".join(rng.choice([*WORDS, "unheard"], 2)) for _ in range(count)]),
            "judged_ids": pa.array(some_ids(), pa.list_(pa.string())),
            "shared_ids": pa.array(some_ids(), pa.list_(pa.string())),
            RUN_FILE.column: pa.array(runs, pa.list_(pa.string())),
            VECTORS.column: vectors_column(vectors.astype(np.float32)),
        }
    )


def by_hand(
    corpus: Corpus, queries: pa.Table, k: int, bm25: dict[tuple[int, str], float]
) -> dict[tuple[int, str], Any]:
    """Rank everything with plain sorts; ``bm25`` are the scores of the passages that share a term."""
    vectors = embeddings_of(queries, VECTORS.column)
    expected: dict[tuple[int, str], dict[str, Any]] = {}
    for number, query in enumerate(queries.to_pylist()):
        dense = {
            name: float(similarity(vectors[number : number + 1], corpus.vectors[row : row + 1])[0])
            for row, name in enumerate(corpus.ids)
        }
        shared = {name: score for (owner, name), score in bm25.items() if owner == number}
        lists = {
            BM25.rank: sorted(shared, key=lambda name: (-shared[name], name))[:k],
            DENSE.rank: sorted(dense, key=lambda name: (-dense[name], name))[:k],
            RUN.rank: (query[RUN_FILE.column] or [])[:k],
        }
        for rank, names in lists.items():
            for place, name in enumerate(names, start=1):
                if name in dense:
                    expected.setdefault((number, name), {})[rank] = place
        fused = {
            name: sum(np.float64(1) / (RRF_K + ranks[rank]) for rank in lists if rank in ranks)
            for (owner, name), ranks in expected.items()
            if owner == number
        }
        for place, name in enumerate(sorted(fused, key=lambda name: (-fused[name], name)), start=1):
            expected[number, name]["fused_rank"] = place
        for name in {*query["judged_ids"], *query["shared_ids"]} & set(corpus.ids):
            expected.setdefault((number, name), {})
        for (owner, name), ranks in expected.items():
            if owner == number:
                ranks["similarity_small"] = dense[name]
                ranks["bm25"] = shared.get(name, 0.0)
    return expected


@examples(25, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([1, 2, 5, 100]))
def test_ranks_do_not_depend_on_segments(
    tmp_path_factory: pytest.TempPathFactory, seed: int, passages: int, k: int
) -> None:
    rng = np.random.default_rng(seed)
    corpus = Corpus(rng, passages)
    queries = make_queries(rng, corpus, 4)
    # Every score of every passage, once: k as large as the corpus, one segment.
    work = tmp_path_factory.mktemp("whole")
    (all_of_it,) = corpus.search(work, np.zeros(passages, dtype=int), queries, passages)
    pairs = zip(all_of_it["query"].to_pylist(), all_of_it["passage_id"].to_pylist(), strict=True)
    bm25 = {
        pair: score
        for pair, score, hit in zip(pairs, all_of_it["bm25"].to_pylist(), all_of_it[BM25.hit].to_pylist(), strict=True)
        if hit
    }
    expected = by_hand(corpus, queries, k, bm25)

    for segments in (1, 2, 5):
        work = tmp_path_factory.mktemp("work")
        found = corpus.search(work, rng.integers(0, segments, passages), queries, k)
        merged = merge_segments([found[number] for number in rng.permutation(len(found))], SOURCES, k)
        rows = merged.to_pylist()
        keys = [(row["query"], row["passage_id"]) for row in rows]
        assert keys == sorted(set(keys)), "sorted by query and passage id, each once"
        known = {
            (number, name)
            for number, query in enumerate(queries.to_pylist())
            for name in (*query["judged_ids"], *query["shared_ids"])
        }
        seen = set()
        for key, row in zip(keys, rows, strict=True):
            assert row["fused_rank"] is not None or key in known, "a segment's best that is not among the best of all"
            seen.add(key)
            wanted = expected[key]
            for column in (BM25.rank, DENSE.rank, RUN.rank, "fused_rank"):
                assert row[column] == wanted.get(column), (key, column)
            assert row["similarity_small"] == wanted["similarity_small"]
            assert row["bm25"] == wanted["bm25"]
            assert row["source"] == f"from {row['passage_id']}"
        assert seen == set(expected)
        assert not [name for name in merged.column_names if name.startswith("hit_")]
        for name in (BM25.rank, DENSE.rank, RUN.rank, "fused_rank"):
            assert merged.schema.field(name).type == pa.int32()
        for name in ("bm25", "similarity_small"):
            assert merged.schema.field(name).type == pa.float32()
            assert merged[name].null_count == 0


def test_every_candidate_has_every_signal(tmp_path: Path) -> None:
    """One that only BM25 found has a similarity, one that only the encoder found has a BM25 score."""
    corpus = Corpus(np.random.default_rng(0), 3)
    corpus.ids, corpus.texts = ["a", "b", "c"], ["otter", "lynx", "heron"]
    corpus.vectors = np.eye(8, dtype=np.float32)[:3]
    queries = pa.table(
        {
            "query_id": ["q"],
            "text": ["otter heron"],
            "judged_ids": [["b", "b", "nowhere"]],
            "shared_ids": pa.array([[]], pa.list_(pa.string())),
            VECTORS.column: vectors_column(
                np.eye(8, dtype=np.float32)[1:2] * 0.8 + np.eye(8, dtype=np.float32)[2:3] * 0.6
            ),
        }
    )
    (found,) = corpus.search(tmp_path, np.zeros(3, dtype=int), queries, 1, RETRIEVERS[:2])
    rows = {row["passage_id"]: row for row in found.to_pylist()}
    assert set(rows) == {"a", "b"}
    assert rows["a"][BM25.hit]
    assert not rows["a"][DENSE.hit]
    assert rows["b"][DENSE.hit]
    assert not rows["b"][BM25.hit]
    assert rows["a"]["bm25"] > 0
    assert rows["b"]["bm25"] == 0
    assert rows["a"]["similarity_small"] == 0
    assert rows["b"]["similarity_small"] == np.float32(0.8)


def test_nothing_found_in_any_segment(tmp_path: Path) -> None:
    """A query without a known word, and no other retriever."""
    corpus = Corpus(np.random.default_rng(0), 6)
    queries = pa.table({"query_id": ["q"], "text": ["unheard"], **NOBODY})
    tables = []
    for found in corpus.search(tmp_path, np.arange(6) % 2, with_vectors(queries), 5, RETRIEVERS[:2]):
        tables.append(found.filter(found[BM25.hit]))
    merged = merge_segments(tables, [BM25], 5)
    assert len(merged) == 0
    assert {"rank_bm25", "fused_rank"} < set(merged.column_names)


def with_vectors(queries: pa.Table) -> pa.Table:
    return queries.append_column(VECTORS.column, vectors_column(np.eye(8, dtype=np.float32)[: len(queries)]))


def test_vectors_of_two_dimensions_are_refused(tmp_path: Path) -> None:
    corpus = Corpus(np.random.default_rng(0), 3)
    queries = pa.table(
        {"query_id": ["q"], "text": ["otter"], **NOBODY, VECTORS.column: vectors_column(np.ones((1, 3), np.float32))}
    )
    with pytest.raises(HardnegError, match=r"small: the queries' vectors have 3 dimensions and the passages' 8;"):
        corpus.search(tmp_path, np.zeros(3, dtype=int), queries, 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, -0.0, 0.5, 1.0]), st.booleans())))
def test_rank_within(rows: list[tuple[int, float, bool]]) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    query, score, which = (np.array([row[part] for row in rows]) for part in range(3))
    ranks = rank_within(query.astype(np.int32), score.astype(np.float32), which.astype(bool))
    assert ranks.dtype == np.int32
    for number in range(4):
        mine = [row for row in range(len(rows)) if rows[row][0] == number and rows[row][2]]
        order = sorted(mine, key=lambda row: (-rows[row][1], row))
        assert [ranks[row] for row in order] == list(range(1, len(order) + 1))
    assert all(ranks[row] == 0 for row in range(len(rows)) if not rows[row][2])


def test_a_run_keeps_its_ranks(tmp_path: Path) -> None:
    """Ids that are not in the corpus have their ranks too, and what is behind rank k counts for nothing."""
    corpus = Corpus(np.random.default_rng(0), 3)
    corpus.ids = ["a", "b", "c"]
    runs = pa.array([["nowhere", "c", "a", "b"], None], pa.list_(pa.string()))
    nobody = {name: pa.array([[], ["b"]], pa.list_(pa.string())) for name in ASKED}
    queries = pa.table({"query_id": ["q", "r"], "text": ["x", "y"], **nobody, RUN_FILE.column: runs})
    found = corpus.search(tmp_path, np.array([0, 1, 1]), queries, 3, [RUN_FILE])
    rows = [(row["query"], row["passage_id"], row["rank_other"]) for row in merge_segments(found, [RUN], 3).to_pylist()]
    assert rows == [(0, "a", 3), (0, "c", 2), (1, "b", None)]


def test_two_retrievers_of_a_kind(tmp_path: Path) -> None:
    """Each BM25 has its own columns; the scores of what the other found are filled in."""
    corpus = Corpus(np.random.default_rng(1), 30)
    other = Bm25Retriever(name="again")
    cut = np.arange(30) % 2
    queries = pa.table({"query_id": ["q"], "text": ["otter lynx owl"], **NOBODY})
    corpus.search(tmp_path, cut, queries, 1, [])
    for number in (0, 1):
        texts = Segment(str(tmp_path), number).passages["text"].to_pylist()
        write_postings(str(tmp_path), "again", number, (TOKENIZE(text) for text in texts))
    store_statistics(str(tmp_path), "again", [0, 1])
    for number in (0, 1):
        write_weighted(str(tmp_path), "again", number)
        found = search_segment(queries, Segment(str(tmp_path), number), [BM25_RETRIEVER, other], 3)
        assert len(found)
        assert found["bm25"].equals(found["bm25_again"])
        assert found["hit_bm25"].equals(found["hit_again"])

"""BM25: what rank_bm25 says, however the corpus is cut, and never a passage that shares no term."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples
from rank_bm25 import BM25Okapi

from hardneg.errors import HardnegError
from hardneg.transforms.core.text import passage_string
from hardneg.transforms.core.tokenization import make_tokenizer
from hardneg.transforms.retrieval.bm25 import kernel as bm25_kernel
from hardneg.transforms.retrieval.bm25.index import (
    Postings,
    Statistics,
    digest_bytes,
    encode_queries,
    find_terms,
    index_passages,
    merge_counts,
    merge_statistics,
    term_digests,
    weigh,
)
from hardneg.transforms.retrieval.bm25.search import Bm25Segment, RankBm25Engine, SearchResult, search

Bags = list[list[str]]

# Few words and few passages: duplicates, idf of exactly 0 (in half of the passages), negative averages, and
# passages without a word are all common. "z" is only ever asked for.
words = st.sampled_from("abcdefg")
corpora = st.lists(st.lists(words, max_size=12), min_size=1, max_size=30)
queries_ = st.lists(st.lists(words | st.just("z"), max_size=8), min_size=1, max_size=4)


def build(corpus: Bags, cut: list[int] | None = None) -> tuple[list[np.ndarray], list[Postings], Statistics]:
    """Index a corpus in segments; ``cut`` gives each passage's. Returns also each segment's row numbers."""
    number = np.zeros(len(corpus), int) if cut is None else np.resize(np.array(cut), len(corpus))
    rows = [np.flatnonzero(number == segment) for segment in np.unique(number)]
    postings = [index_passages([corpus[row] for row in part]) for part in rows]
    return rows, postings, merge_statistics(part.counts() for part in postings)


def all_rows(queries: int, passages: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(queries + 1) * passages, np.tile(np.arange(passages), queries)


def scores_of_all(engine: Any, queries: Bags, **options: Any) -> np.ndarray:
    """Return float32 (queries, passages)."""
    offsets, rows = all_rows(len(queries), len(engine))
    found = engine.search(encode_queries(queries), 0, offsets, rows, **options)
    return found.extra_scores.reshape(len(queries), len(engine))


def equal(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(mine, theirs, strict=True))


def close(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return np.abs(mine - theirs) <= np.maximum(1e-6, 1e-5 * np.abs(theirs))


def best(scores: np.ndarray, sharing: np.ndarray, k: int) -> np.ndarray:
    rows = np.flatnonzero(sharing)
    return rows[np.lexsort((rows, -scores[rows]))][:k]


def assert_best(found: SearchResult, scores: np.ndarray, corpus: Bags, queries: Bags, k: int) -> None:
    for q, query in enumerate(queries):
        part = slice(found.offsets[q], found.offsets[q + 1])
        expected = best(scores[q], np.array([bool(set(query) & set(bag)) for bag in corpus], bool), k)
        assert found.rows[part].tolist() == expected.tolist()
        assert found.scores[part].tolist() == scores[q][expected].tolist()


@examples(200)
@given(corpora, queries_, st.integers(0, 12))
def test_scores_are_rank_bm25s_and_the_best_are_found(corpus: Bags, queries: Bags, k: int) -> None:
    _, (postings,), statistics = build(corpus)
    segment = Bm25Segment.from_postings(postings, statistics)
    scores = scores_of_all(segment, queries)
    if any(corpus):  # without a word the library divides by zero
        model = BM25Okapi(corpus)
        for query, row in zip(queries, scores, strict=True):
            assert close(row, model.get_scores(query)).all()
    assert_best(search(segment, encode_queries(queries), k), scores, corpus, queries, k)

    engine = RankBm25Engine(postings, statistics)
    reference = scores_of_all(engine, queries)
    assert close(scores, reference).all()
    assert_best(engine.search(encode_queries(queries), k), reference, corpus, queries, k)


@examples(100)
@given(corpora, queries_, st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 12))
def test_segments_change_nothing(corpus: Bags, queries: Bags, cut: list[int], k: int) -> None:
    _, (whole,), statistics = build(corpus)
    one = Bm25Segment.from_postings(whole, statistics)
    parts, postings, merged = build(corpus, cut)
    assert equal(tuple(vars(merged).values()), tuple(vars(statistics).values()))
    scores = scores_of_all(one, queries)
    assert np.array_equal(scores, scores_of_all(one, queries, threads=2))
    expected = search(one, encode_queries(queries), k)
    for make in (Bm25Segment.from_postings, RankBm25Engine):
        engines = [make(part, merged) for part in postings]
        reference = scores if make is not RankBm25Engine else scores_of_all(make(whole, statistics), queries)
        for rows, engine in zip(parts, engines, strict=True):
            assert np.array_equal(scores_of_all(engine, queries), reference[:, rows])
        found = [engine.search(encode_queries(queries), k) for engine in engines]
        for q in range(len(queries)):
            pairs = [
                (-score, row)
                for rows, part in zip(parts, found, strict=True)
                for score, row in zip(
                    part.scores[part.offsets[q] : part.offsets[q + 1]],
                    rows[part.rows[part.offsets[q] : part.offsets[q + 1]]],
                    strict=True,
                )
            ]
            if make is not RankBm25Engine:
                here = slice(expected.offsets[q], expected.offsets[q + 1])
                assert [row for _, row in sorted(pairs)[:k]] == expected.rows[here].tolist()


def zipf_corpus(passages: int, seed: int = 0) -> Bags:
    """Return bags with a realistic spread of frequencies; every fifth is a copy of an earlier one."""
    random = np.random.default_rng(seed)
    bags = [(random.zipf(1.3, random.integers(1, 60)) % 2000).astype(str).tolist() for _ in range(passages)]
    return [bags[i // 2] if i % 5 == 0 else bag for i, bag in enumerate(bags)]


@pytest.mark.parametrize("k", [1, 10, 100, 1000, 5000])
def test_a_larger_corpus(k: int) -> None:
    corpus = zipf_corpus(3000)
    _, (postings,), statistics = build(corpus)
    assert (statistics.idf > 0).all()  # so that the path for positive weights is the one taken
    segment = Bm25Segment.from_postings(postings, statistics)
    queries = [["1"], ["1", "2", "2"], ["1999"], ["1", "17", "500"], ["no such word"], [], *zipf_corpus(14, 1)]
    found = search(segment, encode_queries(queries), k)
    scores = scores_of_all(segment, queries)
    assert_best(found, scores, corpus, queries, k)
    for threads in (1, 2, 3):
        again = search(segment, encode_queries(queries), k, threads=threads)
        assert equal(again, found)
    alone = [search(segment, encode_queries([query]), k) for query in queries]
    assert np.array_equal(np.concatenate([result.scores for result in alone]), found.scores)


def test_the_order_of_equal_scores_is_that_of_the_rows() -> None:
    corpus = [["a", "b"], ["c"]] * 600 + [["d"]] * 2000
    _, (postings,), statistics = build(corpus)
    found = search(Bm25Segment.from_postings(postings, statistics), encode_queries([["b"], ["c", "b"]]), 7)
    assert found.rows.tolist() == [0, 2, 4, 6, 8, 10, 12, 1, 3, 5, 7, 9, 11, 13]


def test_scores_are_compared_as_float32() -> None:
    # Row 30 sums to more than row 0, but not to another float32: row 0 comes first.
    segment = Bm25Segment(
        terms=encode_queries([["a", "b"]]).terms,
        offsets=np.array([0, 3, 4]),
        documents=np.array([0, 20, 30, 30], np.int32),
        impacts=np.array([1, 1, 1, 2**-30], np.float32),
        passages=0,
    )
    for passages in (31, 3000):  # looked at one and all, and only where a term occurs
        one = dataclasses.replace(segment, passages=passages)
        assert search(one, encode_queries([["a", "b"]]), 1).rows.tolist() == [0]
        assert search(one, encode_queries([["a", "b"]]), 2).rows.tolist() == [0, 20]


def test_sums_that_cancel() -> None:
    # The average idf is negative, so frequent words count against a passage.
    corpus = [["a", "b", "c"], ["a", "b"], ["a", "b"], ["a", "b"], ["a", "b", "d"]]
    _, (postings,), statistics = build(corpus)
    assert statistics.idf.min() < 0 < statistics.idf.max()
    model = BM25Okapi(corpus)
    against, rare = model.get_scores(["a"])[0], model.get_scores(["c"])[0]
    many = [int(-n * against / rare) for n in (500, 1000, 2000, 3000)]
    queries = [["a"] * n + ["c"] * m for n, m in zip((500, 1000, 2000, 3000), many, strict=True)]
    scores = scores_of_all(Bm25Segment.from_postings(postings, statistics), queries)
    assert close(scores, np.array([model.get_scores(query) for query in queries])).all()
    assert search(Bm25Segment.from_postings(postings, statistics), encode_queries([["a"]]), 9).rows.size == 5


@pytest.mark.parametrize("corpus", [[], [[], [], []]], ids=["no passages", "no tokens"])
def test_a_corpus_without_a_token(corpus: Bags) -> None:
    _, postings, _ = build(corpus or [[]])
    if not corpus:
        postings = [index_passages([])]
    statistics = merge_statistics(part.counts() for part in postings)
    assert (len(statistics.idf), statistics.passages, statistics.average_length) == (0, len(corpus), 0.0)
    for engine in (Bm25Segment.from_postings(postings[0], statistics), RankBm25Engine(postings[0], statistics)):
        found = engine.search(encode_queries([["a"], []]), 5)
        assert found.offsets.tolist() == [0, 0, 0]
        assert not scores_of_all(engine, [["a"], []]).any()
        assert engine.search(encode_queries([]), 5).offsets.tolist() == [0]


def test_a_segment_without_a_token_in_a_corpus_with_some() -> None:
    _, postings, statistics = build([["a", "b"], [], ["b"], []], [0, 1])
    for make in (Bm25Segment.from_postings, RankBm25Engine):
        assert make(postings[1], statistics).search(encode_queries([["b"]]), 5).rows.size == 0


def test_files_give_what_memory_gives(tmp_path: Path) -> None:
    _, (postings,), statistics = build(zipf_corpus(500))
    postings.write(tmp_path)
    statistics.write(tmp_path / "statistics")
    opened = Postings.open(tmp_path)
    assert not opened.documents.flags.writeable
    segment = Bm25Segment.from_postings(opened, Statistics.open(tmp_path / "statistics"))
    segment.write(tmp_path)  # over the files that it is mapped from
    mapped = Bm25Segment.open(tmp_path)
    queries = encode_queries(zipf_corpus(20, 1))
    assert equal(search(segment, queries, 10), search(mapped, queries, 10))
    assert np.array_equal(mapped.impacts, weigh(postings, statistics))
    assert len(bm25_kernel.search_block(mapped.impacts.dtype).signatures) == 1  # type: ignore[attr-defined]
    RankBm25Engine(Postings.open(tmp_path), Statistics.open(tmp_path / "statistics"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HardnegError, match=r"terms\.npy: it cannot be read .* run again"):
        Bm25Segment.open(tmp_path)
    (tmp_path / "terms.npy").write_bytes(b"no array")
    with pytest.raises(HardnegError, match=r"terms\.npy"):
        Bm25Segment.open(tmp_path)


def test_extra_rows_that_do_not_fit() -> None:
    _, (postings,), statistics = build([["a"], ["b"]])
    for engine in (Bm25Segment.from_postings(postings, statistics), RankBm25Engine(postings, statistics)):
        with pytest.raises(ValueError, match="do not cut 1 rows into 1 queries"):
            engine.search(encode_queries([["a"]]), 1, np.array([0, 2]), np.array([0]))
        with pytest.raises(ValueError, match="from 2 to 2 in a segment of 2"):
            engine.search(encode_queries([["a"]]), 1, np.array([0, 1]), np.array([2]))


def test_statistics_of_another_corpus_are_refused() -> None:
    with pytest.raises(ValueError, match="lack 1 of the segment's 2 terms"):
        weigh(index_passages([["a", "b"]]), merge_statistics([index_passages([["a"]]).counts()]))


def test_digests_are_whole_and_in_the_order_of_their_bytes() -> None:
    # About one digest in 256 ends in a NUL byte, which numpy's own byte strings would drop.
    terms = [str(i) for i in range(3000)]
    expected = [hashlib.blake2b(term.encode(), digest_size=16).digest() for term in terms]
    assert any(digest.endswith(b"\0") for digest in expected)
    assert digest_bytes(term_digests(terms)) == expected
    assert digest_bytes(index_passages([terms]).terms) == sorted(expected)


def test_terms_with_the_same_first_half_are_told_apart() -> None:
    terms = np.array([[1, 5], [2, 0], [2, 3], [2, 2**64 - 1], [9, 9]], np.uint64)
    wanted = np.array([[2, 3], [2, 4], [9, 9], [2, 2**64 - 1], [1, 5], [9, 10], [0, 0], [2, 0]], np.uint64)
    expected = [2, -1, 4, 3, 0, -1, -1, 1]
    assert find_terms(terms, wanted).tolist() == expected
    assert [bm25_kernel.find_term(terms, high, low) for high, low in wanted] == expected


def test_merging_counts_in_steps() -> None:
    corpus = zipf_corpus(200)
    expected = merge_counts([index_passages(corpus).counts()])
    stepwise = merge_counts((index_passages([bag]).counts() for bag in corpus), at_once=100)
    assert equal(stepwise, expected)
    impacts = weigh(index_passages(corpus), merge_statistics([stepwise]), at_once=100)
    assert np.array_equal(impacts, weigh(index_passages(corpus), merge_statistics([expected])))


def test_queries_keep_their_repeated_terms() -> None:
    queries = encode_queries([["b", "a", "b"], [], ["c"]])
    assert queries.offsets.tolist() == [0, 2, 2, 3]
    counts = dict(zip(digest_bytes(queries.terms), queries.counts.tolist(), strict=True))
    assert [counts[digest] for digest in digest_bytes(term_digests("abc"))] == [1, 2, 1]


def test_without_a_folder_for_the_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(*signature: Any, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available for file")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    compiled = bm25_kernel.compile_search.__wrapped__(np.dtype(np.float32))
    assert compiled is bm25_kernel.uncompiled_search


def read_collection(folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """Return passage ids in order, passage strings and query texts of a collection."""
    with (folder / "corpus.jsonl").open(encoding="utf-8") as file:
        passages = sorted((json.loads(line) for line in file), key=lambda passage: passage["_id"])
    with (folder / "queries.jsonl").open(encoding="utf-8") as file:
        queries = {query["_id"]: query["text"] for query in map(json.loads, file)}
    texts = [passage_string(passage["title"], passage["text"]) for passage in passages]
    return [passage["_id"] for passage in passages], texts, queries


@pytest.mark.parametrize("name", ["squad11", "cmrc2018"])
def test_scores_on_a_real_corpus(name: str, collection: Callable[..., Path]) -> None:
    _, texts, queries = read_collection(collection(name))
    tokenize = make_tokenizer()
    corpus = [tokenize(text) for text in texts]
    asked = [tokenize(queries[query]) for query in sorted(queries)[:: len(queries) // 20]]
    parts, postings, statistics = build(corpus, [0, 1, 2])
    scores = np.zeros((len(asked), len(corpus)))
    for rows, part in zip(parts, postings, strict=True):
        scores[:, rows] = scores_of_all(Bm25Segment.from_postings(part, statistics), asked)
    model = BM25Okapi(corpus)
    for query, row in zip(asked, scores, strict=True):
        assert close(row, model.get_scores(query)).all()


# Among all passages, and among the few of the cut, of which the right one is easier found.
@pytest.mark.parametrize(
    ("name", "split", "whole", "least"),
    [
        ("cmrc2018", "train", False, 0.99),
        ("cmrc2018", "dev", False, 0.99),
        ("cmrc2018", "test", False, 0.99),
        ("squad11", "test", False, 0.94),
        pytest.param("cmrc2018", "train", True, 0.97, marks=pytest.mark.slow),
        pytest.param("cmrc2018", "dev", True, 0.97, marks=pytest.mark.slow),
        pytest.param("cmrc2018", "test", True, 0.97, marks=pytest.mark.slow),
        pytest.param("squad11", "test", True, 0.9, marks=pytest.mark.slow),
    ],
)
def test_recall_at_10(name: str, split: str, whole: bool, least: float, collection: Callable[..., Path]) -> None:
    folder = collection(name, whole)
    ids, texts, queries = read_collection(folder)
    tokenize = make_tokenizer()
    _, (postings,), statistics = build([tokenize(text) for text in texts])
    lines = (folder / "qrels" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    positives = [line.split("\t")[:2] for line in lines]
    terms = encode_queries([tokenize(queries[query]) for query, _ in positives])
    found = search(Bm25Segment.from_postings(postings, statistics), terms, 10)
    row_of = {passage: row for row, passage in enumerate(ids)}
    hits = [
        row_of[passage] in found.rows[found.offsets[i] : found.offsets[i + 1]]
        for i, (_, passage) in enumerate(positives)
    ]
    assert np.mean(hits) >= least

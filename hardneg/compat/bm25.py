"""BM25 beside the dense search, in memory: fused ranks, and the signal of any pair."""

from __future__ import annotations

import numpy as np

from hardneg.compat.pairs import Pairs
from hardneg.compat.search import Pool, Vectors, scored_pool
from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.tokenization import make_tokenizer
from hardneg.transforms.retrieval.bm25.index import encode_queries, index_passages, merge_statistics
from hardneg.transforms.retrieval.bm25.search import Bm25Segment
from hardneg.transforms.retrieval.merge import RRF_K, rank_within

_QUERIES = 1024  # at a time


class Bm25Search:
    """An index of the corpus, and the queries' terms.

    Attributes:
        documents: how many the corpus has.
    """

    def __init__(self, pairs: Pairs) -> None:
        tokenize = make_tokenizer()
        self.documents = len(pairs.corpus)
        self._queries = [tokenize(text) for text in pairs.queries]
        postings = index_passages(tokenize(text) for text in pairs.corpus)
        self._segment = Bm25Segment.from_postings(postings, merge_statistics([postings.counts()]))

    def best(self, first: int, last: int, k: int) -> IntArray:
        """Return the ``k`` best of some queries, best first: int64 (last - first, k), -1 behind the last."""
        found = self._segment.search(encode_queries(self._queries[first:last]), k)
        documents = np.full((last - first, k), -1, dtype=np.int64)
        counts = np.diff(found.offsets)
        documents[np.arange(k) < counts[:, None]] = found.rows
        return documents

    def signal(self, query: IntArray, document: IntArray) -> np.ndarray:
        """Return the BM25 scores of pairs, float32 (n,); ``query`` ascends."""
        scores = np.empty(len(query), dtype=np.float32)
        for first in range(0, len(self._queries), _QUERIES):
            last = min(first + _QUERIES, len(self._queries))
            offsets = np.searchsorted(query, np.arange(first, last + 1))
            here = slice(offsets[0], offsets[-1])
            terms = encode_queries(self._queries[first:last])
            found = self._segment.search(terms, 0, offsets - offsets[0], document[here].astype(np.int32))
            scores[here] = found.extra_scores
        return scores


def fuse(vectors: Vectors, dense: Pool, bm25: Bm25Search) -> Pool:
    """Return the first of each query's candidates by fused rank: reciprocal ranks of both searches, k = ``RRF_K``.

    The pool is as wide as the dense one, and each search goes as deep. Ties stand in the order of the corpus.
    """
    parts = [
        _fuse_block(dense.documents[first : first + _QUERIES], bm25, first)
        for first in range(0, len(dense.documents), _QUERIES)
    ]
    return scored_pool(vectors, np.concatenate(parts))


def _fuse_block(dense: IntArray, bm25: Bm25Search, first: int) -> IntArray:
    queries, width = dense.shape
    size = bm25.documents
    lists = [dense, bm25.best(first, first + queries, width)]
    keys = [(documents + np.arange(queries)[:, None] * size)[documents >= 0] for documents in lists]
    ranks = [np.nonzero(documents >= 0)[1] + 1 for documents in lists]
    pairs, place = np.unique(np.concatenate(keys), return_inverse=True)
    fused = np.bincount(place, weights=1.0 / (RRF_K + np.concatenate(ranks)), minlength=len(pairs))
    rank = rank_within(pairs // size, fused, np.ones(len(pairs), dtype=np.bool_))
    kept = rank <= width
    documents = np.full((queries, width), -1, dtype=np.int64)
    documents[pairs[kept] // size, rank[kept] - 1] = pairs[kept] % size
    return documents

"""BM25 over segments of a corpus, with the weights of the whole corpus.

``rank_bm25.BM25Okapi`` is the definition (the ATIRE variant of Trotman, Puurula and Burgess, "Improvements
to BM25 and Language Models Examined", ADCS 2014): its defaults are read from its signature, and its idf,
floor for negative values included, is computed by its own code from global counts. The term-frequency part
is computed here. So scores from different segments compare, and equal those of one index over everything.

The steps: ``index_passages`` for each segment, ``merge_statistics`` over all of them,
``Bm25Segment.from_postings``, ``encode_queries`` and ``search``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
from rank_bm25 import BM25Okapi

from hardneg.transforms.retrieval.bm25.index import Array, Postings, QueryTerms, Statistics, Stored, digest_bytes, weigh


class SearchResult(NamedTuple):
    """The best rows of each query, and the scores of the rows that were asked for.

    Attributes:
        offsets: int64 (queries + 1,).
        rows: int32 (results,), by score (as float32) descending, then row ascending.
        scores: float32 (results,).
        extra_scores: float32, one for each of ``extra_rows``; 0.0 where no term is shared.
    """

    offsets: Array
    rows: Array
    scores: Array
    extra_scores: Array


class Bm25Engine(Protocol):
    """An opened index of one segment: ``Bm25Segment``, or ``RankBm25Engine`` for the library itself."""

    def search(
        self,
        queries: QueryTerms,
        k: int,
        extra_offsets: Array | None = None,
        extra_rows: Array | None = None,
        threads: int | None = None,
    ) -> SearchResult:
        """Return the best ``k`` rows of each query, and the scores of the extra rows, as ``search`` does."""


@dataclass(frozen=True, eq=False)
class Bm25Segment(Stored):
    """The weighed index of a segment, in memory or mapped from files.

    Attributes:
        terms, offsets, documents: as in ``Postings``.
        impacts: float32 or float64 (postings,), what one occurrence of the term in a query adds.
        passages: how many the segment has.
    """

    terms: Array
    offsets: Array
    documents: Array
    impacts: Array
    passages: int

    @classmethod
    def from_postings(cls, postings: Postings, statistics: Statistics) -> Self:
        """Return the segment, ready to be searched or written."""
        impacts = weigh(postings, statistics)
        return cls(postings.terms, postings.offsets, postings.documents, impacts, len(postings.lengths))

    def __len__(self) -> int:
        return self.passages

    def search(
        self,
        queries: QueryTerms,
        k: int,
        extra_offsets: Array | None = None,
        extra_rows: Array | None = None,
        threads: int | None = None,
    ) -> SearchResult:
        """Call the function ``search`` with this segment."""
        return search(self, queries, k, extra_offsets, extra_rows, threads)


def search(
    segment: Bm25Segment,
    queries: QueryTerms,
    k: int,
    extra_offsets: Array | None = None,
    extra_rows: Array | None = None,
    threads: int | None = None,
) -> SearchResult:
    """Return the best k passages of the segment for each query, and the scores of given others.

    A passage that shares no term with the query is never among the best, whatever the others' scores; one
    that does always may be, even with a score of zero or less. Not a bit depends on how the corpus is cut,
    on the other queries or on the number of threads.

    Args:
        segment: from ``Bm25Segment.from_postings`` or ``Bm25Segment.open``.
        queries: from ``encode_queries``.
        k: how many, at most.
        extra_offsets: int64 (queries + 1,), which of ``extra_rows`` belong to each query.
        extra_rows: int32, rows whose scores are wanted as well, in any order.
        threads: how many to use; by default what ``numba.get_num_threads`` says.

    Raises:
        ValueError: the extra rows do not fit the queries or the segment.
    """
    import numba  # not above: importing it takes longer than a command that only prints its help

    from hardneg.transforms.retrieval.bm25.kernel import search_block

    count = len(queries.offsets) - 1
    extra_offsets, extra_rows = _checked_extra(extra_offsets, extra_rows, count, len(segment))
    width = min(max(k, 0), len(segment))
    rows = np.zeros((count, width), np.int32)
    scores = np.zeros((count, width), np.float32)
    found = np.zeros(count, np.int64)
    extra_scores = np.zeros(len(extra_rows), np.float32)

    kernel = search_block(segment.impacts.dtype)
    threads = max(1, min(threads or numba.get_num_threads(), count))
    arguments = (
        _plain(segment.terms, np.uint64),
        _plain(segment.offsets, np.int64),
        _plain(segment.documents, np.int32),
        _plain(segment.impacts, segment.impacts.dtype),
        len(segment),
        *(_plain(queries.offsets, np.int64), _plain(queries.terms, np.uint64), _plain(queries.counts, np.int32)),
        *(extra_offsets, extra_rows),
        threads,
        *(rows, scores, found, extra_scores),
    )
    # Threads of our own, not numba's: its portable thread pool ends the process when two threads (of a Beam
    # worker, say) enter a parallel kernel at once, and its OpenMP one forbids to fork afterwards.
    with ThreadPoolExecutor(max_workers=threads) as pool:
        others = [pool.submit(kernel, *arguments, first) for first in range(1, threads)]
        kernel(*arguments, 0)
        for other in others:
            other.result()
    kept = np.arange(width) < found[:, None]
    return SearchResult(np.append(0, np.cumsum(found)), rows[kept], scores[kept], extra_scores)


class RankBm25Engine:
    """rank_bm25 itself over a segment: the reference, and an engine for small corpora.

    The library indexes the segment's token bags; then its idf and its average length are replaced by those
    of the corpus, so that segments agree.
    """

    def __init__(self, postings: Postings, statistics: Statistics) -> None:
        self._postings = postings
        names = digest_bytes(postings.terms)
        bags: list[list[bytes]] = [[] for _ in range(len(postings.lengths))]
        for name, first, last in zip(names, postings.offsets[:-1], postings.offsets[1:], strict=True):
            documents, frequencies = postings.documents[first:last], postings.frequencies[first:last]
            for row, frequency in zip(documents.tolist(), frequencies.tolist(), strict=True):
                bags[row].extend([name] * frequency)
        self._position = {name: position for position, name in enumerate(names)}
        self._model = BM25Okapi(bags) if names else None  # without a token the library divides by zero
        if self._model is not None:
            self._model.idf = dict(zip(digest_bytes(statistics.terms), statistics.idf.tolist(), strict=True))
            self._model.avgdl = statistics.average_length

    def __len__(self) -> int:
        return len(self._postings.lengths)

    def search(
        self,
        queries: QueryTerms,
        k: int,
        extra_offsets: Array | None = None,
        extra_rows: Array | None = None,
        threads: int | None = None,
    ) -> SearchResult:
        """Do what the function ``search`` does, in one thread."""
        count = len(queries.offsets) - 1
        extra_offsets, extra_rows = _checked_extra(extra_offsets, extra_rows, count, len(self))
        extra_scores = np.zeros(len(extra_rows), np.float32)
        rows, scores = [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        found = np.zeros(count, np.int64)
        names = digest_bytes(queries.terms)
        for query in range(count):
            part = range(queries.offsets[query], queries.offsets[query + 1])
            known = [term for term in part if names[term] in self._position]
            if self._model is None or not known:
                continue
            bag = [names[term] for term in known for _ in range(queries.counts[term])]
            query_scores = self._model.get_scores(bag).astype(np.float32)
            extra = slice(extra_offsets[query], extra_offsets[query + 1])
            extra_scores[extra] = query_scores[extra_rows[extra]]
            sharing = np.unique(np.concatenate([self._documents(names[term]) for term in known]))
            best = sharing[np.lexsort((sharing, -query_scores[sharing]))][: max(k, 0)]
            rows.append(best)
            scores.append(query_scores[best])
            found[query] = len(best)
        offsets = np.append(0, np.cumsum(found))
        return SearchResult(offsets, np.concatenate(rows), np.concatenate(scores), extra_scores)

    def _documents(self, name: bytes) -> Array:
        position = self._position[name]
        return self._postings.documents[self._postings.offsets[position] : self._postings.offsets[position + 1]]


def _checked_extra(
    extra_offsets: Array | None, extra_rows: Array | None, queries: int, passages: int
) -> tuple[Array, Array]:
    """Return int64 (queries + 1,) and int32 arrays; no rows if none are given."""
    if extra_offsets is None or extra_rows is None:
        return np.zeros(queries + 1, np.int64), np.zeros(0, np.int32)
    offsets, rows = np.asarray(extra_offsets), np.asarray(extra_rows)
    steps = np.diff(offsets)
    if len(offsets) != queries + 1 or offsets[0] != 0 or offsets[-1] != len(rows) or (steps < 0).any():
        raise ValueError(f"the extra offsets do not cut {len(rows)} rows into {queries} queries")
    if len(rows) and (rows.min() < 0 or rows.max() >= passages):
        raise ValueError(f"extra rows from {rows.min()} to {rows.max()} in a segment of {passages} passages")
    return _plain(offsets, np.int64), _plain(rows, np.int32)


def _plain(values: Array, dtype: npt.DTypeLike) -> Array:
    """Return the same memory as a plain contiguous array: a memory map is another class."""
    return np.ascontiguousarray(values, dtype)

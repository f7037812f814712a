"""BM25 indexing: posting lists of segments, statistics of the whole corpus, and the weights they give.

A term is known by the 16-byte BLAKE2b digest of its string, as two unsigned 64-bit integers (the digest's
bytes, big-endian): ``uint64 (n, 2)``, whose order is the order of the bytes. Fixed-width, so that terms can
be memory-mapped and searched, and the same in every segment without a common vocabulary.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import os
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from rank_bm25 import BM25Okapi

from hardneg.errors import RunError

Array = npt.NDArray[Any]

_DEFAULTS = inspect.signature(BM25Okapi.__init__).parameters
K1: float = _DEFAULTS["k1"].default
B: float = _DEFAULTS["b"].default
EPSILON: float = _DEFAULTS["epsilon"].default

AT_ONCE = 1 << 20  # postings or terms whose temporaries are in memory together


class TermCounts(NamedTuple):
    """What a segment contributes to the statistics of the corpus.

    Attributes:
        terms: uint64 (terms, 2), ascending digests.
        document_frequencies: int64 (terms,), in how many passages each occurs.
        passages: how many, those without a token included.
        tokens: the sum of their lengths.
    """

    terms: Array
    document_frequencies: Array
    passages: int
    tokens: int


@dataclass(frozen=True, eq=False)
class Stored:
    """A dataclass of arrays and numbers that is written as one ``FIELD.npy`` each, and mapped back."""

    def write(self, folder: Path | str) -> None:
        """Write the fields into a folder, which is made if need be.

        A file that is there is replaced, not overwritten: it may be mapped, even by this very object.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for field in fields(self):
            scratch = folder / f".{field.name}.{os.getpid()}.npy"
            np.save(scratch, getattr(self, field.name), allow_pickle=False)
            os.replace(scratch, folder / f"{field.name}.npy")

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Return what was written, its arrays mapped from the files, read-only.

        Raises:
            RunError: a file is missing or does not hold an array.
        """
        values: dict[str, Any] = {}
        for field in fields(cls):
            path = Path(folder) / f"{field.name}.npy"
            try:
                value = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise RunError(
                    f"BM25 index file {path}: it cannot be read ({error}); delete its folder and run again."
                ) from error
            values[field.name] = value if value.ndim else value.item()
        return cls(**values)


@dataclass(frozen=True, eq=False)
class Postings(Stored):
    """The inverted index of a segment: for each term the passages that hold it, and how often.

    Attributes:
        terms: uint64 (terms, 2), ascending digests.
        offsets: int64 (terms + 1,), where each term's postings begin and end.
        documents: int32 (postings,), rows of the segment, ascending within a term.
        frequencies: int32 (postings,).
        lengths: int32 (passages,), tokens of each passage.
    """

    terms: Array
    offsets: Array
    documents: Array
    frequencies: Array
    lengths: Array

    def counts(self) -> TermCounts:
        """Return this segment's part of the statistics."""
        tokens = int(self.lengths.sum(dtype=np.int64))
        return TermCounts(self.terms, np.diff(self.offsets), len(self.lengths), tokens)


@dataclass(frozen=True, eq=False)
class Statistics(Stored):
    """What BM25 needs to know of the whole corpus.

    Attributes:
        passages: how many.
        tokens: the sum of their lengths.
        terms: uint64 (terms, 2), ascending digests.
        document_frequencies: int64 (terms,).
        idf: float64 (terms,), rank_bm25's.
        average_length: tokens per passage; 0.0 for a corpus without passages.
    """

    passages: int
    tokens: int
    terms: Array
    document_frequencies: Array
    idf: Array
    average_length: float


class QueryTerms(NamedTuple):
    """The distinct terms of each query, in ascending order of their digests.

    Attributes:
        offsets: int64 (queries + 1,).
        terms: uint64 (query terms, 2).
        counts: int32 (query terms,), how often the query has the term.
    """

    offsets: Array
    terms: Array
    counts: Array


def term_digests(terms: Iterable[str]) -> Array:
    """Return uint64 (n, 2): the digests of these strings, in their order."""
    joined = b"".join(hashlib.blake2b(term.encode("utf-8"), digest_size=16).digest() for term in terms)
    return np.frombuffer(joined, ">u8").astype(np.uint64).reshape(-1, 2)


def digest_bytes(digests: Array) -> list[bytes]:
    """Return digests as the 16 bytes that BLAKE2b gave."""
    joined = digests.astype(">u8").tobytes()
    return [joined[i : i + 16] for i in range(0, len(joined), 16)]


def index_passages(tokens: Iterable[Sequence[str]]) -> Postings:
    """Return the postings of the passages, whose rows are their positions in ``tokens``."""
    terms, term_of_token, lengths = _encode(tokens)
    width = max(len(lengths), 1)
    keys = term_of_token * width
    del term_of_token
    keys += np.repeat(np.arange(len(lengths)), lengths)
    postings, frequencies = _distinct(keys)
    return Postings(
        terms=terms,
        offsets=np.searchsorted(postings, np.arange(len(terms) + 1) * width).astype(np.int64),
        documents=(postings % width).astype(np.int32),
        frequencies=frequencies,
        lengths=lengths.astype(np.int32),
    )


def encode_queries(tokens: Iterable[Sequence[str]]) -> QueryTerms:
    """Return the terms of the queries; those that no passage has are simply not found later."""
    terms, term_of_token, lengths = _encode(tokens)
    width = max(len(terms), 1)
    query_terms, counts = _distinct(np.repeat(np.arange(len(lengths)), lengths) * width + term_of_token)
    offsets = np.searchsorted(query_terms, np.arange(len(lengths) + 1) * width).astype(np.int64)
    return QueryTerms(offsets, terms[query_terms % width], counts)


def merge_counts(parts: Iterable[tuple[Array, Array, int, int]], at_once: int = AT_ONCE) -> TermCounts:
    """Add up what segments contribute; their order and number make no difference.

    Only ``at_once`` terms, or a small multiple of the distinct ones, are in memory, if ``parts`` is a generator.
    """
    merged = TermCounts(np.zeros((0, 2), np.uint64), np.zeros(0, np.int64), 0, 0)
    waiting: list[TermCounts] = []
    for part in parts:
        waiting.append(TermCounts(*part))
        if sum(len(counts.terms) for counts in waiting) > max(at_once, len(merged.terms)):
            merged, waiting = _sum_counts([merged, *waiting]), []
    return _sum_counts([merged, *waiting])


def _sum_counts(parts: Sequence[TermCounts]) -> TermCounts:
    terms = np.concatenate([part.terms for part in parts])
    frequencies = np.concatenate([part.document_frequencies for part in parts])
    order = np.lexsort((terms[:, 1], terms[:, 0]))
    terms, frequencies = terms[order], frequencies[order]
    is_first = np.ones(len(terms), bool)
    is_first[1:] = (terms[1:] != terms[:-1]).any(axis=1)
    if len(terms):
        frequencies = np.add.reduceat(frequencies, np.flatnonzero(is_first))
    return TermCounts(
        terms[is_first], frequencies, sum(part.passages for part in parts), sum(part.tokens for part in parts)
    )


def merge_statistics(parts: Iterable[tuple[Array, Array, int, int]]) -> Statistics:
    """Return the statistics of the corpus that these parts (``TermCounts``) make up.

    The library averages the idf over all terms in the order it is given them: here ascending digests, so
    that not a bit depends on how the corpus was cut. A corpus without a token has no terms and no idf.
    """
    terms, frequencies, passages, tokens = merge_counts(parts)
    model = BM25Okapi.__new__(BM25Okapi)  # its constructor would want the corpus
    model.corpus_size, model.epsilon, model.idf = passages, EPSILON, {}
    if len(terms):  # the library divides by their number
        model._calc_idf(dict(enumerate(frequencies.tolist())))
    return Statistics(
        passages=passages,
        tokens=tokens,
        terms=terms,
        document_frequencies=frequencies,
        idf=np.fromiter(model.idf.values(), np.float64, len(terms)),
        average_length=tokens / passages if passages else 0.0,
    )


def weigh(postings: Postings, statistics: Statistics, at_once: int = AT_ONCE) -> Array:
    """Return what each posting adds to the score of its passage, for one occurrence in the query.

    float32, whose rounding is far below the promised 1e-5 as long as everything that is added is positive.
    If some idf is negative (that of a tiny or degenerate corpus, whose average is), sums may cancel: float64.

    Raises:
        ValueError: the statistics lack a term of the postings, so they are of another corpus.
    """
    positions = find_terms(statistics.terms, postings.terms)
    if (positions < 0).any():
        raise ValueError(f"the statistics lack {(positions < 0).sum()} of the segment's {len(positions)} terms")
    idf = statistics.idf[positions]
    impacts = np.empty(len(postings.documents), np.float64 if (statistics.idf < 0).any() else np.float32)
    offsets = np.asarray(postings.offsets)
    cuts = np.searchsorted(offsets, np.arange(0, len(impacts), at_once), side="right") - 1
    for first, last in itertools.pairwise(np.unique([*cuts, len(idf)])):
        part = slice(offsets[first], offsets[last])
        frequencies = postings.frequencies[part].astype(np.float64)
        lengths = postings.lengths[postings.documents[part]].astype(np.float64)
        idf_of_posting = np.repeat(idf[first:last], np.diff(offsets[first : last + 1]))
        saturated = frequencies + K1 * (1 - B + B * lengths / statistics.average_length)
        impacts[part] = idf_of_posting * (frequencies * (K1 + 1) / saturated)
    return impacts


def find_terms(terms: Array, wanted: Array) -> Array:
    """Return the positions of digests among ascending digests, int64, -1 for those that are not there."""
    if not len(terms):
        return np.full(len(wanted), -1)
    positions = np.searchsorted(terms[:, 0], wanted[:, 0])
    while True:
        inside = np.minimum(positions, len(terms) - 1)
        found = terms[inside]
        behind = (found[:, 0] == wanted[:, 0]) & (found[:, 1] < wanted[:, 1]) & (positions == inside)
        if not behind.any():  # two terms with the same first half are all but impossible, not quite
            return np.where((found == wanted).all(axis=1), inside, -1)
        positions[behind] += 1


def _encode(tokens: Iterable[Sequence[str]]) -> tuple[Array, Array, Array]:
    """Return the distinct terms' ascending digests, int64 each token's place among them, int64 lengths."""
    vocabulary: defaultdict[str, int] = defaultdict()
    vocabulary.default_factory = vocabulary.__len__
    numbers, lengths = array("i"), array("q")
    for text in tokens:
        numbers.extend(map(vocabulary.__getitem__, text))
        lengths.append(len(text))
    digests = term_digests(vocabulary)
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return digests[order], places[np.asarray(numbers)], np.asarray(lengths)


def _distinct(keys: Array) -> tuple[Array, Array]:
    """Return the distinct keys, ascending, and int32 how often each occurs."""
    distinct, counts = np.unique(keys, return_counts=True)
    return distinct, counts.astype(np.int32)

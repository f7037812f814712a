"""A dataset of (anchor, positive) rows and a corpus, as distinct texts and the pairs between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hardneg.transforms.core.arrays import IntArray


@dataclass(frozen=True, eq=False)
class Pairs:
    """Distinct texts, and each distinct pair of a query and a positive once.

    Attributes:
        queries: distinct, as they first come.
        corpus: distinct; the corpus given, then the positives that it lacks.
        query: int64 (pairs,), ascending; the pair's query.
        document: int64 (pairs,); its positive's place in the corpus; of one query, as they first come.
        row: int64 (pairs,); the first row of the dataset that has the pair.
        max_positives: rows of the query that has most, repeated ones included.
    """

    queries: list[str]
    corpus: list[str]
    query: IntArray
    document: IntArray
    row: IntArray
    max_positives: int

    @cached_property
    def starts(self) -> IntArray:
        """Where each query's pairs begin, and the end: int64 (queries + 1,)."""
        return np.searchsorted(self.query, np.arange(len(self.queries) + 1)).astype(np.int64)

    def positive_among(self, documents: IntArray) -> np.ndarray:
        """Return which of each query's documents are its positives: bool, in their shape, (queries, n)."""
        size = len(self.corpus)
        rows = np.arange(len(self.queries), dtype=np.int64)[:, None]
        found = np.isin(rows * size + documents, self.query * size + self.document)
        return found & (documents >= 0)

    def lowest(self, scores: np.ndarray) -> np.ndarray:
        """Return the lowest of each query's values, one a pair: (queries,)."""
        return np.minimum.reduceat(scores, self.starts[:-1])


def corpus_texts(corpus: Any) -> list[str] | None:
    """Return the texts of a corpus; None if there is none.

    Raises:
        ValueError: it is no collection of texts: a mapping would give its keys, a string its letters.
    """
    if corpus is None:
        return None
    kind = type(corpus).__name__
    if isinstance(corpus, Mapping):
        raise ValueError(
            f"corpus must be a list of texts, got a {kind}: give its texts alone, one string a document, and its keys "
            "as corpus_ids."
        )
    if isinstance(corpus, str | bytes) or not isinstance(corpus, Iterable):
        raise ValueError(f"corpus must be a list of texts, got a {kind}.")
    texts = list(corpus)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"corpus must be a list of texts, and its entry {place} is a {type(text).__name__}.")
    return texts


def read_pairs(anchors: Sequence[Any], positives: Sequence[Any], corpus: Sequence[str] | None) -> Pairs:
    """Return the distinct texts and pairs of a dataset's rows.

    Raises:
        ValueError: a row lacks its anchor or its positive.
    """
    for name, texts in (("anchor", anchors), ("positive", positives)):
        if None in texts:
            raise ValueError(f"Row {texts.index(None)} of the dataset has no {name}.")
    documents = list(dict.fromkeys([*(corpus or ()), *positives]))
    queries = list(dict.fromkeys(anchors))
    query_place = {text: place for place, text in enumerate(queries)}
    place = {text: row for row, text in enumerate(documents)}
    first: dict[tuple[int, int], int] = {}
    for row, (anchor, positive) in enumerate(zip(anchors, positives, strict=True)):
        first.setdefault((query_place[anchor], place[positive]), row)
    table = np.array([(*pair, row) for pair, row in first.items()], dtype=np.int64)
    table = table[np.argsort(table[:, 0], kind="stable")]
    return Pairs(queries, documents, table[:, 0], table[:, 1], table[:, 2], max(Counter(anchors).values()))

"""The candidates of each query: the best of the corpus by a live model's similarity, found block by block.

Never more than a block of queries times a slice of the corpus is in memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from hardneg.transforms.core.arrays import IntArray

_QUERIES, _DOCUMENTS = 1024, 16384  # whose similarities are in memory together: 64 MB
_PAIRS = 16384  # whose embeddings are


@dataclass(frozen=True, eq=False)
class Vectors:
    """A live model and what it made of the texts.

    Attributes:
        model: gives ``similarity`` and ``similarity_pairwise``.
        queries: shape (queries, d).
        corpus: shape (documents, d).
    """

    model: Any
    queries: np.ndarray
    corpus: np.ndarray

    def pairwise(self, query: IntArray, document: IntArray) -> np.ndarray:
        """Return the model's similarity of pairs, float32 (n,)."""
        parts = [np.empty(0, np.float32)]
        for start in range(0, len(query), _PAIRS):
            part = slice(start, start + _PAIRS)
            theirs = torch.as_tensor(self.corpus[document[part]])
            parts.append(_float32(self.model.similarity_pairwise(self.queries[query[part]], theirs)))
        return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class Pool:
    """The candidates of each query, in order of retrieval.

    Attributes:
        documents: int64 (queries, width); -1 behind the last.
        scores: float32 (queries, width); -inf there.
    """

    documents: IntArray
    scores: np.ndarray

    @property
    def filled(self) -> np.ndarray:
        """Which places hold a candidate: bool (queries, width)."""
        return self.documents >= 0

    def scores_of(self, documents: IntArray) -> np.ndarray:
        """Return the scores of some of each query's candidates, float32, -inf for -1, in the shape of ``documents``."""
        scores = np.full(documents.shape, -np.inf, dtype=np.float32)
        for column, wanted in enumerate(documents.T):
            rows = np.flatnonzero(wanted >= 0)
            place = (self.documents[rows] == wanted[rows, None]).argmax(axis=1)
            scores[rows, column] = self.scores[rows, place]
        return scores


def search(vectors: Vectors, width: int, at_once: int, show: bool) -> Pool:
    """Return each query's ``width`` most similar documents.

    Args:
        vectors: the model and the embeddings.
        width: candidates a query.
        at_once: queries at a time, at most.
        show: whether to draw a progress bar.
    """
    device = torch.device(vectors.model.device)
    size = min(at_once, _QUERIES)
    parts = []
    starts = range(0, len(vectors.queries), size)
    for start in tqdm(starts, desc="Computing similarity scores", disable=not show):
        parts.append(_search_block(vectors, vectors.queries[start : start + size], width, device))
    return _pool(parts, width)


def _search_block(vectors: Vectors, queries: np.ndarray, width: int, device: torch.device) -> tuple[np.ndarray, ...]:
    mine: Any = queries if device.type == "cpu" else torch.as_tensor(queries, device=device)
    best = torch.empty((len(queries), 0), device=device)
    documents = torch.empty((len(queries), 0), dtype=torch.int64, device=device)
    for start in range(0, len(vectors.corpus), _DOCUMENTS):
        theirs = torch.as_tensor(vectors.corpus[start : start + _DOCUMENTS], device=device)
        scores = vectors.model.similarity(mine, theirs).to(device).float()
        scores, rows = torch.topk(scores, k=min(width, scores.shape[1]), dim=1)
        best, documents = torch.cat([best, scores], dim=1), torch.cat([documents, rows + start], dim=1)
        best, place = torch.topk(best, k=min(width, best.shape[1]), dim=1)
        documents = documents.gather(1, place)
    return documents.cpu().numpy(), best.cpu().numpy()


def search_faiss(vectors: Vectors, faiss: Any, width: int, at_once: int, show: bool) -> Pool:
    """Return each query's ``width`` best by FAISS; their scores are the model's similarity all the same.

    Arguments as of ``search``; ``faiss``: the module.
    """
    index = faiss.IndexFlatIP(vectors.corpus.shape[1])
    # A build for GPUs may find none that works, or no room: the index in memory does then.
    with contextlib.suppress(Exception):
        options = faiss.GpuMultipleClonerOptions()
        options.shard = options.useFloat16 = True
        index = faiss.index_cpu_to_all_gpus(index, co=options)
    index.add(vectors.corpus)
    starts = range(0, len(vectors.queries), at_once)
    found = [
        index.search(vectors.queries[start : start + at_once], k=width)[1]
        for start in tqdm(starts, desc="Querying FAISS index", disable=not show)
    ]
    documents = np.concatenate(found).astype(np.int64)
    return scored_pool(vectors, documents)


def scored_pool(vectors: Vectors, documents: IntArray) -> Pool:
    """Return the pool of documents, int64 (queries, width), with the model's similarities."""
    scores = np.full(documents.shape, -np.inf, dtype=np.float32)
    query, place = np.nonzero(documents >= 0)
    scores[query, place] = vectors.pairwise(query, documents[query, place])
    return Pool(documents, scores)


def _pool(parts: Iterable[tuple[np.ndarray, ...]], width: int) -> Pool:
    """Join blocks; fill them up where the corpus has fewer documents than the pool is wide."""
    found, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    documents = np.full((len(found), width), -1, dtype=np.int64)
    scores = np.full((len(found), width), -np.inf, dtype=np.float32)
    documents[:, : found.shape[1]], scores[:, : found.shape[1]] = found, values
    return Pool(documents, scores)


def _float32(values: Any) -> np.ndarray:
    return torch.as_tensor(values).detach().float().cpu().numpy()

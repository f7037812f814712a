"""Dense search in one segment: a matrix product preselects, an exact pairwise similarity decides."""

from __future__ import annotations

import numpy as np

# Passages per matrix product: 256 queries x 8,192 passages of float32 are 8 MB.
_CHUNK = 8192


def similarity(queries: np.ndarray, passages: np.ndarray) -> np.ndarray:
    """Return the cosine of normalised embeddings, pair by pair, as it is ranked, judged and written.

    A matrix product's last bits depend on the sizes of both matrices; a sum over one pair does not.

    Args:
        queries: float32, shape (n, d).
        passages: float32, shape (n, d).

    Returns:
        float32, shape (n,): summed in float64, then rounded.
    """
    wide = queries.astype(np.float64)
    wide *= passages
    return wide.sum(-1).astype(np.float32)


def pair_similarities(
    queries: np.ndarray, query_rows: np.ndarray, passages: np.ndarray, passage_rows: np.ndarray
) -> np.ndarray:
    """Return ``similarity`` of the pairs (queries[query_rows[i]], passages[passage_rows[i]]), float32."""
    result = np.empty(len(query_rows), dtype=np.float32)
    for start in range(0, len(query_rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        result[part] = similarity(queries[query_rows[part]], passages[passage_rows[part]])
    return result


def search_dense(queries: np.ndarray, passages: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each query's exact top k of a segment, as pairs in no particular order.

    Ties at rank k are broken by row number, that is, by passage id.

    Args:
        queries: L2-normalised, float32, shape (q, d).
        passages: L2-normalised, float32, shape (n, d); may be memory-mapped.
        k: how many to keep.

    Returns:
        query rows and passage rows, int64, at most ``k`` pairs a query.
    """
    if not len(queries) or not len(passages):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    query_rows, passage_rows = _preselect(queries, passages, k)
    scores = pair_similarities(queries, query_rows, passages, passage_rows)
    order = np.lexsort((passage_rows, -scores, query_rows))
    return _first_of_each(query_rows[order], passage_rows[order], k)


def _preselect(queries: np.ndarray, passages: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return every pair whose exact similarity can be among its query's top k, by query.

    A float32 dot product of unit vectors is off by at most about d * 2**-24, whatever its summation order, and
    rounding the exact similarity and the norms adds a little; all within twice that of the k-th best are kept.
    """
    kept = _Kept(len(queries), k, np.float32(2 * (queries.shape[1] + 4) * 2.0**-24))
    for start in range(0, len(passages), _CHUNK):
        product = queries @ np.asarray(passages[start : start + _CHUNK]).T
        if not start and product.shape[1] > k:
            kept.raise_floor(product)  # or else all of the first chunk would be kept
        flat = np.flatnonzero(product >= kept.floor[:, None])  # faster than nonzero of two dimensions
        found, rows = np.divmod(flat, product.shape[1])
        kept.put(found, rows + start, product.ravel()[flat])
    return kept.pairs()


class _Kept:
    """What may be among each query's best so far: the k best, and all that is within the slack of the k-th.

    Attributes:
        floor: float32 (queries,); what scores below is out.
    """

    def __init__(self, queries: int, k: int, slack: np.float32) -> None:
        self.floor = np.full(queries, -np.inf, dtype=np.float32)
        self._k, self._slack = k, slack
        self._many = 2 * k  # of a query; then it is cut to its best
        self._counts = np.zeros(queries, dtype=np.int64)
        self._scores = np.full((queries, self._many), -np.inf, dtype=np.float32)
        self._rows = np.zeros((queries, self._many), dtype=np.int64)

    def raise_floor(self, scores: np.ndarray) -> None:
        """Raise the floor to the k-th best of some scores, shape (queries, at least k), less the slack."""
        kth = np.partition(scores, scores.shape[1] - self._k, axis=1)[:, scores.shape[1] - self._k]
        self.floor = np.maximum(self.floor, kth - self._slack)

    def put(self, query: np.ndarray, rows: np.ndarray, scores: np.ndarray) -> None:
        """Keep some pairs, sorted by query."""
        counts = self._counts + np.bincount(query, minlength=len(self._counts))
        short = int(counts.max(initial=0)) - self._scores.shape[1]
        if short > 0:
            self._scores = np.pad(self._scores, ((0, 0), (0, short)), constant_values=-np.inf)
            self._rows = np.pad(self._rows, ((0, 0), (0, short)))
        place = self._counts[query] + np.arange(len(query)) - np.searchsorted(query, query)
        self._scores[query, place], self._rows[query, place] = scores, rows
        self._counts = counts
        if counts.max(initial=0) > self._many:
            self._prune()

    def _prune(self) -> None:
        self.raise_floor(self._scores)
        query, place = np.nonzero((self._scores >= self.floor[:, None]) & np.isfinite(self._scores))
        rows, scores = self._rows[query, place], self._scores[query, place]
        self._counts = np.zeros_like(self._counts)
        self._many = max(self._many, 2 * int(np.bincount(query).max(initial=0)))  # where that many are as good
        self._scores = np.full((len(self._counts), self._many), -np.inf, dtype=np.float32)
        self._rows = np.zeros(self._scores.shape, dtype=np.int64)
        self.put(query, rows, scores)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return query rows and passage rows of all that is kept, by query."""
        if (self._counts > self._k).any():
            self._prune()
        query, place = np.nonzero(np.arange(self._scores.shape[1]) < self._counts[:, None])
        return query, self._rows[query, place]


def _first_of_each(query_rows: np.ndarray, passage_rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Keep the first ``k`` pairs of each query; pairs stand sorted by query."""
    place = np.arange(len(query_rows)) - np.searchsorted(query_rows, query_rows)
    keep = place < k
    return query_rows[keep], passage_rows[keep]

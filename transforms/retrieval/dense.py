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
    """Return every pair whose exact similarity can be among its query's top k.

    A float32 dot product of unit vectors is off by at most about d * 2**-24, whatever its summation order, and
    rounding the exact similarity and the norms adds a little; all within twice that of the k-th best are kept.
    """
    slack = np.float32(2 * (queries.shape[1] + 4) * 2.0**-24)
    floor = np.full(len(queries), -np.inf, dtype=np.float32)  # k-th best so far, less the slack
    kept_rows: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(queries)
    kept_scores: list[np.ndarray] = [np.empty(0, dtype=np.float32)] * len(queries)
    for start in range(0, len(passages), _CHUNK):
        product = queries @ np.asarray(passages[start : start + _CHUNK]).T
        hits = product >= floor[:, None]
        for query in np.flatnonzero(hits.any(1)):
            rows = np.flatnonzero(hits[query])
            scores = np.concatenate([kept_scores[query], product[query, rows]])
            rows = np.concatenate([kept_rows[query], rows + start])
            if len(scores) > k:
                floor[query] = np.partition(scores, len(scores) - k)[len(scores) - k] - slack
                keep = scores >= floor[query]
                rows, scores = rows[keep], scores[keep]
            kept_rows[query], kept_scores[query] = rows, scores
    counts = [len(rows) for rows in kept_rows]
    return np.repeat(np.arange(len(queries)), counts), np.concatenate(kept_rows)


def _first_of_each(query_rows: np.ndarray, passage_rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Keep the first ``k`` pairs of each query; pairs stand sorted by query."""
    place = np.arange(len(query_rows)) - np.searchsorted(query_rows, query_rows)
    keep = place < k
    return query_rows[keep], passage_rows[keep]

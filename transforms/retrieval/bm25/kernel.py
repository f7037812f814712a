"""The compiled part of BM25 search: exhaustive scoring over posting lists, and the selection of the best.

The scores of one query stand in one dense array, one float64 per passage of the segment, which fits a
processor's cache for segments of the usual size. Every passage sums its terms in the order of the query, so
a score depends on nothing but the passage, the query and the weights.

The loops index with unsigned integers: numba otherwise tests every index for being negative, which costs
more than the addition itself.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

# float32 keeps 24 bits of a float64's 53: all float64 that round to one float32 lie within 2**29 units.
_ROUNDING = 1 << 29
_KEY_LOW = 0xFFFFFFFF
_SIGN = 0x80000000
# Below this share of the segment, listing the passages that were touched beats looking at all of them.
_SPARSE = 8


@numba.njit(nogil=True)
def find_term(terms, high, low):
    """Return the position of a digest in the sorted digests, or -1."""
    first, last = 0, len(terms)
    while first < last:
        middle = (first + last) >> 1
        if terms[middle, 0] < high or (terms[middle, 0] == high and terms[middle, 1] < low):
            first = middle + 1
        else:
            last = middle
    if first < len(terms) and terms[first, 0] == high and terms[first, 1] == low:
        return first
    return -1


@numba.njit(nogil=True)
def _select_largest(values, length, k):
    """Reorder ``values[:length]`` so that its k largest come first, in no order (Hoare's quickselect)."""
    left, right = 0, length - 1
    while left < right:
        first, middle, last = values[left], values[(left + right) >> 1], values[right]
        pivot = max(min(first, middle), min(max(first, middle), last))
        i, j = left, right
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            right = j
        elif k - 1 >= i:
            left = i
        else:
            return


@numba.njit(nogil=True)
def _rank_key(score, row, single):
    """Return one integer that orders passages: by score as float32, then by row, the smallest first.

    ``single`` is a float32 array of one element: through a view of it one sees the bits of a number.
    """
    single[0] = np.float32(score)
    bits = single.view(np.uint32)[0]
    ordered = ~bits if bits & np.uint32(_SIGN) else bits | np.uint32(_SIGN)
    return (np.uint64(ordered) << np.uint64(32)) | np.uint64(_KEY_LOW - row)


@numba.njit(nogil=True)
def _add_postings(scores, documents, impacts, count):
    for i in range(len(documents)):
        scores[np.uint32(documents[i])] += count * np.float64(impacts[i])


@numba.njit(nogil=True)
def _find_threshold(score_bits, chunk, maxima, scratch, k):
    """Fill ``maxima``, one a chunk, and return bits that each of the best k scores reaches; scores >= 0.

    The k-th largest maximum is reached by k passages at least. Floats that are not negative order as their
    bits do, and a maximum of integers is one that the compiler turns into vector instructions.
    """
    positive = 0
    for c in range(len(maxima)):
        largest = score_bits[c * chunk]
        for i in range(c * chunk + 1, (c + 1) * chunk):
            largest = max(largest, score_bits[np.uint64(i)])
        maxima[c] = largest
        scratch[positive] = largest
        positive += largest > 0
    if positive <= k:
        return np.int64(1)
    _select_largest(scratch, positive, k)
    kth = scratch[0]
    for i in range(k):
        kth = min(kth, scratch[i])
    return max(kth - np.int64(_ROUNDING), np.int64(1))  # the order is decided after rounding to float32


@numba.njit(nogil=True)
def _collect_dense(scores, chunk, maxima, scratch, k, single, keys):
    """Put the keys of all passages that may be among the best k into ``keys``; return how many.

    For positive weights, where a passage that shares no term is one whose score is 0.
    """
    bits = scores.view(np.int64)
    threshold = _find_threshold(bits, chunk, maxima, scratch, k)
    collected = 0
    for c in range(len(maxima)):
        if maxima[c] >= threshold:
            for i in range(c * chunk, (c + 1) * chunk):
                if bits[i] >= threshold:
                    keys[collected] = _rank_key(scores[i], i, single)
                    collected += 1
    return collected


@numba.njit(nogil=True)
def _collect_listed(scores, documents, starts, ends, known, touched, listed, single, keys):
    """Put the keys of all passages that share a term into ``keys``; return how many.

    For any weights: a score may be 0 or less. ``touched`` is all 0 before and after.
    """
    collected = 0
    for t in range(known):
        for p in range(starts[t], ends[t]):
            row = np.uint32(documents[p])
            listed[collected] = row  # stays if the row is new: no branch to mispredict
            collected += 1 - touched[row]
            touched[row] = 1
    for i in range(collected):
        row = listed[i]
        keys[i] = _rank_key(scores[row], row, single)
        touched[row] = 0
    return collected


@numba.njit(nogil=True)
def _write_best(keys, collected, k, single, rows, scores):
    """Write the best k of ``keys[:collected]`` in order; return how many there are."""
    best = min(collected, k)
    if 0 < best < collected:
        _select_largest(keys, collected, best)
    ascending = keys[:best]
    ascending.sort()
    bits = single.view(np.uint32)
    for i in range(best):
        key = ascending[best - 1 - i]
        ordered = np.uint32(key >> np.uint64(32))
        bits[0] = ordered ^ np.uint32(_SIGN) if ordered & np.uint32(_SIGN) else ~ordered
        rows[i] = _KEY_LOW - np.int64(key & np.uint64(_KEY_LOW))
        scores[i] = single[0]
    return best


def uncompiled_search(
    terms,
    offsets,
    documents,
    impacts,
    passages,
    query_offsets,
    query_terms,
    query_counts,
    extra_offsets,
    extra_rows,
    step,
    rows,
    scores,
    found,
    extra_scores,
    first_query,
):
    """Answer the queries ``first_query``, ``first_query + step``, ...

    Writes ``rows`` and ``scores`` (queries, k), ``found`` (how many of the k) and ``extra_scores``, which
    are zero where nothing is written.
    """
    k = rows.shape[1]
    # Enough chunks for the best k to be in different ones mostly, long enough for vector instructions.
    chunk = min(128, max(16, passages // (4 * max(k, 1)) // 16 * 16))
    chunks = (passages + chunk - 1) // chunk
    sums = np.zeros(chunks * chunk, np.float64)
    maxima = np.empty(chunks, np.int64)
    scratch = np.empty(chunks + 1, np.int64)
    touched = np.zeros(passages, np.uint8)
    listed = np.empty(passages + 1, np.uint32)
    keys = np.empty(passages, np.uint64)
    single = np.empty(1, np.float32)
    most = 0
    for q in range(first_query, len(query_offsets) - 1, step):
        most = max(most, query_offsets[q + 1] - query_offsets[q])
    starts, ends = np.empty(most, np.int64), np.empty(most, np.int64)

    for q in range(first_query, len(query_offsets) - 1, step):
        known, postings, all_positive = 0, 0, True
        for t in range(query_offsets[q], query_offsets[q + 1]):
            term = find_term(terms, query_terms[t, 0], query_terms[t, 1])
            if term < 0:
                continue
            start, end = offsets[term], offsets[term + 1]
            _add_postings(sums, documents[start:end], impacts[start:end], np.float64(query_counts[t]))
            starts[known], ends[known] = start, end
            known += 1
            postings += end - start
            all_positive &= impacts[start] > 0  # a term's impacts all have the sign of its idf
        if known == 0:
            continue
        for e in range(extra_offsets[q], extra_offsets[q + 1]):
            extra_scores[e] = sums[extra_rows[e]]
        if all_positive and k > 0 and postings * _SPARSE > passages:
            collected = _collect_dense(sums, chunk, maxima, scratch, k, single, keys)
            sums[:] = 0
        else:
            collected = _collect_listed(sums, documents, starts, ends, known, touched, listed, single, keys)
            for i in range(collected):
                sums[listed[i]] = 0
        found[q] = _write_best(keys, collected, k, single, rows[q], scores[q])


_compiling = threading.Lock()  # a cache alone would let each of several first callers compile


def search_block(impacts_dtype: np.dtype[Any]) -> Callable[..., None]:
    """Return ``uncompiled_search`` compiled for impacts of this type, from the disk cache where there is one."""
    with _compiling:
        return compile_search(impacts_dtype)


@functools.cache
def compile_search(impacts_dtype: np.dtype[Any]) -> Callable[..., None]:
    """Compile for one signature, with read-only arrays.

    So a memory map and an array in memory run the same machine code: numba would compile once for each.
    """

    def array(dtype: Any, dimensions: int = 1, readonly: bool = True) -> Any:
        return types.Array(numba.from_dtype(np.dtype(dtype)), dimensions, "C", readonly=readonly)

    signature = types.void(
        array(np.uint64, 2),
        array(np.int64),
        array(np.int32),
        array(impacts_dtype),
        types.int64,
        array(np.int64),
        array(np.uint64, 2),
        array(np.int32),
        array(np.int64),
        array(np.int32),
        types.int64,
        array(np.int32, 2, readonly=False),
        array(np.float32, 2, readonly=False),
        array(np.int64, readonly=False),
        array(np.float32, readonly=False),
        types.int64,
    )
    try:
        return numba.njit(signature, nogil=True, cache=True)(uncompiled_search)
    except (RuntimeError, OSError):  # no folder for the cache that can be written, or the disk is full
        return numba.njit(signature, nogil=True)(uncompiled_search)

"""Exact dense search against faiss `IndexFlatIP`, in one run on one machine (pip install faiss-cpu).

    python -m benchmarks.dense [--passages 100000] [--width 384] [--queries 1 100 2000] [--k 100]

Unit vectors drawn with a seed, a third of the queries' near a passage's. Both get float32 matrices in memory and give
each query's best k, the same rows but for ties in the last bits; they take turns, and the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
from functools import partial
from importlib.metadata import version

import numpy as np

from benchmarks.turns import taking_turns
from hardneg.transforms.retrieval.dense import search_dense


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 100, 2000])
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    import faiss

    draw = np.random.default_rng(0)
    passages = _unit(draw.standard_normal((given.passages, given.width), dtype=np.float32))
    index = faiss.IndexFlatIP(given.width)
    index.add(passages)
    print(f"{given.passages:,} passages x {given.width}, {os.cpu_count()} cores, faiss {version('faiss-cpu')}")
    for number in given.queries:
        queries = draw.standard_normal((number, given.width), dtype=np.float32)
        near = draw.choice(given.passages, -(-number // 3))
        queries[: len(near)] = passages[near] * np.sqrt(given.width) + queries[: len(near)]
        queries = _unit(queries)
        ours = search_dense(queries, passages, given.k)
        same = _shared(number, ours, index.search(queries, given.k)[1])
        mine, its = map(
            statistics.median,
            taking_turns(
                given.rounds, partial(search_dense, queries, passages, given.k), partial(index.search, queries, given.k)
            ),
        )
        print(
            f"{number:6,} queries: hardneg {1000 * mine / number:8.3f} ms a query, faiss {1000 * its / number:8.3f}, "
            f"faiss / hardneg {its / mine:.2f}; {same:.4%} of the rows are the same"
        )


def _unit(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values / np.linalg.norm(values, axis=1, keepdims=True), dtype=np.float32)


def _shared(number: int, ours: tuple[np.ndarray, np.ndarray], theirs: np.ndarray) -> float:
    """Return the share of faiss's rows that are ours too."""
    found = set(zip(ours[0].tolist(), ours[1].tolist(), strict=True))
    pairs = [(query, int(row)) for query in range(number) for row in theirs[query]]
    return sum(pair in found for pair in pairs) / len(pairs)


if __name__ == "__main__":
    main()

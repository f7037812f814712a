"""BM25 search against bm25s (numba backend) and rank_bm25, in one run on one machine.

    python -m benchmarks.bm25 --data FOLDER

FOLDER has the BEIR layout. Indexes are built and texts tokenised beforehand: what is timed begins with lists
of tokens and ends with the rows and scores of the best. The two fast engines take turns, so that another load
on the machine meets both. rank_bm25 answers only the first few queries.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import bm25s
import numpy as np
from rank_bm25 import BM25Okapi

from hardneg.transforms.core.text import cut_digest, passage_string
from hardneg.transforms.core.tokenization import make_tokenizer
from hardneg.transforms.retrieval.bm25.index import K1, B, encode_queries, index_passages, merge_statistics
from hardneg.transforms.retrieval.bm25.search import Bm25Segment, SearchResult, search

Bags = list[list[str]]


def read(folder: Path, queries: int) -> tuple[Bags, Bags]:
    """Return the tokens of all passages and of the queries whose ids have the smallest digests."""
    tokenize = make_tokenizer()
    with (folder / "corpus.jsonl").open(encoding="utf-8") as file:
        passages = [tokenize(passage_string(row.get("title"), row["text"])) for row in map(json.loads, file)]
    with (folder / "queries.jsonl").open(encoding="utf-8") as file:
        rows = sorted(map(json.loads, file), key=lambda row: cut_digest(row["_id"]))
    return passages, [tokenize(row["text"]) for row in rows[:queries]]


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def processor() -> str:
    """Return the processor's name, from where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder in the BEIR layout")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rank-bm25-queries", type=int, default=20)
    options = parser.parse_args()
    k, threads = options.k, options.threads
    passages, queries = read(options.data, options.queries)

    postings = index_passages(passages)
    segment = Bm25Segment.from_postings(postings, merge_statistics([postings.counts()]))
    other = bm25s.BM25(k1=K1, b=B, method="atire", backend="numba")
    other.index(passages, show_progress=False)
    library = BM25Okapi(passages)

    def ours(asked: Bags = queries) -> SearchResult:
        return search(segment, encode_queries(asked), k, threads=threads)

    def theirs(asked: Bags = queries) -> object:
        return other.retrieve(asked, k=k, n_threads=threads, show_progress=False)

    ours(queries[:50]), theirs(queries[:50])  # both compile on their first call
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(options.runs)]
    few = queries[: options.rank_bm25_queries]
    rows = range(len(passages))
    slow = seconds(lambda: [library.get_top_n(query, rows, n=k) for query in few])

    found = ours(few)
    difference = 0.0
    for q, query in enumerate(few):
        part = slice(found.offsets[q], found.offsets[q + 1])
        expected = library.get_scores(query)[found.rows[part]]
        difference = max(difference, float(np.max(np.abs(found.scores[part] / expected - 1), initial=0.0)))

    mine = statistics.median(pair[0] for pair in pairs) / len(queries)
    its = statistics.median(pair[1] for pair in pairs) / len(queries)
    reference = slow / len(few)
    print(
        f"{options.data.name}: {len(passages):,} passages, {len(queries):,} queries, top {k}\n"
        f"{processor()}, {threads} threads; Python {platform.python_version()}, numpy {version('numpy')}, "
        f"numba {version('numba')}, bm25s {version('bm25s')}, rank-bm25 {version('rank-bm25')}\n\n"
        f"{'engine':<28}{'ms a query':>12}{'hardneg / it':>14}{'it / hardneg':>14}\n"
        f"{'hardneg':<28}{mine * 1e3:>12.3f}\n"
        f"{'bm25s, numba':<28}{its * 1e3:>12.3f}{mine / its:>14.2f}{its / mine:>14.1f}\n"
        f"{f'rank_bm25 ({len(few)} queries)':<28}{reference * 1e3:>12.1f}{mine / reference:>14.5f}"
        f"{reference / mine:>14,.0f}\n\n"
        f"medians of {options.runs} alternating runs (rank_bm25: mean over its queries); seconds a run: "
        + ", ".join(f"{a:.3f} / {b:.3f}" for a, b in pairs)
        + f"\nlargest relative difference of a score from rank_bm25's: {difference:.1e}"
    )


if __name__ == "__main__":
    main()

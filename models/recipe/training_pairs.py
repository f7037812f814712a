"""Make the scored pairs that the bundled cross-encoder learns from, of mined runs of the training collections.

    python models/recipe/training_pairs.py --runs RUNS --output pairs.parquet

Each query gives three pairs: its positive (score 1), a candidate of the first ten ranks, and one of a later rank or a
passage that was not found at all (score 0). A candidate's score is 0.45 times how near its similarity comes to that of
positives, so the model learns the bi-encoder's order below what is labelled relevant. What the run suspects to be an
unlabelled positive is left out. HELD_OUT queries get their first twenty candidates instead, to be judged by.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.transforms.core.text import cut_digest, normalise
from hardneg.transforms.training.training_pairs import PAIRS, RERANKED

QUERIES = {"squad11": 3000, "cmrc2018": 3500, "debian_packages": 2000, "docstrings": 2000}
LONGEST = {"docstrings": 600, "debian_packages": 600}  # characters of a passage
WINDOW, WINDOW_SHARE = 220, 0.7  # most Chinese passages are cut to the part that shares most with the query
HELD_OUT = 60
FIRST_RANKS = 10

Pair = tuple[str, str, float]


def read(run: Path) -> tuple[pa.Table, dict[str, str], dict[str, str]]:
    """Return the candidates, sorted by query and rank, and the texts of queries and passages by id."""
    columns = ["query_id", "passage_id", "fused_rank", "similarity_dense", "verdict"]
    candidates = pq.read_table(run / "candidates", columns=columns)
    texts = []
    for kind, name in (("queries", "query_id"), ("passages", "passage_id")):
        table = pq.read_table(run / kind, columns=[name, "text"])
        texts.append(dict(zip(table[name].to_pylist(), table["text"].to_pylist(), strict=True)))
    return candidates.sort_by([("query_id", "ascending"), ("fused_rank", "ascending")]), texts[0], texts[1]


def pairs_of(name: str, run: Path) -> dict[int, list[Pair]]:
    """Return by the query's digest its pairs: the positive first, then candidates, best first, then one not found."""
    candidates, queries, passages = read(run)
    similarity = candidates["similarity_dense"].to_numpy()
    verdicts = np.array(candidates["verdict"].to_pylist(), dtype=object)
    ids = np.array(candidates["query_id"].to_pylist(), dtype=object)
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    low = float(np.mean(np.minimum.reduceat(similarity, starts)))
    high = float(np.mean(similarity[verdicts == "positive"]))
    scores = 0.45 * np.clip((similarity - low) / (high - low), 0, 1)
    passage_ids = candidates["passage_id"].to_pylist()
    every = list(passages)
    found: dict[int, list[Pair]] = {}
    for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
        query = queries[ids[start]]
        digest = cut_digest(normalise(query))
        drawn = np.random.default_rng(digest)
        rows = range(start, end)
        pairs = [(query, passages[passage_ids[row]], 1.0) for row in rows if verdicts[row] == "positive"][:1]
        pairs += [
            (query, passages[passage_ids[row]], float(scores[row])) for row in rows if verdicts[row] == "negative"
        ]
        near = {passage_ids[row] for row in rows}
        far = next(passage for place in drawn.integers(len(every), size=99) if (passage := every[place]) not in near)
        found[digest] = [
            (query, shortened(name, query, passage, drawn), score)
            for query, passage, score in [*pairs, (query, passages[far], 0.0)]
        ]
    return dict(sorted(found.items())[: QUERIES[name]])


def shortened(name: str, query: str, passage: str, drawn: np.random.Generator) -> str:
    if name != "cmrc2018":
        return passage[: LONGEST.get(name, 10_000)]
    if len(passage) <= WINDOW or drawn.random() > WINDOW_SHARE:
        return passage
    wanted = {query[place : place + 2] for place in range(len(query) - 1)}
    hits = np.array([passage[place : place + 2] in wanted for place in range(len(passage))], dtype=np.int64)
    sums = np.convolve(hits, np.ones(WINDOW, dtype=np.int64), "valid")
    best = np.flatnonzero(sums == sums.max())
    start = int(best[len(best) // 2])
    return passage[start : start + WINDOW]


def chosen(pairs: list[Pair], digest: int) -> list[Pair]:
    """Return a query's pairs to learn from."""
    drawn = np.random.default_rng(digest)
    positive, *candidates, far = pairs
    first, later = candidates[:FIRST_RANKS], candidates[FIRST_RANKS:]
    rest = later if later and drawn.random() < 0.5 else [far]
    return [positive, *(group[int(drawn.integers(len(group)))] for group in (first, rest) if group)]


def table_of(collections: Mapping[str, dict[int, list[Pair]]]) -> pa.Table:
    together: dict[int, list[Pair]] = {}
    for found in collections.values():
        together |= found
    complete = {digest: pairs for digest, pairs in together.items() if pairs[0][2] == 1.0}
    held_out = set(sorted(complete)[:HELD_OUT])
    rows = [
        pair
        for digest, pairs in sorted(complete.items())
        for pair in (pairs[: RERANKED + 1] if digest in held_out else chosen(pairs, digest))
    ]
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=PAIRS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="a folder with a mined run for each collection")
    parser.add_argument("--output", type=Path, required=True, help="a Parquet file")
    args = parser.parse_args()
    table = table_of({name: pairs_of(name, args.runs / name) for name in QUERIES})
    pq.write_table(table, args.output)
    print(f"{len(table):,} pairs of {len(set(table['query'].to_pylist())):,} queries")


if __name__ == "__main__":
    sys.exit(main())

"""Rows that meet, in another row of their batch, what is relevant to their query: counted from a run's files alone.

    python -m benchmarks.batches RUN ... [--batch-size 64] [--truth FILE]

Shares no code with what lays the rows out. ``triplets/`` is read in the order of its files, batch by batch; what is
relevant to a query, or may be, is read from ``candidates/``: its positives, its suspected positives, and what was
dropped as one of them in other words. The same is counted of the rows when shuffled, by twenty seeds. --truth adds
judgements that the run was not told of (query-id, corpus-id, score): what they say is in the second figure.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

KINDS = {"positive", "suspected_positive"}
REASONS = {"positive_of_equal_query", "partially_relevant", "equal_to_positive", "near_duplicate", "same_group"}
REASONS |= {"marked_relevant"}
SEEDS = 20

Relevant = dict[str, set[str]]


def rows_of(run: Path, table: str, columns: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted((run / table).glob("*.parquet")):
        found += pq.read_table(path, columns=columns).to_pylist()
    return found


def same(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def relevant_of(run: Path, truth: Path | None) -> Relevant:
    """Return the texts that are, or may be, relevant to each query, by its text."""
    queries = {row["query_id"]: same(row["text"]) for row in rows_of(run, "queries", ["query_id", "text"])}
    passages = {row["passage_id"]: same(row["text"]) for row in rows_of(run, "passages", ["passage_id", "text"])}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows_of(run, "candidates", ["query_id", "passage_id", "verdict", "reason"]):
        if row["verdict"] in KINDS or (row["verdict"] == "dropped" and row["reason"] in REASONS):
            found[queries[row["query_id"]]].add(passages[row["passage_id"]])
    if truth is not None:
        with truth.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file, delimiter="\t"):
                if line["query-id"] in queries and line["corpus-id"] in passages and float(line["score"]) > 0:
                    found[queries[line["query-id"]]].add(passages[line["corpus-id"]])
    return found


def meeting(rows: list[tuple[str, set[str]]], relevant: Relevant, size: int) -> int:
    """Return how many rows meet, in another row of their batch, what is relevant to their query."""
    met = 0
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        shown = Counter(text for _, texts in batch for text in texts)
        for anchor, texts in batch:
            met += any(shown[text] > (text in texts) for text in relevant.get(anchor, ()))
    return met


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--truth", type=Path, help="judgements that the run was not told of")
    args = parser.parse_args(argv)
    print("| run | triplets | met, in order | the manifest says | met, at random | in truth, in order | at random |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for run in args.runs:
        names = ["anchor", "positive", "negative"]
        texts = ([same(row[name]) for name in names] for row in rows_of(run, "triplets", names))
        rows = [(anchor, set(shown)) for anchor, *shown in texts]
        said = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["triplets_too_close"]
        cells: list[str] = []
        for truth in (None, args.truth):
            if truth is None and cells:
                cells += ["", ""]
                break
            relevant = relevant_of(run, truth)
            shuffled = []
            for seed in range(SEEDS):
                order = random.Random(seed).sample(rows, len(rows))
                shuffled.append(meeting(order, relevant, args.batch_size))
            cells += [f"{meeting(rows, relevant, args.batch_size):,}", f"{sum(shuffled) / SEEDS:,.1f}"]
        print(f"| {run.name} | {len(rows):,} | {cells[0]} | {said:,} | {cells[1]} | {cells[2]} | {cells[3]} |")


if __name__ == "__main__":
    main()

"""Mine hard negatives from the documentation of the installed libraries, and show what came out.

Run by ``make demo``: about four minutes on two cores, nothing is downloaded. Everything lands in ./demo.
"""

from __future__ import annotations

import json
import math
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset
from demo_data import build
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hardneg.pipelines.cli import run as hardneg
from hardneg.transforms.core.text import cut_digest

DATA = Path("demo", "data")
OUT = Path("demo", "out")
SHOWN = 5
# Shown first where they have negatives: pairs of functions that everybody can judge.
WELL_KNOWN = ("what-is-numpy.sort", "what-is-numpy.argsort", "what-is-pandas.read_sas")

# Three negatives a query instead of five: documentation has few passages that are near *and* not relevant, so
# the fourth and fifth cost as many scored pairs as the first three, and show nothing new. Forty queries to calibrate
# on, with twenty candidates of each retriever: so it takes minutes on two cores. Forty positives can support 10 %,
# and not the default of 2 %.
COMMAND = ["mine", "--input", str(DATA), "--split", "train", "--output", str(OUT), "--overwrite"]
COMMAND += ["--bi-encoder", "bundled", "--cross-encoder", "bundled", "--negatives", "3", "--k", "20"]
COMMAND += ["--calibration-queries", "40", "--target-false-negative-rate", "0.1"]

Row = dict[str, Any]


def rows(folder: Path) -> list[Row]:
    """Return the rows of a folder of Parquet shards."""
    return pyarrow.dataset.dataset(folder, format="parquet").to_table().to_pylist()


def mine() -> int:
    """Run the command that a user would; return its exit code."""
    print(f"\n$ hardneg {shlex.join(COMMAND)}\n", flush=True)
    # In this process: a child would go on when this one is killed.
    return hardneg(COMMAND)


def triplets_to_show(output: Path) -> Iterator[tuple[Row, Row, Row | None]]:
    """Yield, for a few triplets, the candidates rows of the positive, the negative, and what was set aside.

    One triplet a query: its hardest negative. Set aside is the most similar passage that the cross-encoder
    suspects to be relevant: what mining without a judge would have taken. Each row also carries its texts.
    """
    queries = {row["query_id"]: row["text"] for row in rows(output / "queries")}
    passages = {row["passage_id"]: row["text"] for row in rows(output / "passages")}
    written = {(row["anchor"], row["positive"], row["negative"]) for row in rows(output / "triplets")}
    by_query: dict[str, list[Row]] = {}
    for row in rows(output / "candidates"):
        # Only what is in a triplet must have its text in passages/.
        row |= {"query": queries[row["query_id"]], "passage": passages.get(row["passage_id"])}
        row["similarity"] = next((row[name] for name in row if name.startswith("similarity_")), None)
        by_query.setdefault(row["query_id"], []).append(row)

    def place(query_id: str) -> tuple[int, int]:
        known = WELL_KNOWN.index(query_id) if query_id in WELL_KNOWN else len(WELL_KNOWN)
        return known, cut_digest(query_id)

    shown = 0
    for query_id in sorted(by_query, key=place):
        candidates = sorted(by_query[query_id], key=lambda row: -(row["similarity"] or -1.0))
        negative = next((row for row in candidates if row["selected"] == 1), None)
        positive = next((row for row in candidates if row["verdict"] == "positive"), None)
        if negative is None or positive is None:
            continue
        if (positive["query"], positive["passage"], negative["passage"]) not in written:
            continue
        suspects = (row for row in candidates if row["verdict"] == "suspected_positive" and row["passage"])
        yield positive, negative, next(suspects, None)
        shown += 1
        if shown == SHOWN:
            return


def triplet_table(output: Path) -> Table:
    """Return the triplets as a table: queries in full, one line a passage, cut where the terminal ends."""
    table = Table(box=None, padding=(0, 1, 0, 0), expand=True, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
    for name in ("logit", "sigmoid", "similarity"):
        table.add_column(name, justify="right", no_wrap=True)

    def number(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    def add(label: str, style: str, row: Row) -> None:
        name, _, text = row["passage"].partition(" ")
        logit = row["logit"]
        sigmoid = None if logit is None else 1.0 / (1.0 + math.exp(-logit))
        scores = number(logit, 2), number(sigmoid, 3), number(row["similarity"], 3)
        table.add_row(Text(label, style), Text.assemble((name, style), " ", text), *scores)

    for positive, negative, suspect in triplets_to_show(output):
        table.add_row()
        table.add_row(Text("query", "bold"), Text(positive["query"], "bold", no_wrap=False, overflow="fold"))
        add("positive", "green", positive)
        add("negative", "red", negative)
        if suspect is not None:
            add("set aside", "yellow", suspect)
    return table


def count_lines(counts: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield (label, figure) for each count of a manifest, nested ones indented below their label."""
    for name, value in counts.items():
        label = "  " * depth + name.replace("_", " ")
        if isinstance(value, dict):
            yield label, ""
            yield from count_lines(value, depth + 1)
        else:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            yield label, f"{value:,}" if is_number else str(value)


def show(output: Path, console: Console) -> None:
    """Print triplets, counts, and where the files are."""
    console.rule("Triplets, with what was set aside", style="dim")
    console.print(triplet_table(output))
    console.print(
        "\nset aside: the most similar passage that is not a known positive but may well answer the query.\n"
        "Without a judge it would have become a negative. The judge here is small: it errs on both sides.",
        style="dim",
    )
    console.print()
    console.rule("Counts", style="dim")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    for label, figure in count_lines(manifest.get("counts", {})):
        table.add_row(Text(label), figure)
    console.print(table)
    console.print()
    console.rule("Files", style="dim")
    what = {
        "triplets": "anchor, positive, negative: for a trainer",
        "candidates": "every retrieved passage of every query, its scores, its verdict and the reason",
        "suspect_pairs": "pairs for a person to look at: is this passage relevant?",
        "queries": "the queries' texts",
        "passages": "the passages' texts",
        "report.html": "a page to look at: what was kept, what was not, and why",
        "judge.json": "the judge and its threshold, for version control and --judge-file",
        "manifest.json": "options, versions, counts, seconds, checksums",
        "README.md": "the data set's card",
    }
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for name, meaning in what.items():
        if (output / name).exists():
            table.add_row(Text(str(output / name)), meaning)
    console.print(table)
    console.print()


def main() -> int:
    """Make the data set, mine, and show; return the exit code."""
    console = Console()
    start = time.perf_counter()
    console.rule("A data set from the documentation of the installed libraries", style="dim")
    build(DATA, print)
    code = mine()
    if code:
        return code
    print()
    show(OUT, console)
    console.print(f"The demo took {time.perf_counter() - start:.0f} seconds.", highlight=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the command has said where it left things
        sys.exit(130)

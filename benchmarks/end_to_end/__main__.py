"""How long does mining take from start to end, beside sentence-transformers' miner with the same models?

    python -m benchmarks.end_to_end --data FOLDER --work WORK [--split train] [--queries 100] [--more 1000 8508]

Both miners are given the queries of the smallest digests, all passages, the bundled models in the same dtype, and are
asked for five negatives a query; each runs in a process of its own, one after the other, from start to end. The peer
has its recommended margin and its own default range; if its default dtype, float32, is another, it is measured in
that too. What larger numbers of queries take (`--more`) is reckoned, not run: of the peer, its scoring grows with the
queries; of hardneg, the calibration sample has at most 400 queries, and each further one takes what a query of the
sample tried until it had its negatives, and its positive. One JSON line a number of queries goes to
`WORK/end_to_end.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.cut import cut_of, write
from hardneg.transforms.models.spec import ModelSpec

SAMPLE = 400  # queries of the calibration sample, at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--more", type=int, nargs="*", default=[])
    given = parser.parse_args()
    folder = given.work / f"{given.data.name}_{given.queries}"
    shutil.rmtree(folder, ignore_errors=True)
    write(folder, *cut_of(given.data, given.split, given.queries))
    dtype = ModelSpec("cross-encoder", "bundled").resolved().dtype
    ours = hardneg(folder, given.work / "run")
    peers = {each: peer(folder, each) for each in dict.fromkeys((dtype, "float32"))}
    lines = [{"reckoned": False, **line(given.queries, ours, peers)}]
    for queries in given.more:
        theirs = {each: at(queries, measured, given.queries) for each, measured in peers.items()}
        lines.append({"reckoned": True, **line(queries, ours_at(queries, ours, given.queries), theirs)})
    said = {"data": given.data.name, "cores": os.cpu_count(), "dtype": dtype, "peer": version("sentence-transformers")}
    with (given.work / "end_to_end.jsonl").open("a", encoding="utf-8") as file:
        for each in lines:
            file.write(json.dumps({**said, **each}) + "\n")
            print(sentence({**said, **each}))


def hardneg(folder: Path, output: Path) -> dict[str, Any]:
    """Mine with hardneg at its defaults; return seconds, the models' among them, and counts."""
    command = [sys.executable, "-m", "hardneg.pipelines.cli", "mine", "--input", str(folder), "--output", str(output)]
    shutil.rmtree(output, ignore_errors=True)
    start = time.perf_counter()
    subprocess.run([*command, "--negatives", "5"], check=True)
    seconds = time.perf_counter() - start
    manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    sample, figures = manifest["denoising"]["sample"], manifest["denoising"]["figures"]
    positives = sample["positives"] / sample["queries"]
    return {
        "seconds": seconds,
        "score": manifest["seconds"].get("score", 0.0),
        "pairs_scored": manifest["counts"]["pairs_scored"],
        "triplets": manifest["counts"]["triplets"],
        "each": figures["tried"] + positives,
    }


def peer(folder: Path, dtype: str) -> dict[str, Any]:
    """Mine with the peer; return what it printed, with the seconds of its whole process."""
    command = [sys.executable, "-m", "benchmarks.end_to_end.peer", str(folder), dtype]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "seconds": time.perf_counter() - start}


def at(queries: int, measured: dict[str, Any], of: int) -> dict[str, Any]:
    """Return what the peer takes for more queries: its scoring grows with them."""
    grown = {name: measured[name] * queries / of for name in ("score", "pairs_scored", "triplets")}
    return {**grown, "seconds": measured["seconds"] - measured["score"] + grown["score"]}


def ours_at(queries: int, measured: dict[str, Any], of: int) -> dict[str, Any]:
    """Return what hardneg takes for more queries: a sample that does not grow, and what each further one tries."""
    sampled = min(queries, SAMPLE)
    pairs = measured["pairs_scored"] / of * sampled + measured["each"] * (queries - sampled)
    scoring = measured["score"] * pairs / measured["pairs_scored"]
    return {
        "seconds": measured["seconds"] - measured["score"] + scoring,
        "pairs_scored": pairs,
        "triplets": measured["triplets"] * queries / of,
    }


def line(queries: int, ours: dict[str, Any], peers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return both sides' figures and the ratio of their seconds, by the peer's dtype."""
    return {
        "queries": queries,
        "hardneg": ours,
        "peers": peers,
        "faster": {dtype: measured["seconds"] / ours["seconds"] for dtype, measured in peers.items()},
    }


def sentence(said: dict[str, Any]) -> str:
    """Return a line of the result in words."""
    ours = said["hardneg"]
    against = ", ".join(
        f"{said['faster'][dtype]:.2f} times as fast as the peer in {dtype} ({measured['seconds']:,.0f} s, "
        f"{measured['pairs_scored']:,.0f} pairs)"
        for dtype, measured in said["peers"].items()
    )
    how = "reckoned from the first line's rates" if said["reckoned"] else "run"
    return (
        f"{said['data']}, {said['queries']:,} queries ({how}): hardneg {ours['seconds']:,.0f} s, "
        f"{ours['pairs_scored']:,.0f} pairs, in {said['dtype']}; {against}"
    )


if __name__ == "__main__":
    main()

"""Every claim of speed beside the peer's figure of the same run: `make bench DATA=... WORK=...`.

    python -m benchmarks --data DATA --work WORK [--quick]

DATA is a folder of the collections (squad11, banking77, debian_packages). Runs the benchmarks below one after the
other, each in a process of its own; what a collection is missing for is left out, and said. `--quick` takes fewer texts
and queries: about ten minutes on two quiet cores, where the whole takes some hours. Run nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("hardneg", "sentence-transformers", "transformers", "torch", "apache-beam", "bm25s")


@dataclass(frozen=True)
class Question:
    """What is asked, the program that answers, and the collection that it needs."""

    asked: str
    command: list[str]
    collection: str = ""


def questions(data: Path, work: Path, quick: bool) -> Iterator[Question]:
    """Yield what is measured, the quickest first."""
    squad, banking, debian = (data / name for name in ("squad11", "banking77", "debian_packages"))
    rates = ["benchmarks.model_rates", "--data", str(squad), *(["--texts", "128", "--rounds", "2"] if quick else [])]
    yield Question("Models beside the library's own loop", rates, "squad11")
    some = ["--queries", "200", "--runs", "3"] if quick else []
    yield Question("BM25 beside bm25s", ["benchmarks.bm25", "--data", str(squad if quick else debian), *some],
                   "squad11" if quick else "debian_packages")  # fmt: skip
    dense = ["--passages", "20000", "--rounds", "3"] if quick else []
    yield Question("Exact dense search beside faiss (pip install faiss-cpu)", ["benchmarks.dense", *dense])
    number, more = ("20", ["1000"]) if quick else ("100", ["1000", "8508"])
    for folder in (squad, banking):
        told = ["--data", str(folder), "--work", str(work), "--queries", number, "--more", *more]
        yield Question(f"A run from start to end, {folder.name}", ["benchmarks.end_to_end", *told], folder.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    threads = os.environ.get("OMP_NUM_THREADS", "as many as cores")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, OMP_NUM_THREADS {threads}; Python {platform.python_version()}"
    )
    print(", ".join(f"{name} {version(name)}" for name in _LIBRARIES))
    failed = 0
    for question in questions(given.data, given.work, given.quick):
        print(f"\n## {question.asked}\n", flush=True)
        if question.collection and not (given.data / question.collection).is_dir():
            print(f"left out: {given.data} has no {question.collection}")
            continue
        command = [sys.executable, "-m", *question.command]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        print(done.stdout.rstrip())
        if done.returncode:
            failed += 1
            print(f"ended with code {done.returncode}: python -m {' '.join(question.command)}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()

"""What do search and plumbing cost as the corpus grows, in time and memory?

    python -m benchmarks.scale --data DATA/debian_packages --work WORK [--passages 10000 100000 1000000]

Passages are made of sentences drawn from the collection, queries of half of a passage's words, vectors of a static
table derived from the bundled bi-encoder, so that no network runs. Each size is mined with BM25 and the vectors, judge
`bi-encoder`, by `hardneg mine` in a process of its own; its processes' memory is looked at every half second. One JSON
line a size goes to `WORK/scale.jsonl`, and a plot of all lines to `WORK/scale.svg`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.process_cost import cost_of
from benchmarks.scale.made_up import make

_OPTIONS = """
input = {folder}
judge = "bi-encoder"
output = {output}

[[retriever]]
kind = "bm25"

[[retriever]]
kind = "vectors"
name = "table"
vectors = {passages}
query-vectors = {queries}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--passages", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=10_000)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    results = given.work / "scale.jsonl"
    for passages in given.passages:
        measured = measure(given.data, given.work, passages, given.queries)
        print(json.dumps(measured))
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(measured) + "\n")
    plot(given.work / "scale.svg", [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()])


def measure(data: Path, work: Path, passages: int, queries: int) -> dict[str, Any]:
    """Mine a made-up collection of a size; return seconds, bytes of memory, and the run's seconds by stage."""
    folder, output, options = work / f"{passages}_{queries}", work / "run", work / "options.toml"
    if not folder.exists():
        make(data, work / "making", passages, queries)
        (work / "making").rename(folder)
    shutil.rmtree(output, ignore_errors=True)
    paths = {"folder": folder, "output": output, "passages": folder / "p.parquet", "queries": folder / "q.parquet"}
    text = _OPTIONS.format_map({name: json.dumps(str(path.resolve())) for name, path in paths.items()})
    options.write_text(text, encoding="utf-8")
    cost = cost_of([sys.executable, "-m", "hardneg.pipelines.cli", "mine", "--config", str(options)])
    manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    return {
        "passages": passages,
        "queries": queries,
        "cores": os.cpu_count(),
        "seconds": round(cost.seconds, 1),
        "peak_bytes": cost.peak,
        "anonymous_bytes": cost.anonymous,
        "triplets": manifest["counts"]["triplets"],
        "stages": manifest["seconds"],
    }


def plot(path: Path, measured: list[dict[str, Any]]) -> None:
    """Draw seconds and anonymous memory by passages, or say that matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        print(f"{path} was not drawn: it needs matplotlib (pip install matplotlib).")
        return
    matplotlib.use("svg")
    from matplotlib import pyplot

    measured = sorted(measured, key=lambda each: int(each["passages"]))
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    panels = (("seconds", "seconds", 1), ("anonymous_bytes", "anonymous memory, GB, over all processes", 1e9))
    for axis, (name, label, unit) in zip(axes, panels, strict=True):
        axis.plot([each["passages"] for each in measured], [each[name] / unit for each in measured], "o-")
        axis.set(xscale="log", xlabel="passages", ylabel=label, ylim=(0, None))
    figure.savefig(path)


if __name__ == "__main__":
    main()

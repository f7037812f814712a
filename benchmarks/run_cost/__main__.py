"""What a mining run costs: peak memory over all its processes, and the machinery around its models.

    python -m benchmarks.run_cost -- --input DIR --split train --output OUT [options of hardneg mine]

Runs `hardneg mine` with these options and prints, from samples of /proc every half second, the peak of the
proportional set size (PSS) summed over all processes, the largest part of it that is anonymous memory, and,
from the run's manifest, wall time against the seconds spent in models (loading and tokenising included) and in
the two search kernels.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.process_cost import cost_of

# Stages whose seconds are the models' and the search kernels'.
PAID_FOR = ("encode", "score", "search", "check models")


def main() -> None:
    if "--" not in sys.argv or "--output" not in sys.argv:
        sys.exit(__doc__)
    options = sys.argv[sys.argv.index("--") + 1 :]
    cost = cost_of([sys.executable, "-m", "hardneg.pipelines.cli", "mine", *options])
    wall = cost.seconds
    output = options[options.index("--output") + 1]
    manifest = json.loads((Path(output) / "manifest.json").read_text(encoding="utf-8"))
    paid = sum(seconds for stage, seconds in manifest["seconds"].items() if stage.startswith(PAID_FOR))
    print(f"processor            {manifest['processor']}, {os.cpu_count()} cores")
    print(
        f"peak PSS             {cost.peak / 2**30:8.2f} GiB over all processes ({cost.anonymous / 2**30:.2f} anonymous)"
    )
    print(f"wall time            {wall:8.0f} s, from the start of the process to its end")
    print(f"models and search    {paid:8.0f} s")
    print(f"wall / models+search {wall / paid:8.3f}")
    for stage, seconds in manifest["seconds"].items():
        print(f"  {stage:<28} {seconds:8.1f} s")
    counts = manifest["counts"]
    share = counts["pairs_scored"] / max(1, counts["pairs_retrieved"])
    print(f"pairs scored         {counts['pairs_scored']:,} of {counts['pairs_retrieved']:,} retrieved ({share:.1%})")


if __name__ == "__main__":
    main()

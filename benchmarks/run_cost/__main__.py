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
import subprocess
import sys
import time
from pathlib import Path

SAMPLE_SECONDS = 0.5
# Stages whose seconds are the models' and the search kernels'.
PAID_FOR = ("encode", "score", "search", "check models")


def main() -> None:
    if "--" not in sys.argv or "--output" not in sys.argv:
        sys.exit(__doc__)
    options = sys.argv[sys.argv.index("--") + 1 :]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "hardneg.pipelines.cli", "mine", *options])
    peak = peak_anonymous = 0
    while process.poll() is None:
        total, anonymous = _memory(_tree(process.pid))
        peak, peak_anonymous = max(peak, total), max(peak_anonymous, anonymous)
        time.sleep(SAMPLE_SECONDS)
    wall = time.perf_counter() - start
    if process.returncode:
        sys.exit(process.returncode)
    output = options[options.index("--output") + 1]
    manifest = json.loads((Path(output) / "manifest.json").read_text(encoding="utf-8"))
    paid = sum(seconds for stage, seconds in manifest["seconds"].items() if stage.startswith(PAID_FOR))
    print(f"processor            {manifest['processor']}, {os.cpu_count()} cores")
    print(f"peak PSS             {peak / 2**20:8.2f} GiB over all processes ({peak_anonymous / 2**20:.2f} anonymous)")
    print(f"wall time            {wall:8.0f} s, from the start of the process to its end")
    print(f"models and search    {paid:8.0f} s")
    print(f"wall / models+search {wall / paid:8.3f}")
    for stage, seconds in manifest["seconds"].items():
        print(f"  {stage:<28} {seconds:8.1f} s")
    counts = manifest["counts"]
    share = counts["pairs_scored"] / max(1, counts["pairs_retrieved"])
    print(f"pairs scored         {counts['pairs_scored']:,} of {counts['pairs_retrieved']:,} retrieved ({share:.1%})")


def _tree(root: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        process = queue.pop()
        found.append(process)
        queue += children.get(process, [])
    return found


def _memory(processes: list[int]) -> tuple[int, int]:
    """Return (PSS, anonymous PSS) in KiB, summed."""
    total = anonymous = 0
    for process in processes:
        try:
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
                elif line.startswith("Pss_Anon:"):
                    anonymous += int(line.split()[1])
        except OSError:
            continue  # it has just ended
    return total, anonymous


if __name__ == "__main__":
    main()

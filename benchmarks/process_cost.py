"""What a command costs: its seconds, and its peak memory over all of its processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Cost:
    """What a command cost.

    Attributes:
        seconds: from the start of its process to its end.
        peak: bytes of proportional set size, summed over its processes, at most.
        anonymous: the same of what is anonymous: no file's pages.
    """

    seconds: float
    peak: int
    anonymous: int


def cost_of(command: Sequence[str]) -> Cost:
    """Run a command to its end, looking at its processes in /proc every half second; end with it if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    peak = anonymous = 0
    while process.poll() is None:
        now, now_anonymous = _memory(_tree(process.pid))
        peak, anonymous = max(peak, now), max(anonymous, now_anonymous)
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        sys.exit(process.returncode)
    return Cost(time.perf_counter() - start, peak * 1024, anonymous * 1024)


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

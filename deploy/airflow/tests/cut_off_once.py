"""Run hardneg; the first time, kill it with all its workers (-9) as soon as the store holds an embedding.

cut_off_once.py STORE ARGUMENT...: whether it was the first time, a file beside the store says.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main(store: Path, arguments: list[str]) -> int:
    """Return the exit code of the command, or of one that was killed."""
    command = [sys.executable, "-m", "hardneg.pipelines.cli", *arguments]
    mark = store.with_name("cut-off")
    if mark.exists():
        return subprocess.run(command).returncode
    child = subprocess.Popen(command, start_new_session=True)
    while child.poll() is None:
        if any(store.glob("values/embeddings/*/*.parquet")):
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            mark.touch()
            return 128 + signal.SIGKILL
        time.sleep(0.02)
    return child.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

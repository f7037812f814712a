"""A kill of the demo leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# The demo's own step, over a collection of a moment.
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import demo
demo.COMMAND = ["mine", "--corpus", "corpus.jsonl", "--queries", "queries.jsonl", "--qrels", "qrels.tsv"]
demo.COMMAND += ["--bi-encoder", "bundled", "--output", "out"]
sys.exit(demo.mine())
"""


def write_collection(folder: Path) -> None:
    passages = [{"_id": f"p{n}", "text": f"passage {n} of the collection"} for n in range(200)]
    queries = [{"_id": f"q{n}", "text": f"query {n}"} for n in range(50)]
    for name, rows in (("corpus", passages), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "qrels.tsv").write_text("".join(f"q{n}\tp{n}\t1\n" for n in range(50)), encoding="utf-8")


def of_session(session: int) -> list[int]:
    """Return the processes of a session that are not dead."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, sid = stat.read_text().rpartition(") ")[2].split()[:4]
        except OSError:
            continue  # it has just ended
        if int(sid) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked up in /proc")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_kill_leaves_nothing_running(sent: signal.Signals, tmp_path: Path) -> None:
    write_collection(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(EXAMPLES)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "out.work").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (tmp_path / "out.work").exists(), "it was to be at work"
        process.send_signal(sent)
        process.wait(30)
        deadline = time.monotonic() + 60
        while of_session(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert of_session(process.pid) == []
    finally:
        if of_session(process.pid):
            os.killpg(process.pid, signal.SIGKILL)

"""Hosts of this machine: a pool of Beam's Python workers each, which sees files as another machine would.

Where the kernel lets us (root on Linux), a host has namespaces of its own: it can't see the folders that are hidden
from it, its scratch folder is its own, and its name and process numbers are another machine's.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_UNSHARE = ("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")


def may_isolate() -> bool:
    """Return whether hosts can have namespaces of their own here."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*_UNSHARE, "true"], capture_output=True).returncode == 0


def free_port() -> int:
    """Return a port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int, seconds: float = 300.0, process: subprocess.Popen | None = None) -> None:
    """Return once somebody listens at a port.

    Raises:
        RuntimeError: nobody does in time, or the process that should has ended.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"what should listen at port {port} ended with {process.returncode}: {process.args}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"nobody listens at port {port} after {seconds:.0f} s")


@dataclass
class Host:
    """One machine with a pool of Python workers.

    Attributes:
        name: the machine's name.
        folder: where its log and its scratch folder lie.
        python: the workers' Python.
        hidden: folders that it can't see.
        isolated: whether it has namespaces of its own; without them, it sees everything.
    """

    name: str
    folder: Path
    python: Path
    hidden: Sequence[Path] = ()
    isolated: bool = False
    port: int = field(default_factory=free_port)
    _pool: subprocess.Popen | None = None

    @property
    def scratch(self) -> Path:
        return self.folder / self.name

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start the pool; Beam starts a worker's process in it for whoever asks."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        pool = [str(self.python), "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={self.port}"]
        command = [*_UNSHARE, "sh", "-c", self._entering(pool)] if self.isolated else pool
        with self.log.open("ab") as log:
            self._pool = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment(), cwd="/", start_new_session=True
            )
        await_port(self.port, process=self._pool)

    def _entering(self, pool: Sequence[str]) -> str:
        hiding = (f"mount -t tmpfs none {shlex.quote(str(path))}" for path in self.hidden)
        return " && ".join([f"hostname {self.name}", *hiding, f"exec {shlex.join(pool)}"])

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HARDNEG_RUN_PROCESS")}
        # A pool starts `python`, whichever the path names.
        path = f"{self.python.parent}:{kept.get('PATH', '')}"
        return kept | {"PATH": path, "TMPDIR": str(self.scratch), "OMP_NUM_THREADS": "1"}

    def run(self, program: str) -> str:
        """Run a Python program where the pool runs; return what it prints."""
        command = [str(self.python), "-c", program]
        if self.isolated:
            assert self._pool is not None
            command = ["nsenter", f"--target={self._pool.pid}", "--mount", "--uts", *command]
        done = subprocess.run(command, env=self._environment(), cwd="/", capture_output=True, text=True, check=True)
        return done.stdout

    def kill(self) -> None:
        """End the host at once, with all its processes, as a machine that loses its power does."""
        if self._pool is None:
            return
        os.killpg(self._pool.pid, signal.SIGKILL)
        self._pool.wait()
        self._pool = None

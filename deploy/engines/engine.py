"""An engine behind Beam's job API, with workers on hosts of this machine: what a test, or a person, runs jobs on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hosts import Host, await_port, free_port

HERE = Path(__file__).parent


@dataclass
class Engine:
    """A job server, two hosts, and one address of their workers.

    Attributes:
        name: ``local-service`` (Beam's Python job server) or ``prism``.
        folder: of logs and scratch folders.
        hosts: where the workers are.
        command: starts the job server at a port that is put for PORT.
        beam: options of the job beside the addresses.
    """

    name: str
    folder: Path
    hosts: Sequence[Host]
    command: Sequence[str]
    beam: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    workers_port: int = field(default_factory=free_port)
    _started: list[subprocess.Popen] = field(default_factory=list)

    @property
    def options(self) -> list[str]:
        """What stands after ``--`` of a command."""
        return [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{self.port}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{self.workers_port}",
            *self.beam,
        ]

    def start(self) -> None:
        """Start hosts, the address of their workers, and the job server."""
        for host in self.hosts:
            host.start()
        pools = [str(host.port) for host in self.hosts]
        self._run("workers", [sys.executable, str(HERE / "spread.py"), str(self.workers_port), *pools])
        self._run("job-server", [part.replace("PORT", str(self.port)) for part in self.command])
        await_port(self.workers_port, process=self._started[0])
        await_port(self.port, process=self._started[1])

    def _run(self, name: str, command: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._started.append(
                subprocess.Popen(command, stdout=log, stderr=log, cwd="/", env=_plain(), start_new_session=True)
            )

    def stop(self) -> None:
        """End all of it."""
        for process in self._started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._started.clear()
        for host in self.hosts:
            host.kill()


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HARDNEG_RUN_PROCESS")}


def local_service(folder: Path, hosts: Sequence[Host]) -> Engine:
    """Return Beam's Python engine behind its job server, with a worker on each host."""
    return Engine(
        "local-service", folder, hosts, (sys.executable, str(HERE / "local_service.py"), "PORT", str(len(hosts)))
    )


def prism(folder: Path, hosts: Sequence[Host], binary: Path) -> Engine:
    """Return Prism, which is to become Beam's local engine: in Go, with one worker whatever there is."""
    command = (str(binary), "-job_port=PORT", "-serve_http=false", "-log_kind=text")
    return Engine("prism", folder, hosts, command)

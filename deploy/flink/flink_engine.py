"""Flink as an engine of ``deploy/engines``: a cluster, Beam's job server before it, pools of workers on two hosts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engines"))

from engine import Engine
from flink_cluster import Cluster
from flink_parts import FLINK, flink_libraries, java, job_server_jar
from hosts import Host


@dataclass
class FlinkEngine(Engine):
    """An engine whose cluster starts and ends with it."""

    cluster: Cluster | None = None

    def start(self) -> None:
        """Start the cluster, then what stands before it."""
        if self.cluster is not None:
            self.cluster.start()
        super().start()

    def stop(self) -> None:
        """End all of it."""
        super().stop()
        if self.cluster is not None:
            self.cluster.stop()


def flink(folder: Path, hosts: Sequence[Host], kept: Path) -> FlinkEngine:
    """Return a Flink cluster of two TaskManagers that takes jobs of Beam.

    Args:
        folder: of logs and scratch folders.
        hosts: where the workers are.
        kept: where fetched parts are kept from one time to the next.

    Raises:
        LackingError: a part can't be had here.
    """
    program = java()
    jar = job_server_jar(kept)
    cluster = Cluster(folder / "cluster", flink_libraries(kept / f"flink-{FLINK}"), len(hosts))
    ports = ("--job-port=PORT", "--artifact-port=0", "--expansion-port=0")
    command = (program, "-jar", str(jar), f"--flink-master=localhost:{cluster.rest}", *ports)
    return FlinkEngine("flink", folder, hosts, command, [f"--parallelism={len(hosts)}"], cluster=cluster)

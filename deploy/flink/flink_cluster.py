"""A standalone Flink cluster on this machine: one JobManager and some TaskManagers, each a process of its own.

flink_cluster.py up FOLDER | down FOLDER. What runs is written into FOLDER/cluster.json, logs beside it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engines"))

from flink_parts import FLINK, LackingError, flink_libraries, java
from hosts import free_port

_RUNNING = "cluster.json"
_RESULT = "BASH_JAVA_UTILS_EXEC_RESULT:"  # before each line that Flink's helper of its scripts prints
_OPENED = (
    *("java.base/java.lang", "java.base/java.net", "java.base/java.io", "java.base/java.nio", "java.base/sun.nio.ch"),
    *("java.base/java.lang.reflect", "java.base/java.text", "java.base/java.time", "java.base/java.util"),
    *("java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic"),
    *("java.base/java.util.concurrent.locks", "java.base/sun.net.util", "java.base/sun.security.util"),
)


@dataclass
class Cluster:
    """A cluster in a folder.

    Attributes:
        folder: of its configuration, logs and temporary files.
        home: Flink's libraries.
        taskmanagers: how many.
        slots: tasks that each runs at once.
    """

    folder: Path
    home: Path
    taskmanagers: int = 2
    slots: int = 1
    rpc: int = field(default_factory=free_port)
    rest: int = field(default_factory=free_port)
    processes: dict[str, int] = field(default_factory=dict)

    def start(self, seconds: float = 180.0) -> None:
        """Start it, and wait until every TaskManager is there.

        Raises:
            RuntimeError: one is not in time.
        """
        (self.folder / "conf").mkdir(parents=True, exist_ok=True)
        (self.folder / "conf" / "config.yaml").write_text(self._configuration(), encoding="utf-8")
        (self.folder / "conf" / "log4j.properties").write_text(_LOG4J, encoding="utf-8")
        self._run(
            "jobmanager",
            ["org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"],
            ["--executionMode", "cluster"],
        )
        for number in range(1, self.taskmanagers + 1):
            self.start_taskmanager(number)
        (self.folder / _RUNNING).write_text(
            json.dumps({"rest": self.rest, "rpc": self.rpc, "processes": self.processes}), encoding="utf-8"
        )
        self.await_taskmanagers(self.taskmanagers, seconds)

    def start_taskmanager(self, number: int) -> None:
        """Start one TaskManager; it finds its JobManager by itself."""
        memory, settings = self._of_taskmanagers()
        self._run(
            f"taskmanager-{number}",
            [*memory, "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"],
            [*settings, "-D", f"taskmanager.resource-id=taskmanager-{number}"],
        )

    def await_taskmanagers(self, number: int, seconds: float = 180.0) -> None:
        """Wait until the JobManager counts so many TaskManagers.

        Raises:
            RuntimeError: it does not in time.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            told = self.overview()  # a TaskManager is counted before its slots are
            if (told.get("taskmanagers"), told.get("slots-total")) == (number, number * self.slots):
                return
            time.sleep(0.5)
        raise RuntimeError(f"after {seconds:.0f} s the cluster has not {number} TaskManagers; see {self.folder}/*.log")

    def overview(self) -> dict[str, Any]:
        """Return what the JobManager says of its cluster; nothing while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://localhost:{self.rest}/overview", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return {}

    def kill(self, name: str) -> None:
        """End a process at once, as a machine that loses its power does."""
        _end({name: self.processes.pop(name)})

    def stop(self) -> None:
        """End all of it."""
        _end(self.processes)
        self.processes.clear()
        (self.folder / _RUNNING).unlink(missing_ok=True)

    def _configuration(self) -> str:
        settings = {
            "jobmanager.rpc.address": "localhost",
            "jobmanager.rpc.port": self.rpc,
            "jobmanager.memory.process.size": "1g",
            "rest.address": "localhost",
            "rest.bind-address": "localhost",
            "rest.port": self.rest,
            "taskmanager.host": "localhost",
            "taskmanager.memory.process.size": "1200m",
            "taskmanager.numberOfTaskSlots": self.slots,
            "parallelism.default": self.taskmanagers * self.slots,
            # A TaskManager that is lost is noticed in seconds, and what it did is done again, once.
            "heartbeat.interval": 1000,
            "heartbeat.timeout": 8000,
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 2,
            "restart-strategy.fixed-delay.delay": "2 s",
            "io.tmp.dirs": str(self.folder / "tmp"),
        }
        return "".join(f"{name}: {value}\n" for name, value in settings.items())

    @property
    def _class_path(self) -> str:
        return ":".join(str(jar) for jar in sorted((self.home / "lib").glob("*.jar")))

    def _run(self, name: str, java_arguments: list[str], arguments: list[str]) -> None:
        opened = [f"--add-opens={module}=ALL-UNNAMED" for module in _OPENED]
        logging = f"-Dlog4j.configurationFile=file:{self.folder}/conf/log4j.properties"
        command = [java(), *opened, logging, "-cp", self._class_path, *java_arguments]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--configDir", str(self.folder / "conf"), *arguments],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self.processes[name] = process.pid

    def _of_taskmanagers(self) -> tuple[list[str], list[str]]:
        """Return Java's and Flink's own arguments of a TaskManager, as Flink's scripts ask for them."""
        helper = str(self.home / "bin" / "bash-java-utils.jar")
        done = subprocess.run(
            [
                *(java(), "-cp", f"{helper}:{self._class_path}"),
                *("org.apache.flink.runtime.util.bash.BashJavaUtils", "GET_TM_RESOURCE_PARAMS"),
                *("--configDir", str(self.folder / "conf")),
            ],
            capture_output=True,
            text=True,
        )
        lines = [line.split(_RESULT, 1)[1].split() for line in done.stdout.splitlines() if _RESULT in line]
        if len(lines) != 2:
            raise RuntimeError(f"Flink's helper gives no resources of a TaskManager: {done.stdout}{done.stderr}")
        return lines[0], lines[1]


_LOG4J = """rootLogger.level = INFO
rootLogger.appenderRef.out.ref = Out
appender.out.name = Out
appender.out.type = CONSOLE
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss} %-5p %c{1} %m%n
"""


def _end(processes: dict[str, int]) -> None:
    for process in processes.values():
        try:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
        except (ProcessLookupError, ChildProcessError):  # gone, or started by another program
            continue


def down(folder: Path) -> None:
    """End the cluster that another program started in a folder."""
    running = folder / _RUNNING
    if running.exists():
        _end(json.loads(running.read_text(encoding="utf-8"))["processes"])
        running.unlink()


def main(command: str, folder: Path) -> None:
    """Start or end a cluster."""
    down(folder)
    if command == "down":
        return
    cluster = Cluster(folder, flink_libraries(folder / f"flink-{FLINK}"))
    cluster.start()
    print(f"Flink {FLINK}: one JobManager, {cluster.taskmanagers} TaskManagers, at http://localhost:{cluster.rest}")


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]).resolve())
    except LackingError as lacking:
        sys.exit(str(lacking))

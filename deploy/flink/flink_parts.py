"""What a Flink cluster with Beam in front is made of: Flink from its PyPI package, Beam's job server by Maven.

The PyPI package holds Flink's libraries and no scripts; ``flink_cluster`` starts the classes that the scripts start.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

FLINK = "2.2.1"
# An address of a repository instead of Maven's own default, Maven Central.
REPOSITORY = "HARDNEG_MAVEN_REPOSITORY"
_JAVA = (17, 21)  # what Flink 2 runs on, oldest and newest


class LackingError(Exception):
    """A part can't be had on this machine; its text is one line."""


def java() -> str:
    """Return the Java program.

    Raises:
        LackingError: there is none, or it is too old or too new.
    """
    program = shutil.which("java")
    if program is None:
        raise LackingError("no Java here (Debian, Ubuntu: apt install openjdk-17-jre-headless)")
    said = subprocess.run([program, "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', said)
    if not found or not _JAVA[0] <= int(found[1]) <= _JAVA[1]:
        raise LackingError(f"Flink needs Java {_JAVA[0]} to {_JAVA[1]}, and here is {said.splitlines()[0]}")
    return program


def flink_libraries(folder: Path) -> Path:
    """Install Flink's libraries into a folder, once; return the folder that holds ``lib`` and ``bin``.

    Raises:
        LackingError: PyPI can't be reached.
    """
    home = folder / "pyflink"
    if not (home / "lib").exists():
        pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*pip, "--target", str(folder), f"apache-flink-libraries=={FLINK}"], capture_output=True, text=True
        )
        if done.returncode:
            raise LackingError(f"apache-flink-libraries {FLINK} can't be installed: {_last(done.stderr)}")
    return home


def job_server_name() -> str:
    """Return the Maven coordinates of Beam's job server for this Flink."""
    flink = ".".join(FLINK.split(".")[:2])
    return f"org.apache.beam:beam-runners-flink-{flink}-job-server:{version('apache-beam')}"


def job_server_jar(folder: Path) -> Path:
    """Fetch Beam's job server, once; return its jar.

    Raises:
        LackingError: no Maven, or its repository does not have it.
    """
    name = job_server_name()
    _, artifact, number = name.split(":")
    jar = folder / f"{artifact}-{number}.jar"
    if jar.exists():
        return jar
    maven = shutil.which("mvn")
    if maven is None:
        raise LackingError(f"no Maven here to fetch {name} with")
    address = os.environ.get(REPOSITORY)
    repository = [f"-DremoteRepositories={address}"] if address else []
    command = [
        maven,
        "--batch-mode",
        "-Dstyle.color=never",
        "--quiet",
        "-Dtransitive=false",
        f"-Dartifact={name}",
        *repository,
    ]
    for goal in ("dependency:get", "dependency:copy"):
        there = [f"-DoutputDirectory={folder}"] if goal == "dependency:copy" else []
        done = subprocess.run([*command, *there, goal], capture_output=True, text=True)
        if done.returncode:
            said = re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
            raise LackingError(f"Maven's repository does not give {name}: {_reason(said)}")
    return jar


def _reason(text: str) -> str:
    """Return what Maven comes to; its own sentences name addresses of this machine."""
    if "Could not find artifact" in text or "was not found" in text:
        return "it is not there"
    return _last(text)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"


if __name__ == "__main__":
    here = Path(sys.argv[1])
    try:
        print(java(), flink_libraries(here / f"flink-{FLINK}"), job_server_jar(here))
    except LackingError as lacking:
        sys.exit(str(lacking))

"""A launcher that leaves once an engine has the job, and the publication when its job has ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mined_runs import Mine, Run, TinyModels

from hardneg.errors import OptionError
from hardneg.pipelines.commands.driver import submit
from hardneg.pipelines.options.files import checked
from hardneg.pipelines.options.mine import MineConfig

HARDNEG = [sys.executable, "-m", "hardneg.pipelines.cli"]
LONGEST = 300.0  # seconds until a small job must have ended


def free_port() -> int:
    with closing(socket.socket()) as listening:
        listening.bind(("localhost", 0))
        return int(listening.getsockname()[1])


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[list[str]]:
    """Beam's own engine behind a job server, and a pool of workers: what stands after ``--`` to use them."""
    jobs, pool = free_port(), free_port()
    module = "apache_beam.runners.portability.local_job_service_main"
    commands = [
        [sys.executable, "-m", module, f"--port={jobs}", f"--staging_dir={tmp_path / 'staging'}"],
        [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"],
    ]
    path = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the pool starts whatever `python` is there
    )
    started = []
    with (tmp_path / "engine.log").open("wb") as log:
        for command in commands:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"PATH": path}))
    for port in (jobs, pool):
        await_port(port)
    yield [
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{jobs}",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{pool}",
    ]
    for process in started:
        process.terminate()
        process.wait(30)


def await_port(port: int) -> None:
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        with closing(socket.socket()) as trying:
            if trying.connect_ex(("localhost", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens at {port}")


def test_a_local_runner_cannot_be_left(tmp_path: Path, tiny_models: TinyModels, animals: Path) -> None:
    config = checked(MineConfig, {"input": str(animals), "output": str(tmp_path / "out"), **tiny_models.options})
    with pytest.raises(OptionError, match="leaves a job to an engine of others"):
        submit(config, [])
    assert not (tmp_path / "out.work").exists()


@pytest.mark.slow
def test_a_launcher_leaves_and_publish_makes_the_output(
    tmp_path: Path, tiny_models: TinyModels, animals: Path, engine: list[str], mine: Mine
) -> None:
    output, work = tmp_path / "out", tmp_path / "out.work"
    told = ["--input", str(animals), "--max-sigmoid", "0.9", "--negatives", "2", "--output", str(output)]
    options = [*told, *tiny_models.arguments, "--no-wait", "--json"]
    done = subprocess.run([*HARDNEG, "mine", *options, "--", *engine], capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["work"] == str(work)
    assert f"hardneg publish {work}" in done.stdout
    assert not output.exists()
    until = time.monotonic() + LONGEST
    while not (work / "summary.json").exists() and time.monotonic() < until:
        time.sleep(0.5)
    assert subprocess.run([*HARDNEG, "publish", str(work)], timeout=LONGEST).returncode == 0
    expected = mine("expected", input=str(animals), max_sigmoid=0.9, negatives=2)
    assert Run(output).table("triplets").equals(expected.table("triplets"))

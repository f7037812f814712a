"""A Flink cluster of one JobManager and two TaskManagers, as processes of their own; one is killed and comes back."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "deploy" / "flink"))

from flink_cluster import Cluster  # noqa: E402 - where our modules lie must be known first
from flink_parts import FLINK, LackingError, flink_libraries, java, job_server_name  # noqa: E402

KEPT = Path(os.environ.get("HARDNEG_ENGINES", ROOT / ".venv-engines"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        java()
        started = Cluster(tmp_path_factory.mktemp("flink"), flink_libraries(KEPT / f"flink-{FLINK}"))
    except LackingError as lacking:
        pytest.skip(str(lacking))
    try:
        started.start()
        yield started
    finally:
        started.stop()


def test_two_taskmanagers_are_there(cluster: Cluster) -> None:
    overview = cluster.overview()
    assert (overview["taskmanagers"], overview["slots-total"], overview["flink-version"]) == (2, 2, FLINK)
    assert len(set(cluster.processes.values())) == 3


def test_a_killed_taskmanager_is_missed_and_may_come_back(cluster: Cluster) -> None:
    cluster.kill("taskmanager-2")
    cluster.await_taskmanagers(1)
    cluster.start_taskmanager(2)
    cluster.await_taskmanagers(2)


def test_the_operators_manifest_is_of_a_flink_that_beam_has_a_job_server_for() -> None:
    from apache_beam.options.pipeline_options import FlinkRunnerOptions

    manifest = yaml.safe_load((ROOT / "deploy" / "flink" / "flinkdeployment.yaml").read_text(encoding="utf-8"))
    spec = manifest["spec"]
    number = spec["flinkVersion"].removeprefix("v").replace("_", ".")
    assert number in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    assert spec["image"] == f"flink:{number}"
    assert all(isinstance(value, str) for value in spec["flinkConfiguration"].values())
    pod = spec["taskManager"]["podTemplate"]["spec"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in pod["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    assert ".".join(FLINK.split(".")[:2]) in job_server_name()

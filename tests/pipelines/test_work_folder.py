"""The work folder of a run, and publishing what lies in it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from hardneg.errors import HardnegError
from hardneg.pipelines.commands.publish import publish_run
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.runs.plan import Plan
from hardneg.pipelines.runs.publishing import Publication
from hardneg.pipelines.runs.work_folder import SUMMARY, notes, working
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.judge.judge import single_signal_judge


def plan_of(tmp_path: Path, **options: Any) -> Plan:
    config = MineConfig(**{"output": str(tmp_path / "out"), **options})
    return Plan(config, [], config.work_folder, str(Path(config.work_folder) / "result"), 1)


def fill(plan: Plan, rows: int = 3) -> None:
    """Do as a run does: leave a result and a summary."""
    shard = Path(plan.result) / "triplets" / "part-00000-of-00001.parquet"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"rows")
    summary = {
        "counts": {"queries": 2, "mined": 3, "pairs_scored": 8, "pairs_cut": 2},
        "shards": [{"name": f"triplets/{shard.name}", "rows": rows, "sha256": "00", "clashes": 1}],
        "models": {"dense": {"model": "bundled", "fingerprint": "ff"}},
        "judge": json.loads(CalibratedJudge("cross-encoder", single_signal_judge("logit", "logit")).to_json()),
    }
    (Path(plan.work) / SUMMARY).write_text(json.dumps(summary))


def publish(plan: Plan) -> dict[str, Any]:
    """Do as the driver does once the graph has ended."""
    Publication.of(plan, [], {}, {}).write(plan.work)
    return publish_run(plan.work, page=False).manifest


def test_working_and_publishing(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    with working(plan):
        fill(plan)
        assert not (tmp_path / "out").exists()
        manifest = publish(plan)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("README.md", "judge.json", "manifest.json", "triplets")
    ]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    assert manifest["counts"]["queries"] == 2
    assert manifest["share_of_pairs_cut"] == 0.25
    assert manifest["triplets_too_close"] == 1
    assert manifest["shards"] == [{"name": "triplets/part-00000-of-00001.parquet", "rows": 3, "sha256": "00"}]
    assert MineConfig(**manifest["options"]) == plan.config
    head = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---")[1])
    assert head["configs"] == [
        {
            "config_name": "triplets",
            "default": True,
            "data_files": [{"split": "train", "path": "triplets/*.parquet"}],
        }
    ]


def test_an_existing_output_is_refused_or_kept_as_old(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    with pytest.raises(HardnegError, match=r"out: it exists; choose another name, or pass overwrite"):
        enter(plan_of(tmp_path))
    assert not (tmp_path / "out.work").exists()
    plan = plan_of(tmp_path, overwrite=True)
    with working(plan):
        fill(plan)
        publish(plan)
    assert (tmp_path / "out" / "manifest.json").exists()
    assert (tmp_path / "out.old" / "mine.txt").read_text() == "precious"
    assert notes(plan.config) == []


def enter(plan: Plan) -> None:
    with working(plan):
        pass


def test_a_run_that_fails_leaves_no_output(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)

    def fail() -> None:
        with working(plan):
            fill(plan)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.work" / "lock").exists()
    assert notes(plan.config) == [
        f"{tmp_path}/out.work is left from an earlier run; what it embedded and scored is used again."
    ]


def test_what_an_earlier_run_left_is_cleared_but_for_what_it_computed(tmp_path: Path) -> None:
    work = tmp_path / "out.work"
    for name in ("progress", "result", "parts", "segments", "statistics", "embeddings", "store"):
        (work / name).mkdir(parents=True)
        (work / name / "file").write_text("old")
    (work / SUMMARY).write_text("old")
    (work / "lock").write_text(f"{socket.gethostname()} {2**22 + 1}")  # no process has that number
    with working(plan_of(tmp_path)):
        assert sorted(path.name for path in work.iterdir()) == ["lock", "store"]


@pytest.mark.parametrize("name", ["thesis.docx", "src"])
def test_a_folder_with_other_things_in_it_is_no_work_folder(tmp_path: Path, name: str) -> None:
    """It would be deleted at the end of the run."""
    work = tmp_path / "home"
    (work / name).mkdir(parents=True)
    (work / "result").mkdir()
    (work / "result" / "file").write_text("precious")
    with pytest.raises(HardnegError, match=f"work {work}: it holds {name}, which is not a run's"):
        enter(plan_of(tmp_path, work=str(work)))
    assert (work / "result" / "file").read_text() == "precious"


def test_a_work_folder_in_use_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    with working(plan):
        with pytest.raises(HardnegError, match=rf"another run holds it \(process {os.getpid()} on "):
            enter(plan)
        (tmp_path / "out.work" / "segments").mkdir()
    (tmp_path / "out.work" / "lock").write_text("elsewhere 1")
    with pytest.raises(HardnegError, match=r"another run holds it \(process 1 on elsewhere\); wait for it, or"):
        enter(plan)
    assert (tmp_path / "out.work" / "segments").exists(), "what another run may be using stays"


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HardnegError, match=r"output .*file/out: .* cannot be written \(Not a directory\)"):
        enter(plan_of(tmp_path, output=str(tmp_path / "file" / "out")))


def test_the_work_folder_may_lie_on_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a rename fails the result is copied, and still appears whole."""
    plan = plan_of(tmp_path, work=str(tmp_path / "scratch" / "work"))
    real = os.rename

    def rename(source: Any, target: Any) -> None:
        if "scratch" in str(source):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "replace", rename)
    monkeypatch.setattr(shutil.os, "rename", rename)
    with working(plan):
        fill(plan)
        monkeypatch.setattr(os, "replace", real)
        publish(plan)
    assert (tmp_path / "out" / "triplets" / "part-00000-of-00001.parquet").read_bytes() == b"rows"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "scratch"]


def test_traces_of_an_interrupted_overwrite_are_named(tmp_path: Path) -> None:
    (tmp_path / "out.old").mkdir()
    assert notes(plan_of(tmp_path).config) == [
        f"{tmp_path}/out.old is the output that an interrupted --overwrite moved away; this run does not touch it."
    ]

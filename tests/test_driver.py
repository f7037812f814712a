"""Around the graph: Beam's options, the work folder, publishing, and what a dry run says."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions
from conftest import ONE_WORKER

from hardneg.errors import HardnegError
from hardneg.pipelines import cores, driver
from hardneg.pipelines.config import MineConfig
from hardneg.pipelines.driver import (
    make_plan,
    notes,
    pipeline_options,
    publish,
    run_graph,
    worker_message,
    worker_threads,
    working,
)
from hardneg.pipelines.estimate import estimate
from hardneg.pipelines.mine import SUMMARY
from hardneg.pipelines.plan import Plan
from hardneg.transforms.denoising import Denoising
from hardneg.transforms.judging import single_signal_judge


def test_the_runner_is_named() -> None:
    """DirectRunner, Beam's default, chooses by itself what runs the graph."""
    options = pipeline_options([])
    assert options.view_as(StandardOptions).runner == "FnApiRunner"
    assert pipeline_options(["--runner=FlinkRunner"]).view_as(StandardOptions).runner == "FlinkRunner"


@pytest.mark.parametrize(
    ("args", "workers", "mode"),
    [
        ([], 1, "in_memory"),
        (["--direct_num_workers=2"], 2, "multi_processing"),
        (["--direct_num_workers", "3", "--direct_running_mode=multi_threading"], 3, "multi_threading"),
        (["--direct_num_workers=0"], 6, "multi_processing"),
    ],
)
def test_workers_and_their_threads(monkeypatch: pytest.MonkeyPatch, args: list[str], workers: int, mode: str) -> None:
    """Several local workers are processes, which Beam would only warn about; they share the cores."""
    monkeypatch.setattr(cores, "usable_cores", lambda: 6)
    monkeypatch.setattr(driver, "usable_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    options = pipeline_options(args)
    direct = options.view_as(DirectOptions)
    assert (direct.direct_num_workers, direct.direct_running_mode) == (workers, mode)
    assert worker_threads(options) == 6 // workers
    assert worker_threads(pipeline_options(["--runner=SparkRunner"])) is None


@pytest.mark.parametrize(
    ("limit", "threads"), [("1", 1), ("2", 2), ("9", 3), ("2,1", 2), (" 2 ", 2), ("0", 3), ("-1", 3), ("", 3), ("x", 3)]
)
def test_a_limit_on_threads_is_kept(monkeypatch: pytest.MonkeyPatch, limit: str, threads: int) -> None:
    monkeypatch.setattr(cores, "usable_cores", lambda: 6)
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert cores.threads_of(2) == threads
    assert cores.threads_of(7) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds a process to cores")
def test_the_cores_of_others_are_not_counted() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cores.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert cores.usable_cores() == len(allowed)


@pytest.mark.parametrize(
    "args",
    [
        ["--direct_num_workers=2"],
        # Options whose name is not that of the attribute behind them.
        ["--no_use_public_ips", "--runner=DataflowRunner"],
        ["--worker_machine_type", "n1-standard-4", "--runner=DataflowRunner"],
        ["--experiments=a", "--experiment=b"],
        # Known to the job server, not to Beam's Python.
        ["--runner=FlinkRunner", "--parallelism=4"],
    ],
    ids=str,
)
def test_options_that_beam_has(args: list[str]) -> None:
    assert pipeline_options(args).view_as(StandardOptions).runner


@pytest.mark.parametrize(
    "args", [["--direct_num_worker=2"], ["--direct-num-workers", "2"], ["--jobname=x", "--runner=DataflowRunner"]]
)
def test_options_that_beam_does_not_have(args: list[str]) -> None:
    with pytest.raises(HardnegError) as raised:
        pipeline_options(args)
    assert str(raised.value) == f"Beam has no option {args[0]}; see the options of your runner."


def plan_of(tmp_path: Path, **options: Any) -> Plan:
    config = MineConfig(**{"output": str(tmp_path / "out"), **options})
    return Plan(config, [], config.work_folder, str(Path(config.work_folder) / "result"), 1, {})


def fill(plan: Plan, rows: int = 3) -> None:
    """Do as a run does: leave a result and a summary."""
    shard = Path(plan.result) / "triplets" / "part-00000-of-00001.parquet"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"rows")
    summary = {
        "counts": {"queries": 2, "mined": 3, "pairs_scored": 8, "pairs_cut": 2},
        "shards": [{"name": f"triplets/{shard.name}", "rows": rows, "sha256": "00", "close": 1}],
        "models": {"dense": {"model": "bundled", "fingerprint": "ff"}},
        "judge": json.loads(Denoising("cross-encoder", single_signal_judge("logit", "logit")).to_json()),
    }
    (Path(plan.work) / SUMMARY).write_text(json.dumps(summary))


def test_working_and_publishing(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    with working(plan):
        fill(plan)
        assert not (tmp_path / "out").exists()
        manifest = publish(plan, 1.5)
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
    with pytest.raises(HardnegError, match=r"out: it exists; choose another folder, or pass --overwrite"):
        enter(plan_of(tmp_path))
    assert not (tmp_path / "out.work").exists()
    plan = plan_of(tmp_path, overwrite=True)
    with working(plan):
        fill(plan)
        publish(plan, 1)
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
    for name in ("progress", "result", "parts", "segments", "statistics", "embeddings", "logits"):
        (work / name).mkdir(parents=True)
        (work / name / "file").write_text("old")
    (work / SUMMARY).write_text("old")
    (work / "lock").write_text(f"{socket.gethostname()} {2**22 + 1}")  # no process has that number
    with working(plan_of(tmp_path)):
        assert sorted(path.name for path in work.iterdir()) == ["embeddings", "lock", "logits"]


@pytest.mark.parametrize("name", ["thesis.docx", "src"])
def test_a_folder_with_other_things_in_it_is_no_work_folder(tmp_path: Path, name: str) -> None:
    """It would be deleted at the end of the run."""
    work = tmp_path / "home"
    (work / name).mkdir(parents=True)
    (work / "result").mkdir()
    (work / "result" / "file").write_text("precious")
    with pytest.raises(HardnegError, match=f"--work {work}: it holds {name}, which is not a run's"):
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
    with pytest.raises(HardnegError, match=r"--output .*file/out: .* cannot be written \(Not a directory\)"):
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
        monkeypatch.setattr("hardneg.transforms.storage.os.replace", real)
        publish(plan, 1)
    assert (tmp_path / "out" / "triplets" / "part-00000-of-00001.parquet").read_bytes() == b"rows"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "scratch"]


def test_traces_of_an_interrupted_overwrite_are_named(tmp_path: Path) -> None:
    (tmp_path / "out.old").mkdir()
    assert notes(plan_of(tmp_path).config) == [
        f"{tmp_path}/out.old is the output that an interrupted --overwrite moved away; this run does not touch it."
    ]


def test_make_plan_looks_at_everything_first(animals: Path, tmp_path: Path) -> None:
    (tmp_path / "one.run").write_text("")
    options = pipeline_options([])
    good = {"input": str(animals), "output": str(tmp_path / "out")}
    plan = make_plan(MineConfig(**good, run=[f"r={tmp_path}/*.run"]), options)
    assert plan.further == {("run", "r"): [str(tmp_path / "one.run")]}
    assert [file.kind for file in plan.files] == ["passages", "queries", "qrels"]
    assert (plan.work, plan.result) == (str(tmp_path / "out.work"), str(tmp_path / "out.work" / "result"))
    for wrong, message in (
        ({"run": ["r=nothing*"]}, r"--run r=nothing\*: no file matches; check the path\."),
        ({"embeddings": ["e=no"], "query_embeddings": ["e=no"]}, "--embeddings e=no: no file matches"),
        ({"bi_encoder": ["./no-model"]}, "bi-encoder ./no-model: there is no such folder"),
        ({"cross_encoder": "/no/model"}, "cross-encoder /no/model: there is no such folder"),
    ):
        with pytest.raises(HardnegError, match=message):
            make_plan(MineConfig(**good, **wrong), options)
    assert not (tmp_path / "out.work").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "RuntimeError: x\nhardneg.errors.HardnegError: a.tsv: broken. [while running 'Read']\n\nmore",
            "a.tsv: broken.",
        ),
        ("HardnegError: one\ntwo", "one\ntwo"),
        ("HardnegError: first [while running 'a']\nHardnegError: last [while running 'b']", "last"),
        ("ValueError: x", None),
    ],
)
def test_worker_message(text: str, message: str | None) -> None:
    assert worker_message(text) == message


@pytest.mark.parametrize("error", [HardnegError("p.tsv: mend it."), ValueError("a bug")])
def test_errors_of_workers(tmp_path: Path, error: Exception) -> None:
    """A user's mistake comes back as its sentence, a bug as it is."""
    import apache_beam as beam

    def build(pipeline: beam.Pipeline, _: Plan) -> None:
        pipeline | beam.Create([error]) | beam.Map(_raise)

    with pytest.raises(Exception, match=r"mend it|a bug") as raised:
        run_graph(plan_of(tmp_path), pipeline_options([]), build)
    assert isinstance(raised.value, HardnegError) == isinstance(error, HardnegError)
    if isinstance(error, HardnegError):
        assert str(raised.value) == "p.tsv: mend it."


def _raise(error: Exception) -> None:
    raise error


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure on two texts only: what it says about time is not looked at here."""
    monkeypatch.setattr("hardneg.pipelines.estimate._MEASURED", 2)


@pytest.mark.usefixtures("measured")
def test_a_dry_run_says_what_a_run_would_take(animals: Path, tmp_path: Path) -> None:
    """Counts of the real input, and a measurement with the real models; it writes no output."""
    options: dict[str, Any] = {"input": str(animals), "output": str(tmp_path / "out"), "max_queries": 10}
    lines = estimate(MineConfig(**options, negatives=4, k=20, max_sigmoid=0.1), ONE_WORKER)
    assert lines[0] == "42 passages, 10 queries, 0 rows rejected"
    # Two retrievers; the first step of the schedule for four negatives is six; and each query's positive.
    assert lines[1] == "at most 400 pairs retrieved; at least 70 pairs scored"
    assert lines[2].startswith("dense: ")
    assert lines[3].startswith("about ")
    assert not (tmp_path / "out").exists()
    lines = estimate(MineConfig(**options, score="all"), ONE_WORKER)
    assert lines[1] == "at most 420 pairs retrieved; 430 pairs scored"
    # Three queries of the calibration sample completely, with their positives; the others as above.
    lines = estimate(MineConfig(**options, negatives=4, k=20, calibration_queries=3), ONE_WORKER)
    assert lines[1] == "at most 400 pairs retrieved; at least 172 pairs scored"
    lines = estimate(MineConfig(**options, judge="bi-encoder"), ONE_WORKER)
    assert lines[1] == "at most 420 pairs retrieved; at least 0 pairs scored"


@pytest.mark.usefixtures("measured")
def test_a_dry_run_leaves_what_a_run_can_go_on_from(animals: Path, tmp_path: Path) -> None:
    config = MineConfig(input=str(animals), output=str(tmp_path / "out"), max_queries=2, max_sigmoid=1)
    estimate(config, ONE_WORKER)
    manifest = driver.mine(config, ONE_WORKER)
    assert manifest["counts"]["queries"] == 2
    assert not (tmp_path / "out.work").exists()


def test_a_plan_cuts_by_size() -> None:
    """One segment per 64 MB of corpus, one bucket per 8 MB of the rest, unless told otherwise."""
    from hardneg.transforms.input_files import Columns, InputFile

    def file(kind: Any, size: int) -> InputFile:
        return InputFile(f"/{kind}", kind, "jsonl", Columns(), size)

    config = MineConfig(output="out")
    plan = Plan(config, [file("passages", 300 << 20), file("queries", 30 << 20)], "w", "r", 1, {})
    assert (plan.segments, plan.buckets) == (5, 4)
    small = replace(plan, files=[file("passages", 10), file("queries", 10)])
    assert (small.segments, small.buckets) == (1, 1)
    pairs = replace(plan, files=[file("pairs", 128 << 20)])
    assert (pairs.segments, pairs.buckets) == (2, 16)
    asked = replace(plan, config=MineConfig(output="out", segments=17))
    assert asked.segments == 17

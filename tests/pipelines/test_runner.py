"""Beam's options, what a worker may use, and errors of a graph."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import traceback
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DebugOptions, DirectOptions, StandardOptions
from apache_beam.transforms.core import CallableWrapperDoFn

from hardneg.errors import HardnegError, InputError, parameter
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.runs import runner
from hardneg.pipelines.runs.plan import Plan
from hardneg.pipelines.runs.repeated_work import remember_signatures
from hardneg.pipelines.runs.runner import mistake_in, pipeline_options, run_graph, worker_threads


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
    monkeypatch.setattr(runner, "usable_cores", lambda: 6)
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
    monkeypatch.setattr(runner, "usable_cores", lambda: 6)
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert runner.threads_of(2) == threads
    assert runner.threads_of(7) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds a process to cores")
def test_the_cores_of_others_are_not_counted() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert runner.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert runner.usable_cores() == len(allowed)


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


@pytest.mark.parametrize(("runner_name", "alone"), [("PortableRunner", True), ("DataflowRunner", None)])
def test_a_job_server_gets_no_list_of_packages(runner_name: str, alone: bool | None) -> None:
    """Beam has pip make one for every job."""
    debug = pipeline_options([f"--runner={runner_name}"]).view_as(DebugOptions)
    assert debug.lookup_experiment("disable_logging_submission_environment") is alone


def traceback_of(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def test_a_mistake_in_a_workers_text() -> None:
    """Its sentence, kind and fields come back, without the step that Beam names; of several, the last."""
    mistake = InputError(f"{parameter('holdout')} a.tsv: broken. [while running 'Read']", path="a.tsv", line=7)
    text = f"RuntimeError: x\n{traceback_of(HardnegError('first'))}\n{traceback_of(mistake)}\n\nmore"
    found = mistake_in(text)
    assert isinstance(found, InputError)
    assert (str(found), found.fields) == ("holdout a.tsv: broken.", {"path": "a.tsv", "line": 7})
    assert found.told(lambda name: f"--{name}") == "--holdout a.tsv: broken."
    assert mistake_in(traceback_of(ValueError("x"))) is None


@pytest.mark.parametrize("error", [HardnegError("p.tsv: mend it."), ValueError("a bug")])
def test_errors_of_workers(tmp_path: Path, error: Exception) -> None:
    """A user's mistake comes back as its sentence, a bug as it is."""

    def build(pipeline: beam.Pipeline, _: Plan) -> None:
        pipeline | beam.Create([error]) | beam.Map(_raise)

    plan = Plan(MineConfig(output=str(tmp_path / "out")), [], str(tmp_path / "work"), str(tmp_path / "result"), 1)
    with pytest.raises(Exception, match=r"mend it|a bug") as raised:
        run_graph(plan, pipeline_options([]), build)
    assert isinstance(raised.value, HardnegError) == isinstance(error, HardnegError)
    if isinstance(error, HardnegError):
        assert str(raised.value) == "p.tsv: mend it."


def _raise(error: Exception) -> None:
    raise error


def test_views_of_options_share_their_values(tmp_path: Path) -> None:
    """Also in a copy, which has views of its own."""
    options = pipeline_options(["--temp_location", str(tmp_path)])
    direct = options.view_as(DirectOptions)
    assert options.view_as(DirectOptions) is direct
    copied = copy.deepcopy(options)
    copied.view_as(DirectOptions).direct_num_workers = 7
    assert copied.view_as(DirectOptions).direct_num_workers == 7
    assert copied.get_all_options()["direct_num_workers"] == 7
    assert direct.direct_num_workers == 1
    loaded = pickle.loads(pickle.dumps(copied))  # noqa: S301 - its own
    assert loaded.view_as(DirectOptions).direct_num_workers == 7
    assert loaded.get_all_options() == copied.get_all_options()


class Own(beam.DoFn):
    def process(self, element: int, window: object = beam.DoFn.WindowParam) -> None: ...


@pytest.mark.parametrize("dofn", [Own(), CallableWrapperDoFn(len)], ids=["of a class", "of a function"])
def test_remembered_signatures_are_those_of_the_code(dofn: beam.DoFn) -> None:
    remember_signatures()
    methods = [method for _, method in inspect.getmembers(dofn, inspect.ismethod) if not hasattr(method, "__wrapped__")]
    assert len(methods) > 20
    for method in methods:
        code = method.__func__.__code__
        named = [*code.co_varnames[1 : code.co_argcount], *(method.__func__.__kwdefaults__ or ())]
        found = inspect.signature(method).parameters.values()
        assert [each.name for each in found if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)] == named
        defaults = tuple(each.default for each in found if each.default is not each.empty)
        assert defaults == (method.__func__.__defaults__ or ()), method

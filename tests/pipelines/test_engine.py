"""Runs behind a job server: what comes back of them, and inputs that workers elsewhere can read."""

from __future__ import annotations

import traceback
from pathlib import Path

import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from mined_runs import ONE_WORKER, Mine, TinyModels

from hardneg.errors import InputError, RunError, ServiceError
from hardneg.pipelines import cli
from hardneg.pipelines.commands import driver
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.runs.engine import engine_failure
from hardneg.pipelines.runs.plan import Plan
from hardneg.pipelines.runs.within_reach import within_reach
from hardneg.transforms.core.shared_work import shared_work
from hardneg.transforms.corpus.segments import open_segment
from hardneg.transforms.inputs.planning import plan_inputs

# Beam's Python engine behind a job server, server and workers in this process.
JOB_SERVER = ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]
FEW = {"max_queries": 5, "negatives": 2, "max_sigmoid": 0.9, "output_shards": 2}


def test_the_bytes_are_those_of_a_local_run(animals: Path, mined: Mine, mine: Mine) -> None:
    local = mined(ONE_WORKER, input=str(animals), **FEW)
    remote = mine(beam_args=JOB_SERVER, input=str(animals), **FEW)
    for kind in ("triplets", "candidates", "passages", "queries"):
        assert local.hashes(kind)
        assert remote.hashes(kind) == local.hashes(kind)
    assert remote.manifest["inputs"] == local.manifest["inputs"], "known by the files that were named"
    assert not remote.folder.with_name("out.work").exists()


def test_a_mistake_comes_back_as_its_sentence(
    tmp_path: Path, tiny_models: TinyModels, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    corpus = tmp_path / "corpus.jsonl"
    pairs.write_text('{"query": "q", "positive": "p"}\n', encoding="utf-8")
    corpus.write_text('{"id": "a", "text": "one"}\n{"id": "a", "text": "two"}\n', encoding="utf-8")
    arguments = ["mine", "--pairs", str(pairs), "--corpus", str(corpus), "--output", str(tmp_path / "out")]
    code = cli.run([*arguments, *tiny_models.arguments, "--", *JOB_SERVER])
    said = capfd.readouterr()
    assert code == 2
    assert said.out == ""
    (sentence,) = [line for line in said.err.splitlines() if line.startswith("hardneg: ")]
    assert sentence.endswith(f"{corpus}:1 and {corpus}:2; give each its own id.")


def test_a_job_server_that_is_not_there(tmp_path: Path, animals: Path, tiny_models: TinyModels) -> None:
    config = MineConfig(output=str(tmp_path / "out"), input=str(animals), **tiny_models.options)
    nobody = ["--runner=PortableRunner", "--job_endpoint=localhost:1", "--job_server_timeout=1"]
    with pytest.raises(ServiceError, match=r"^The job server at localhost:1 does not answer: start it, or check"):
        driver.mine_tables(config, [*nobody, "--environment_type=LOOPBACK"])


def failed(text: str) -> ServiceError | None:
    return engine_failure(RuntimeError(text), PipelineOptions(["--job_endpoint=flink:8099"]))


def test_what_an_engine_says_of_its_end_is_one_sentence() -> None:
    """Also where it is a traceback of Beam's own: a lost worker is no bug of ours."""
    text = (
        'Traceback ...\n  File "/x/hardneg/.venv/apache_beam/transforms/core/a.py", line 1\nException: Worker lost.\n\n'
    )
    error = failed(text)
    assert error is not None
    assert str(error) == (
        "The job server at flink:8099 ended the job: Exception: Worker lost; start the same command again, and it goes "
        "on from its store."
    )
    assert error.fields == {"endpoint": "flink:8099"}
    text = "JobException: failed\n\tat a.B.c(B.java:1)\nCaused by: IOException: lost\n\tat d.E\n\t... 3 more"
    assert "ended the job: IOException: lost; start" in str(failed(text))
    assert "no reason is given" in str(failed(" \n"))


@pytest.mark.parametrize(
    "path", ["/site-packages/hardneg/transforms/mining/rows.py", "C:\\own\\pipelines\\graphs\\mine.py"]
)
def test_a_bug_is_no_engines_end(path: str) -> None:
    assert failed(f'Traceback ...\n  File "{path}", line 7, in process\nKeyError: 1') is None
    assert engine_failure(KeyError("x"), PipelineOptions([])) is None


def test_a_job_server_that_goes_away() -> None:
    class Gone(grpc.RpcError):
        def details(self) -> str:
            return "Socket closed"

    assert str(engine_failure(Gone(), PipelineOptions([]))).startswith("The engine is gone (Socket closed); start")


def test_inputs_are_put_within_reach(tmp_path: Path, animals: Path) -> None:
    """Under their own names, whose endings say how to read them; what lies in an object store stays there."""
    runs = [tmp_path / "one" / "run.tsv", tmp_path / "two" / "run.tsv"]
    for number, run in enumerate(runs):
        run.parent.mkdir()
        run.write_text(f"q{number} Q0 p 1 1.0 x\n", encoding="utf-8")
    config = MineConfig(
        output=str(tmp_path / "out"),
        input=str(animals),
        retriever=[
            {"kind": "bi-encoder", "model": "bundled"},
            {"kind": "run", "name": "own", "file": str(tmp_path / "*" / "run.tsv")},
        ],
    )
    work = str(tmp_path / "work")
    plan = Plan(config, plan_inputs(config.inputs, ()), work, str(tmp_path / "result"), None)
    near = within_reach(plan)
    assert [file.path for file in near.files] == [file.path for file in plan.files]
    for file in near.files:
        assert file.copy is not None
        assert file.copy.startswith(work)
        assert Path(file.copy).name == Path(file.path).name
        assert Path(file.copy).read_bytes() == Path(file.path).read_bytes()
    own = near.config.retriever[1]
    copies = sorted(Path("/").glob(own["file"].removeprefix("/")))
    assert [copy.read_text(encoding="utf-8") for copy in copies] == [run.read_text(encoding="utf-8") for run in runs]
    assert near.config.retriever[0] == plan.config.retriever[0]


def test_a_work_folder_that_a_worker_does_not_share(tmp_path: Path) -> None:
    work = str(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=f"^{work}: the worker on .* does not find there .*give work a folder that all"):
        open_segment(work, 0)
    with pytest.raises(FileNotFoundError), shared_work(work):
        (tmp_path / "other").read_bytes()


def test_a_mistake_of_an_input_is_told_from_an_engines_end() -> None:
    mistake = InputError("p.tsv: mend it. [while running 'Read']", path="p.tsv")
    assert failed("".join(traceback.format_exception(mistake))) is not None, "so it is looked for first"

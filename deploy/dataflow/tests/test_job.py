"""The whole graph as a job of Dataflow, made offline by Beam's own runner: nothing is sent anywhere.

Run by `make test-dataflow`, in an environment that has apache-beam[gcp].
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("apitools", reason="apache-beam[gcp] is not installed: make test-dataflow installs it")

from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.utils import proto_utils
from google.protobuf.message import Message

from hardneg.pipelines.cli import run

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data" / "squad11"
STEPS = Path(__file__).parents[1] / "steps.txt"
ACCELERATOR = "type:nvidia-l4;count:1;install-nvidia-driver"
JOB = [
    *("--runner=DataflowRunner", "--project=p-1", "--region=europe-west1", "--job_name=hardneg"),
    *("--temp_location=gs://bucket/temp", "--staging_location=gs://bucket/staging"),
    *("--no_auth", "--dry_run=True", "--sdk_location=container", "--sdk_container_image=image"),
]
MEGABYTE = 10**6


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Message:
    """The job's pipeline, as the runner has it when all that is left is to send it."""
    folder = tmp_path_factory.mktemp("job")
    options = folder / "options.toml"
    options.write_text(f'accelerator = "{ACCELERATOR}"\n', encoding="utf-8")
    made: list[Any] = []
    run_pipeline = DataflowRunner.run_pipeline

    def noting(self: Any, *args: Any, **more: Any) -> Any:
        result = run_pipeline(self, *args, **more)
        made.append(self.proto_pipeline)
        return result

    told = ["--input", str(DATA), "--split", "train", "--output", str(folder / "out"), "--config", str(options)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DataflowRunner, "run_pipeline", noting)
        assert run(["mine", *told, "--no-wait", "--", *JOB]) == 0
    (pipeline,) = made
    return pipeline


def names_of(job: Any, urn: str = "") -> list[str]:
    return [each.unique_name for each in job.components.transforms.values() if urn in ("", each.spec.urn)]


def test_the_names_of_its_steps_are_those_in_the_list(job: Any) -> None:
    """An update of a running job, and whoever reads its page, goes by them: another name is a decision."""
    steps = sorted(name for name in names_of(job) if "/" not in name and not name.startswith("ref_"))
    assert steps == STEPS.read_text(encoding="utf-8").splitlines(), "\n".join(steps)


def test_only_what_runs_models_asks_for_an_accelerator(job: Any) -> None:
    hints = {
        name: {urn: value.decode() for urn, value in each.resource_hints.items()}
        for name, each in job.components.environments.items()
    }
    assert sorted(map(str, hints.values())) == sorted(["{}", str({"beam:resources:accelerator:v1": ACCELERATOR})])
    with_models = {
        each.unique_name.split("/")[0]
        for each in job.components.transforms.values()
        if each.environment_id and hints[each.environment_id]
    }
    assert with_models == {"Check models", "Index dense", "Encode queries dense", "Score sample", "Mine"}


def test_keys_are_encoded_deterministically(job: Any) -> None:
    """Grouping compares encoded keys: a key that is pickled in two ways would be two keys."""
    components = job.components
    for transform in components.transforms.values():
        if transform.spec.urn != "beam:transform:group_by_key:v1":
            continue
        (collection,) = transform.inputs.values()
        coder = components.coders[components.pcollections[collection].coder_id]
        assert coder.spec.urn == "beam:coder:kv:v1", transform.unique_name
        key = components.coders[coder.component_coder_ids[0]]
        kind = key.spec.urn
        if kind == "beam:coder:pickled_python:v1":
            kind = re.sub(r"\W.*", "", proto_text(key.spec.payload))
        assert kind in {
            "beam:coder:varint:v1",
            "beam:coder:bytes:v1",
            "beam:coder:string_utf8:v1",
            "beam:coder:global_window:v1",
            "DeterministicFastPrimitivesCoderV2",
        }, f"{transform.unique_name}: {kind}"


def proto_text(payload: bytes) -> str:
    from google.protobuf import wrappers_pb2

    return str(proto_utils.parse_Bytes(payload, wrappers_pb2.BytesValue).value, "latin-1")


def test_it_is_small_and_holds_no_text_of_the_data(job: Any) -> None:
    data = job.SerializeToString()
    assert len(data) < MEGABYTE
    for name in ("corpus", "queries"):
        for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:50]:
            row = json.loads(line)
            assert row["text"].encode() not in data
            assert row["_id"].encode() not in data


def test_the_programs_of_the_template_make_the_same_job(tmp_path: Path) -> None:
    parameters = [f"--corpus={DATA}/corpus.jsonl", f"--queries={DATA}/queries.jsonl", "--command=mine"]
    more = [f"--qrels={DATA}/qrels/train.tsv", f"--output={tmp_path}/out", "--k=20"]
    program = [sys.executable, str(ROOT / "deploy" / "flex" / "main.py")]
    done = subprocess.run([*program, *parameters, *more, *JOB], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert f"hardneg publish {tmp_path}/out.work" in done.stdout
    plan = json.loads((tmp_path / "out.work" / "plan.json").read_text(encoding="utf-8"))
    assert plan["options"]["k"] == 20


def test_the_lock_is_what_is_installed() -> None:
    program = ROOT / "deploy" / "dataflow" / "lock.py"
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == (ROOT / "requirements-dataflow.txt").read_text(encoding="utf-8")

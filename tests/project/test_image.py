"""The image that Dataflow runs: what can be known of it without building it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
# What apache-beam[gcp] asks for otherwise than requirements.txt has it.
OTHERWISE = {"tenacity", "grpcio"}


def instructions() -> list[tuple[str, str]]:
    """Each instruction and what follows it, on one line."""
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line.strip()]


def versions(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {pin.name.lower().replace("_", "-"): str(pin.specifier) for pin in pins}


def test_it_copies_what_there_is() -> None:
    sources = [
        source
        for name, told in instructions()
        if name == "COPY" and not told.startswith("--from")
        for source in shlex.split(told)[:-1]
    ]
    assert {"transforms", "pipelines", "hardneg", "deploy/flex/main.py", "requirements-dataflow.txt"} <= set(sources)
    assert [source for source in sources if not (ROOT / source).exists()] == []
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert [source for source in sources if source.split("/")[0] in ignored] == []


def test_it_is_of_the_beam_that_we_run_on() -> None:
    (beam,) = [told.partition("=")[2] for name, told in instructions() if name == "ARG" and told.startswith("BEAM=")]
    assert versions("requirements.txt")["apache-beam"] == f"=={beam}"


def test_it_serves_as_worker_and_as_launcher() -> None:
    told = dict(instructions())
    assert told["ENTRYPOINT"] == '["/opt/apache/beam/boot"]'
    set_to = dict(each.split("=", 1) for name, each in instructions() if name == "ENV")
    assert set_to["HF_HUB_OFFLINE"] == "1"
    assert set_to["FLEX_TEMPLATE_PYTHON_PY_FILE"] in {
        shlex.split(each)[-1] for name, each in instructions() if name == "COPY"
    }


def test_the_lock_has_the_versions_of_requirements_txt() -> None:
    ours, locked = versions("requirements.txt"), versions("requirements-dataflow.txt")
    assert {name for name in ours if locked.get(name) != ours[name]} <= OTHERWISE


@pytest.mark.parametrize("argument", ["TORCH_INDEX", "TORCH_NEEDS", "MODELS"])
def test_the_build_that_is_described_has_its_arguments(argument: str) -> None:
    assert any(name == "ARG" and told.startswith(f"{argument}=") for name, told in instructions())
    build = (ROOT / "deploy" / "flex" / "flex_template_cloudbuild.yaml").read_text(encoding="utf-8")
    assert f"--build-arg={argument}=${{_{argument}}}" in build
    assert f"  _{argument}:" in build

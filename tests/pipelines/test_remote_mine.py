"""Runs with a served reranker: what a failure costs, and that a served model gives the triplets of the loaded one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mined_runs import ONE_WORKER, Mine, Run, TinyModels
from rerank_server import KEY, RerankServer, refuse

from hardneg.pipelines import cli
from hardneg.pipelines.commands import estimate
from hardneg.transforms.models.loaded import cross_encoder
from hardneg.transforms.models.spec import ModelSpec


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], animals: Path, tiny_models: TinyModels
) -> Callable[..., tuple[int, str]]:
    """Return a function that runs a subcommand on the small collection: exit code, and all that it said."""

    def call(subcommand: str, *args: str | Path, source: str | Path = animals) -> tuple[int, str]:
        options = ["--from", source] if source != animals else ["--input", source]
        if source == animals:
            options += ["--bi-encoder", tiny_models.bi_encoder]
        options += args
        code = cli.run([subcommand, *(str(arg) for arg in options), "--", *ONE_WORKER])
        said = capsys.readouterr()
        assert KEY not in said.out + said.err
        return code, " ".join((said.out + said.err).split())

    return call


def finished(folder: Path) -> Run:
    return Run(folder, json.loads((folder / "manifest.json").read_text(encoding="utf-8")))


OPTIONS: dict[str, Any] = {"negatives": 2, "k": 10, "max_sigmoid": 0.9, "output_shards": 1}
TASK = [word for name, value in OPTIONS.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def options_of(server: RerankServer, *more: str) -> list[str]:
    return [*TASK, "--cross-encoder", server.tei, "--cross-encoder-revision", "abc", *more]


def test_mining_goes_on_after_a_failure(
    server: RerankServer, command: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was scored before is not asked again, and the result is that of a run without a failure."""
    monkeypatch.setenv("HARDNEG_API_KEY", KEY)
    output = tmp_path / "out"
    server.faults = [None] * 8
    server.always = refuse(400, f"{KEY} is not what I can do")
    code, said = command("mine", *options_of(server), "--output", output)
    assert code == 2
    assert f"hardneg: cross-encoder {server.tei}: it refuses a request (400: *** is not what I can do); see " in said
    assert "Traceback" not in said
    assert not output.exists()
    before = len(server.asked)
    assert before >= 8

    server.faults, server.always = [], None
    code, said = command("mine", *options_of(server), "--output", output)
    assert code == 0
    again = [pair for pair in server.asked if server.asked.count(pair) > 1]
    assert set(again) == {("What is rain?", "Rain is water.")}, "only what checks that the server is there"
    resumed = finished(output)
    pairs = resumed.manifest["counts"]["pairs_scored"]
    assert len({pair for pair in server.asked if pair not in again}) <= pairs
    assert not (tmp_path / "out.work").exists()

    (tmp_path / "run.toml").write_text("cross-encoder-batch = 2\n")
    code, _ = command("mine", *options_of(server, "--config", tmp_path / "run.toml"), "--output", tmp_path / "clean")
    assert code == 0
    clean = finished(tmp_path / "clean")
    assert clean.manifest["shards"] == resumed.manifest["shards"]
    assert clean.table("triplets").num_rows > 0
    model = resumed.manifest["models"]["cross_encoder"]
    described = {name: model[name] for name in ("kind", "model", "revision", "api", "name")}
    assert described == {
        "kind": "cross-encoder", "model": server.tei, "revision": "abc", "api": "tei", "name": None,
    }  # fmt: skip
    assert "unknown_token_share" not in model
    assert resumed.manifest["share_of_pairs_cut"] == 0
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_a_served_model_gives_the_triplets_of_the_loaded_one(
    command: Callable[..., tuple[int, str]], animals: Path, tiny_models: TinyModels, mined: Mine, tmp_path: Path
) -> None:
    local = cross_encoder(ModelSpec("cross-encoder", str(tiny_models.cross_encoder)))

    def scores(query: str, passages: list[str]) -> list[float]:
        return [float(each) for each in local.score([query] * len(passages), passages)[0]]

    with RerankServer(scores).running() as server:
        assert command("mine", *options_of(server), "--output", tmp_path / "served")[0] == 0
    served, here = finished(tmp_path / "served"), mined(input=str(animals), **OPTIONS)
    assert served.manifest["shards"] == here.manifest["shards"]
    assert served.table("triplets").num_rows > 0


def test_a_finished_run_is_mined_again_with_what_is_missing(
    server: RerankServer, command: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """Its revision goes along; how it is asked may change, what it is may not."""
    assert command("mine", *options_of(server), "--output", tmp_path / "out")[0] == 0
    asked = set(server.asked)
    (tmp_path / "run.toml").write_text("cross-encoder-batch = 3\n")
    more = ("--max-sigmoid", "0.5", "--score-missing", "--output", tmp_path / "more")
    code, said = command("mine", "--config", tmp_path / "run.toml", *more, source=tmp_path / "out")
    assert code == 0, said
    new = [pair for pair in server.asked if pair not in asked]
    assert new
    assert len(new) == len(set(new))
    code, said = command("mine", "--cross-encoder-revision", "abd", *more, "--overwrite", source=tmp_path / "out")
    assert code == 2
    assert "--cross-encoder-revision cannot change with --from" in said


def test_a_judge_file_is_of_one_revision(
    server: RerankServer, command: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    judge = tmp_path / "judge.json"
    task = ("--negatives", "2", "--k", "10", "--cross-encoder", server.tei)
    assert command("calibrate", *task, "--cross-encoder-revision", "abc", "--output", judge)[0] == 0
    use = (*task, "--judge-file", judge, "--output", tmp_path / "out", "--cross-encoder-revision")
    code, said = command("mine", *use, "other")
    assert code == 2
    assert "was calibrated with another model as cross_encoder" in said
    assert command("mine", *use, "abc")[0] == 0


def test_an_unreachable_server_is_told_before_anything_expensive(
    server: RerankServer, command: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    server.always = refuse(401)
    code, said = command("mine", *options_of(server), "--output", tmp_path / "out")
    assert code == 2
    assert "it refuses a request (401); put a key that it accepts into the environment variable" in said
    assert not list((tmp_path / "out.work").glob("embeddings/*"))
    assert len(server.requests) == 1


def test_a_dry_run_times_it(
    server: RerankServer,
    command: Callable[..., tuple[int, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estimate, "MEASURED", 5)
    code, said = command("mine", *options_of(server), "--dry-run", "--output", tmp_path / "out")
    assert code == 0
    assert "the served cross-encoder was asked for 10 scores to time it; they are not kept" in said
    assert len(server.asked) == 11
    assert math.isfinite(float(said.rpartition("about ")[2].split()[0]))

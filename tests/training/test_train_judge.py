"""`hardneg train-judge` from end to end: a small random model, a kill on the way, the bundled model for real."""

from __future__ import annotations

import importlib.util
import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ANIMALS, PLACES
from mined_runs import ONE_WORKER
from tiny_models import save_tiny

from hardneg.errors import HardnegError, InputError
from hardneg.pipelines import cli
from hardneg.pipelines.commands import driver
from hardneg.pipelines.commands import train_judge as train_judge_command
from hardneg.pipelines.commands.train_judge import train_judge
from hardneg.pipelines.options.command_line import option_of
from hardneg.pipelines.options.exit_codes import USER_ERROR
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.train import TrainOptions
from hardneg.transforms.inputs.rejections import how_to_go_on
from hardneg.transforms.models.cross_encoder import CrossEncoder
from hardneg.transforms.models.spec import ModelSpec


class Watching:
    """Keeps what it is told; stops the training as a person would, if asked to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.notes: list[str] = []
        self.steps: list[int] = []

    def mining(self, work: str) -> AbstractContextManager[None]:
        return nullcontext()

    def step(self, done: int, of: int) -> None:
        self.steps.append(done)
        if done == self.stop_at:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {
            "query": f"What does the {animal} eat in {place}?",
            "passage": f"In {there} it eats {food}.",
            "label": float(there == place),
        }
        for animal in ANIMALS
        for place in PLACES
        for there, food in PLACES.items()
    ]
    path = tmp_path_factory.mktemp("scored") / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


def options(**given: Any) -> TrainOptions:
    return TrainOptions.model_validate({"held_out": 8, "batch_size": 8, "evaluations": 3, "device": "cpu", **given})


def logits(folder: Path) -> np.ndarray:
    scorer = CrossEncoder(ModelSpec("cross-encoder", str(folder), dtype="float32"))
    queries = [f"What does the {animal} eat in Wales?" for animal in ANIMALS]
    return scorer.score(queries, ["In Wales it eats eels."] * len(queries))[0]


def test_what_a_training_needs_besides_is_named_before_anything_is_done(
    scored: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "accelerate" else object())
    with pytest.raises(HardnegError, match=r"^train-judge needs accelerate: pip install 'hardneg\[train\]'\."):
        train_judge(options(scored_pairs=[str(scored)], base=str(tiny), output=str(tmp_path / "model")), [], Watching())
    assert list(tmp_path.iterdir()) == []


def test_a_training_goes_on_where_it_was_stopped_and_ends_the_same(scored: Path, tiny: Path, tmp_path: Path) -> None:
    def training(name: str) -> TrainOptions:
        return options(scored_pairs=[str(scored)], base=str(tiny), output=str(tmp_path / name), learning_rate=1e-2)

    whole = Watching()
    trained = train_judge(training("whole"), [], whole)
    assert whole.steps == list(range(1, trained.steps + 1))
    assert 1 < sum(note.startswith("step") for note in whole.notes) <= 3
    assert not Path(training("whole").work_folder).exists()
    with pytest.raises(KeyboardInterrupt):
        train_judge(training("cut"), [], Watching(stop_at=trained.steps // 2))
    assert not (tmp_path / "cut").exists()
    on = Watching()
    again = train_judge(training("cut"), [], on)
    assert 1 < on.steps[0] <= trained.steps // 2 + 1
    assert any("goes on from step" in note for note in on.notes)
    assert (again.mrr_base, again.mrr_trained, again.best_step) == (
        trained.mrr_base,
        trained.mrr_trained,
        trained.best_step,
    )
    np.testing.assert_array_equal(logits(tmp_path / "whole"), logits(tmp_path / "cut"))
    assert (logits(tmp_path / "whole") != logits(tiny)).all()


def test_a_work_folder_of_another_training_is_refused(scored: Path, tiny: Path, tmp_path: Path) -> None:
    given = {"scored_pairs": [str(scored)], "base": str(tiny), "output": str(tmp_path / "model")}
    with pytest.raises(KeyboardInterrupt):
        train_judge(options(**given), [], Watching(stop_at=1))
    with pytest.raises(HardnegError, match="left from a training with other options"):
        train_judge(options(**given, learning_rate=1e-3), [], Watching())
    (tmp_path / "model").mkdir()
    with pytest.raises(HardnegError, match="it exists"):
        train_judge(options(**given), [], Watching())


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("failed writing file data/7")])
def test_a_full_disk_leaves_no_model_and_the_training_goes_on(
    scored: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    given = options(scored_pairs=[str(scored)], base=str(tiny), output=str(tmp_path / "model"), evaluations=1)

    def full(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(train_judge_command, "write_digests", full)
        with pytest.raises(HardnegError, match="is full; make room and start the same command again"):
            train_judge(given, [], Watching())
    assert not (tmp_path / "model").exists()
    again = Watching()
    train_judge(given, [], again)
    assert any("goes on from step" in note for note in again.notes)
    assert (tmp_path / "model" / "training_pairs.npy").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


@pytest.mark.slow
def test_the_bundled_model_learns_from_a_collection_and_calibration_knows_it(
    animals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command from known positives to a model; then the model judges the very pairs that it learned from."""
    model = tmp_path / "judge"
    argv = ["train-judge", "--input", str(animals), "--output", str(model), "--held-out", "4", "--rounds", "2"]
    status = cli.run([*argv, "--max-length", "64", "--evaluations", "1", "--", *ONE_WORKER])
    out, err = capsys.readouterr()
    assert status == 0, err
    assert "MRR@10 of the held-out queries" in out
    assert "as retrieved" in out
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "| by this model |" in card
    assert "peak learning rate 2e-05" in card, "the base is trained already"
    assert str(animals) in card
    assert json.loads((model / "config.json").read_text())["dtype"] == "float16"
    limit = json.loads((model / "tokenizer_config.json").read_text())["model_max_length"]
    assert limit == 512, "what the base reads; 64 is the training's"
    assert {path.suffix for path in model.iterdir()} == {".md", ".json", ".safetensors", ".npy"}

    run = {"input": str(animals), "cross_encoder": str(model), "target_false_negative_rate": 0.2, "k": 10}
    manifest = driver.mine(MineConfig.model_validate({**run, "output": str(tmp_path / "run")}), ONE_WORKER)
    table = pq.read_table(tmp_path / "run" / "candidates").to_pylist()
    marked = [row["seen_in_training"] for row in table if row["verdict"] == "positive"]
    assert sum(marked) >= 0.5 * len(marked)
    assert not all(marked), "held-out queries were not learned from"
    assert all(row["seen_in_training"] is None for row in table if row["verdict"] != "positive")
    assert "this judge has seen" in manifest["denoising"]["reason"]
    judge = json.loads((tmp_path / "run" / "judge.json").read_text())
    assert judge["sample"]["positives_seen_in_training"] > 0

    again = {**run, "from_run": str(tmp_path / "run"), "output": str(tmp_path / "again")}
    driver.mine(MineConfig.model_validate(again), ONE_WORKER)
    assert (tmp_path / "again" / "judge.json").read_bytes() == (tmp_path / "run" / "judge.json").read_bytes()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "no training data"),
        (["--scored-pairs", "nothing.jsonl"], "matches no file"),
        (["--input", "nowhere"], "nowhere"),
        (["--input", "nowhere", "--base", "./nothing"], "there is no such folder"),
    ],
)
def test_mistakes_are_one_sentence(
    argv: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.run(["train-judge", *argv, "--output", str(tmp_path / "model")])
    err = capsys.readouterr().err
    assert status == USER_ERROR
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "model").exists()


def test_what_a_training_is_advised_it_has() -> None:
    """What is said of broken rows names an option, which this command takes and passes on to its mining."""
    advice = InputError(f"{how_to_go_on(1, 8)}.").told(option_of)
    option, value = advice.rstrip(".").rpartition(" set ")[2].split(" to ")
    argv = ["train-judge", "--pairs", "x.jsonl", "--output", "model", option, value]
    _, bound, _ = cli.app.parse_args(argv, exit_on_error=False, print_error=False)
    assert MineConfig.model_validate(bound.arguments["config"].mining("run")).max_rejected == 0.125

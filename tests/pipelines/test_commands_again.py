"""The commands that decide again: mine --from, calibrate, judge files, as a user gives them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mined_runs import ONE_WORKER, Mine, Run, TinyModels

from hardneg.pipelines import cli
from hardneg.pipelines.options.files import options_of_run

OPTIONS: dict[str, Any] = {"k": 12, "negatives": 3, "target_leak_rate": 0.1, "output_shards": 2}


@pytest.fixture(scope="module")
def run(animals: Path, mined: Mine) -> Run:
    return mined(input=str(animals), **OPTIONS)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tiny_models: TinyModels) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command line: exit code, output, errors on one line."""

    def call(*args: str | Path) -> tuple[int, str, str]:
        models = tiny_models.arguments if "--input" in args and "--bi-encoder" not in args else []
        code = cli.run([*(str(arg) for arg in args), *models, "--", *ONE_WORKER])
        said = capsys.readouterr()
        return code, " ".join(said.out.split()), " ".join(said.err.split())

    return call


def options(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["options"]


def test_mine_from_a_run(run: Run, tmp_path: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    code, said, _ = command("mine", "--from", run.folder, "--max-sigmoid", "0.5", "--output", tmp_path / "new")
    assert code == 0
    assert "triplets of 21 queries" in said
    new = options(tmp_path / "new")
    assert (new["max_sigmoid"], new["target_leak_rate"]) == (0.5, None), "a threshold replaces what the run had"
    assert (new["k"], new["negatives"], new["from_run"]) == (12, 3, str(run.folder))
    # A run that was mined from another is one like any other, and its manifest repeats it.
    code, said, _ = command("mine", "--from", tmp_path / "new", "--negatives", "2", "--output", tmp_path / "third")
    assert code == 0
    assert options(tmp_path / "third")["max_sigmoid"] == 0.5
    code, _, _ = command("mine", "--config", tmp_path / "new" / "manifest.json", "--output", tmp_path / "again")
    assert code == 0
    shards = [json.loads((tmp_path / name / "manifest.json").read_text())["shards"] for name in ("new", "again")]
    assert shards[0] == shards[1]


def test_rejected_rows_and_what_was_read_stay(
    animals: Path, tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(animals, data)
    with (data / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write("{broken\n")
    (tmp_path / "run.toml").write_text("max-rejected = 0.1\n")
    given = ["--input", data, "--config", tmp_path / "run.toml", "--max-sigmoid", "0.4", "--k", "6"]
    assert command("mine", *given, "--output", tmp_path / "one")[0] == 0
    more = ["--order", "fused", "--score-missing", "--output", tmp_path / "two"]
    assert command("mine", "--from", tmp_path / "one", *more)[0] == 0
    one, two = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("one", "two"))
    assert one["inputs"] == two["inputs"]
    assert one["counts"]["rows_rejected"] == two["counts"]["rows_rejected"] == 1
    (rejected,) = (tmp_path / "one" / "rejected").iterdir()
    assert (tmp_path / "two" / "rejected" / rejected.name).read_bytes() == rejected.read_bytes()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--k", "50"], "--k cannot change with --from RUN: it decided what was retrieved or scored there;"),
        (["--min-relevance", "2"], "--min-relevance cannot change with --from RUN:"),
        (["--bi-encoder", "other"], "--bi-encoder cannot change with --from RUN:"),
        (
            ["--group", "section:forbid"],
            "--group section: candidates/ of RUN has no such column; mine again with --pass-through section",
        ),
        (["--ranks", "4:3"], "--ranks: ranks begin at 1, and the last is not before the first, not '4:3'."),
    ],
)
def test_what_cannot_change(
    run: Run, tmp_path: Path, command: Callable[..., tuple[int, str, str]], given: list[str], message: str
) -> None:
    code, _, said = command("mine", "--from", run.folder, *given, "--output", tmp_path / "new")
    assert code == 2
    assert message.replace("RUN", str(run.folder)) in said
    assert not (tmp_path / "new").exists()


def test_no_run_to_read(run: Run, tmp_path: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    code, _, said = command("mine", "--from", tmp_path / "nowhere", "--output", tmp_path / "new")
    assert (code, "is not a finished run (it is not there)" in said) == (2, True)
    half = tmp_path / "half"
    shutil.copytree(run.folder, half)
    shutil.rmtree(half / "passages")
    code, _, said = command("mine", "--from", half, "--output", tmp_path / "new")
    assert (code, "has no passages/: give a whole run" in said) == (2, True)
    manifest = json.loads((run.folder / "manifest.json").read_text())
    (half / "manifest.json").write_text(json.dumps({**manifest, "models": None}))
    code, _, said = command("mine", "--from", half, "--output", tmp_path / "new")
    assert (code, "its manifest.json has no models; give a folder that" in said) == (2, True)
    shutil.rmtree(half)
    shutil.copytree(run.folder, half)
    shard = sorted((half / "passages").iterdir())[0]
    pq.write_table(pq.read_table(shard).slice(1), shard)
    code, _, said = command("mine", "--from", half, "--output", tmp_path / "new")
    assert (code, "which candidates/ names: the run is damaged" in said) == (2, True)


def test_missing_scores_end_with_their_number(
    animals: Path, mined: Mine, tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    lazy = mined(input=str(animals), k=12, negatives=1, max_sigmoid=1)
    stricter = ["mine", "--from", lazy.folder, "--max-sigmoid", "0.001", "--output", tmp_path / "new"]
    code, _, said = command(*stricter)
    assert code == 2
    assert "pairs that it did not score; add --score-missing to score only what is missing." in said
    code, _, _ = command(*stricter, "--score-missing")
    assert code == 0


def test_calibrate_writes_the_judge_that_mine_takes(
    animals: Path, run: Run, tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    """From the inputs and from a finished run, the file is the one that mining writes beside its output."""
    same = ["--k", "12", "--negatives", "3"]
    given = ["--input", animals, *same, "--target-leak-rate", "0.1"]
    code, said, _ = command("calibrate", *given, "--output", tmp_path / "judge.json")
    assert code == 0
    assert "similarity_dense" in said
    assert "estimated: at most 10.0% of relevant passages pass" in said
    written = (tmp_path / "judge.json").read_text(encoding="utf-8")
    assert written == (run.folder / "judge.json").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["judge.json"]

    code, _, _ = command("calibrate", "--from", run.folder, "--output", tmp_path / "again.json")
    assert code == 0
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == written

    judge = ["--judge-file", tmp_path / "judge.json"]
    code, _, said = command(
        "mine", "--input", animals, *same, *judge, "--output-shards", "2", "--output", tmp_path / "m"
    )
    assert code == 0
    for path in sorted((run.folder / "triplets").iterdir()):
        assert path.read_bytes() == (tmp_path / "m" / "triplets" / path.name).read_bytes()
    code, _, said = command("mine", "--input", animals, "--k", "12", *judge, "--output", tmp_path / "n")
    assert code == 2
    assert "was calibrated with negatives = 3, and this run has 5: its threshold says nothing here." in said


@pytest.mark.parametrize(
    ("output", "more", "message"),
    [
        ("judge", [], "a calibration is one file; give it a name that ends in .json."),
        ("no/judge.json", [], "there is no such folder; make it first."),
        ("old.json", [], "it exists; choose another name, or pass --overwrite to replace it."),
        ("new.json", ["--judge-file", "x.json"], "--judge-file is what a calibration writes, not what it takes;"),
    ],
)
def test_calibrate_refuses(
    run: Run, tmp_path: Path, command: Callable[..., tuple[int, str, str]], output: str, more: list[str], message: str
) -> None:
    (tmp_path / "old.json").write_text("old")
    code, _, said = command("calibrate", "--from", run.folder, *more, "--output", tmp_path / output)
    assert code == 2
    assert message in said
    assert (tmp_path / "old.json").read_text() == "old"


@pytest.mark.parametrize(
    ("text", "message"), [("{}", "is no judge.json"), (None, "does not exist: check the path"), (b"\xff", "no judge")]
)
def test_a_bad_judge_file(
    animals: Path, tmp_path: Path, command: Callable[..., tuple[int, str, str]], text: str | bytes | None, message: str
) -> None:
    file = tmp_path / "j.json"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, _, said = command("mine", "--input", animals, "--judge-file", file, "--output", tmp_path / "out")
    assert code == 2
    assert str(file) in said
    assert message.lower() in said.lower()


def test_a_judge_of_other_retrievers(
    animals: Path, run: Run, tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    judge = ["--judge-file", run.folder / "judge.json", "--k", "12", "--negatives", "3"]
    code, _, said = command("mine", "--input", animals, *judge, "--bi-encoder", "b=bundled", "--output", tmp_path / "o")
    assert code == 2
    assert "judges by 'similarity_dense', which no retriever of this run gives" in said


def test_thresholds_of_a_run_are_replaced_together(run: Run) -> None:
    assert options_of_run(str(run.folder), ["order", "gamma"])["target_leak_rate"] == 0.1
    assert "target_leak_rate" not in options_of_run(str(run.folder), ["max_sigmoid"])

"""500 queries of SQuAD and a refresh of them, on an engine and here: the same bytes. Tiny models, minutes of a core."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, Collection, output_hashes, run
from engine import Engine

SQUAD = ROOT.parent / "shared" / "data" / "squad11"
LOCAL = ("--runner=FnApiRunner",)

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def nights(collection: Collection) -> list[Path]:
    """The collection on two nights, where the second host can't see it: on the second, some passages are edited."""
    if not SQUAD.is_dir():
        pytest.skip("the whole of squad11 is not here")
    folders = [collection.folder / name for name in ("first-night", "second-night")]
    for folder in folders:
        shutil.copytree(SQUAD, folder, dirs_exist_ok=True)
        (folder / "corpus.jsonl").chmod(0o644)
    corpus = folders[1] / "corpus.jsonl"
    rows = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    for row in rows[::500]:
        row["text"] += " This was added in the night."
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folders


def asked(input: Path, models: list[str]) -> list[str]:
    return ["--input", str(input), "--split", "train", "--max-queries", "500", "--k", "20", *models]


def test_mining_them(engine: Engine, nights: list[Path], models: list[str], tmp_path: Path) -> None:
    for name, beam in (("local", LOCAL), ("engine", engine.options)):
        done = run(["mine", *asked(nights[0], models), "--output", str(tmp_path / name)], beam)
        assert done.code == 0, done.said
    assert output_hashes(tmp_path / "engine") == output_hashes(tmp_path / "local")
    assert done.told["figures"]["queries"] == 500


def test_refreshing_them(engine: Engine, nights: list[Path], models: list[str], tmp_path: Path) -> None:
    for name, beam in (("local", LOCAL), ("engine", engine.options)):
        for date, night in zip(("2026-01-01", "2026-01-02"), nights, strict=True):
            arguments = ["refresh", "--store", str(tmp_path / name), "--date", date, *asked(night, models)]
            done = run([*arguments, "--gate", "max-drift=off"], beam)
            assert done.code == 0, done.said
        assert done.told["changed"] == ["the inputs"]
    for date in ("2026-01-01", "2026-01-02"):
        made = [output_hashes(tmp_path / name / "snapshots" / date) for name in ("engine", "local")]
        assert made[0] == made[1]

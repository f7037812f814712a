"""`hardneg store` as its user sees it, on a store that a run has filled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardneg.pipelines.cli import run
from hardneg.pipelines.commands.store import Store
from hardneg.transforms.store.shelf import embedding_shelf, value_files_in
from hardneg.transforms.store.uses import StorePlace, values_of
from hardneg.transforms.store.value_keys import embedding_keys

MODEL = {"model": "[red]toy[/red]", "fingerprint": "f" * 64, "dimension": 2}


@pytest.fixture
def filled(tmp_path: Path) -> str:
    root = str(tmp_path / "store")
    keys = embedding_keys("passage", ["a", "b"])
    embedding_shelf(StorePlace(values_of(root)), MODEL).add(keys, np.ones((2, 2), np.float32))
    return root


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_what_is_in_it(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", filled]) == 0
    assert "[red]toy[/red]" in capsys.readouterr().out
    assert run(["store", filled, "--json"]) == 0
    (shelf,) = told(capsys)["list"]
    assert (shelf["kind"], shelf["values"], shelf["last_used"]) == ("embeddings", 2, None)


def test_damage_has_an_exit_code(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", filled, "--verify"]) == 0
    assert "1 files read again, 1 of them sound." in capsys.readouterr().out
    (path,) = value_files_in(embedding_shelf(StorePlace(values_of(filled)), MODEL).folder)
    Path(path).write_bytes(Path(path).read_bytes()[:-1])
    assert run(["store", filled, "--verify", "--json"]) == 1
    assert told(capsys)["verify"] == {"files": 1, "sound": 0, "damaged": [path]}


def test_what_nobody_uses_is_dropped(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", filled, "--gc", "--json"]) == 0
    assert [(each["before"], each["after"]) for each in told(capsys)["gc"]] == [(2, 0)]
    assert Store(filled).shelves()[0]["values"] == 0


def test_a_folder_that_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["store", str(tmp_path)]) == 2
    assert "is no store" in capsys.readouterr().err

"""An evaluation set that `mine --from` is given for the first time is looked for in the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished_run import candidate, write_run

from hardneg.errors import InputError
from hardneg.pipelines.graphs.remine import held_out_of_run
from hardneg.pipelines.options.mine import MineConfig


@pytest.fixture
def run(tmp_path: Path) -> str:
    rows = [candidate("q1", "p1", "positive", logit=1.0), candidate("q1", "p2", "negative", logit=0.0, selected=1)]
    options = {"holdout": [str(tmp_path / "before.txt")]}
    return str(write_run(tmp_path / "run", {"q1": "who?"}, {"p1": "she", "p2": "he"}, rows, options=options))


def told(run: str, *holdout: Path) -> list[str]:
    config = {"output": "out", "from_run": run, "holdout": [str(path) for path in holdout]}
    return held_out_of_run(MineConfig.model_validate(config))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("ids.txt", "q1 0 p9 1\nq8 0 p2 1\n", "1 of 2 queries, 1 of 2 passages"),
        ("texts.txt", "WHO?\nnobody\n", "1 of 2 queries, 0 of 2 passages"),
        ("pairs.csv", "query,positive\nwhere?,He\n", "0 of 1 queries, 1 of 1 passages"),
    ],
)
def test_how_much_of_it_is_in_the_run(tmp_path: Path, run: str, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert told(run, tmp_path / name) == [f"holdout: {said} are in the input, and are kept out."]


def test_another_collection_s_is_an_error(tmp_path: Path, run: str) -> None:
    (tmp_path / "dl19.txt").write_text("1 0 D7 1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"nothing of it is in the input \(0 of 1 queries, 0 of 1 passages\)"):
        told(run, tmp_path / "dl19.txt")


def test_what_the_run_kept_out_is_not_in_it_any_more(tmp_path: Path, run: str) -> None:
    (tmp_path / "before.txt").write_text("q0 0 p0 1\n", encoding="utf-8")
    assert told(run, tmp_path / "before.txt") == []

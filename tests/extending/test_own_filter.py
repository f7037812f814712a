"""A filter that is registered from outside is told of wherever those of the package are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from mined_runs import ONE_WORKER, TWO_WORKERS, Mine
from toy_filter import MarkedAsStub

from hardneg.errors import HardnegError
from hardneg.pipelines.report.reason_texts import verdict_table
from hardneg.pipelines.report.why import why
from hardneg.pipelines.report.why_table import why_rows
from hardneg.transforms.filters.registry import FILTERS

MARK = "frogs"
FILTERS.pop(
    MarkedAsStub.reason, None
)  # as if it were not imported yet: other tests are about the filters of the package


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILTERS, MarkedAsStub.reason, MarkedAsStub)


def options(animals: Path) -> dict[str, Any]:
    return {
        "input": str(animals),
        "filter": {MarkedAsStub.reason: {"stub_mark": MARK}},
        "max_sigmoid": 0.9,
        "negatives": 2,
        "k": 8,
    }


@pytest.mark.parametrize("beam_args", [ONE_WORKER, pytest.param(TWO_WORKERS, marks=pytest.mark.slow)])
def test_it_decides_in_every_worker(
    animals: Path, mined: Mine, beam_args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker imports the filter's module; nothing registers it there.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    run = mined(beam_args, page=True, **options(animals))
    texts = {row["passage_id"]: row["text"] for row in run.rows("passages")}
    rows = run.rows("candidates")
    marked = [row for row in rows if row["reason"] == "marked_as_stub"]
    assert marked
    assert all(MARK in texts[row["passage_id"]].casefold() for row in marked)
    assert all(row["verdict"] == "dropped" and row["logit"] is None for row in marked), "and they were not scored"
    assert run.rows("triplets")
    assert not any(MARK in row["negative"].casefold() for row in run.rows("triplets"))
    assert run.manifest["counts"]["reason_marked_as_stub"] == len(marked)


def test_its_reason_is_told(animals: Path, mined: Mine) -> None:
    run = mined(page=True, **options(animals))
    judge = json.loads((run.folder / "judge.json").read_text(encoding="utf-8"))
    assert judge["conditions"]["stub_mark"] == MARK
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert MarkedAsStub.sentence in page
    row = next(row for row in run.rows("candidates") if row["reason"] == "marked_as_stub")
    (answer,) = why(str(run.folder), row["query_id"], row["passage_id"])
    story = dict(why_rows(answer))
    assert story["verdict"] == f"dropped: {MarkedAsStub.sentence} (marked_as_stub, --stub-mark {MARK})"
    assert f"| `dropped` | `marked_as_stub` | {MarkedAsStub.sentence} |" in verdict_table()


def test_a_judge_is_not_used_without_it(animals: Path, mine: Mine, mined: Mine) -> None:
    judge = mined(page=True, **options(animals)).folder / "judge.json"
    plain = {name: value for name, value in options(animals).items() if name != "filter"}
    with pytest.raises(HardnegError, match=f'calibrated with stub_mark = "{MARK}", and this run has null'):
        mine(**plain, judge_file=str(judge))

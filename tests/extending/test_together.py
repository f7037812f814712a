"""Four extensions from outside, each in one file, through one run: read, retrieved, refused, exported, reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mined_runs import Run
from toy_filter import MarkedAsStub
from toy_format import Contrasts
from toy_retriever import CharacterRetriever
from toy_row_format import Records

from hardneg.errors import HardnegError
from hardneg.pipelines.cli import run as command
from hardneg.pipelines.options.finished import REPORT_DEFAULTS
from hardneg.pipelines.report.html import write_report
from hardneg.pipelines.report.report import report
from hardneg.transforms.filters.registry import FILTERS

MARK = "frogs"
# As if it were not imported yet: other tests are about the filters of the package.
FILTERS.pop(MarkedAsStub.reason, None)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILTERS, MarkedAsStub.reason, MarkedAsStub)


@pytest.fixture
def collection(animals: Path, tmp_path: Path) -> dict[str, Any]:
    """The options for the animals, their corpus a file of records."""
    passages = map(json.loads, (animals / "corpus.jsonl").read_text(encoding="utf-8").splitlines())
    blocks = ("\n".join(f"{name}: {value}" for name, value in passage.items()) for passage in passages)
    corpus = tmp_path / f"corpus{Records.suffixes[0]}"
    corpus.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return {
        "corpus": [str(corpus)],
        "queries": [str(animals / "queries.jsonl")],
        "qrels": [str(animals / "qrels" / "train.tsv")],
    }


def test_they_work_together(collection: dict[str, Any], mine: Callable[..., Run], tmp_path: Path) -> None:
    retrievers = [
        {"kind": "bm25", "name": "bm25"},
        {"kind": "bi-encoder", "name": "dense"},
        {"kind": CharacterRetriever.kind, "name": "toy"},
    ]
    run = mine(
        **collection,
        retriever=retrievers,
        filter={MarkedAsStub.reason: {"stub_mark": MARK}},
        max_sigmoid=0.9,
        negatives=2,
        k=8,
    )
    rows = run.rows("candidates")
    assert {name for row in rows for name in row["sources"]} == {"bm25", "dense", "toy"}
    assert run.manifest["counts"]["reason_marked_as_stub"] > 0
    assert command(["export", str(run.folder), "--format", Contrasts.name, "--output", str(tmp_path / "exported")]) == 0
    shards = (tmp_path / "exported" / Contrasts.name).iterdir()
    exported = [json.loads(line) for shard in shards for line in shard.read_text(encoding="utf-8").splitlines()]
    assert sum(len(row["keep_from"]) for row in exported) == run.manifest["counts"]["mined"]
    assert not any(MARK in text.casefold() for row in exported for text in row["keep_from"])
    told = report(str(run.folder), REPORT_DEFAULTS)
    assert "toy" in told.sources
    assert MarkedAsStub.sentence in Path(write_report(told)).read_text(encoding="utf-8")


def test_a_broken_record_is_told(collection: dict[str, Any], mine: Callable[..., Run], tmp_path: Path) -> None:
    corpus = Path(collection["corpus"][0])
    with corpus.open("a", encoding="utf-8") as file:
        file.write("\n_id: broken\nno colon here\n")
    with pytest.raises(HardnegError) as raised:
        mine(**collection, max_sigmoid=0.9)
    assert f"{corpus}: 1 of 43 rows were rejected (1 'no colon here' is no `name: value`" in str(raised.value)

"""A format of somebody else's, registered from outside the package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from export_cases import FORMATS, options, rows_of
from finished_run import candidate, write_run

from hardneg.pipelines.cli import run as command
from hardneg.pipelines.commands.export import export
from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.export.format import Format
from hardneg.transforms.export.registry import export_formats, format_named, register_format
from hardneg.transforms.export.view import View, keys_of_queries, ragged


class QueriesOnly(Format):
    """Each query with the ids of its negatives, as JSON lines, and what they are of beside."""

    name = "queries-only"
    made_for = "nobody's trainer"
    suffix = "jsonl"
    beside = ("texts",)

    def view(self, chosen: Chosen, negatives: int, scores: bool) -> View:
        ids = ragged(chosen.negatives["passage_id"], chosen.negative_starts)
        return View(pa.table({"query": chosen.queries["text"], "ids": ids}), keys_of_queries(chosen))

    def of_passages(self, passages: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        yield "texts", passages.select(["passage_id", "text"])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    rows = [candidate("q", "p1", "positive", grade=1.0), candidate("q", "p2", "negative", selected=1)]
    return write_run(tmp_path / "run", {"q": "query"}, {"p1": "one", "p2": "two", "p3": "three"}, rows)


@pytest.fixture
def registered() -> None:
    register_format(QueriesOnly())
    register_format(QueriesOnly())  # again, as a module that is imported twice does


def test_a_registered_format_is_exported(small: Path, tmp_path: Path, registered: None) -> None:
    out = tmp_path / "out"
    assert command(["export", str(small), "--format", "queries-only", "--output", str(out)]) == 0
    assert rows_of(out, "queries-only") == [{"query": "query", "ids": ["p2"]}]
    assert {row["passage_id"]: row["text"] for row in rows_of(out, "texts")} == {"p1": "one", "p2": "two"}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["format"] == "queries-only"
    assert manifest["rows"] == {"queries-only": 1, "texts": 2}
    card = (out / "README.md").read_text()
    assert "Made for nobody's trainer." in card
    assert "path: queries-only/*.jsonl" in card


def test_the_built_in_formats_come_first() -> None:
    assert list(export_formats())[:6] == [
        "triplet",
        "n-tuple",
        "labeled-pair",
        "labeled-list",
        "flagembedding",
        "pylate",
    ]
    assert format_named("pylate").patterns == ("scores", "scores-*", "queries", "documents")


@pytest.mark.parametrize("name", ["", "triplets", "Triplet"])
def test_an_unknown_format_is_told_with_those_that_there_are(
    name: str, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = ["--format", name, "--output", str(tmp_path / "out")]
    assert command(["export", str(small), *given]) == 2
    said = capsys.readouterr().err
    assert "--format: it must be one of triplet, n-tuple, labeled-pair, labeled-list, flagembedding, pylate" in said
    assert not (tmp_path / "out").exists()


def test_every_format_says_what_it_is_made_for() -> None:
    for name in FORMATS:
        assert format_named(name).name == name
        assert len(format_named(name).made_for) > 20


def test_an_export_made_from_python_is_the_same(small: Path, tmp_path: Path, registered: None) -> None:
    manifest = export(str(small), options("queries-only", tmp_path / "out"))
    assert manifest["options"]["scores"] is False

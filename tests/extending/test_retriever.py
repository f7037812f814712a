"""A retriever that is registered from outside takes part in everything that the four of the package do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conftest import Run
from toy_retriever import CharacterRetriever

from hardneg.errors import OptionError
from hardneg.pipelines.options.command_line import told_to_mine
from hardneg.pipelines.options.files import checked
from hardneg.pipelines.options.finished import REPORT_DEFAULTS
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.pages import page
from hardneg.pipelines.report.report import report
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.retrieval.registry import RETRIEVERS, register

TOY = {"kind": "characters", "name": "toy", "alphabet": "aeiou"}


def test_it_mines(animals: Path, mine: Callable[..., Run]) -> None:
    """Without BM25, beside two bi-encoders with different prompts; and the same however the corpus is cut."""
    retrievers = [
        {"kind": "bi-encoder", "query_prompt": "query: ", "max_length": 32},
        {"kind": "bi-encoder", "name": "plain"},
        TOY,
    ]
    options: dict[str, Any] = {
        "input": str(animals), "retriever": retrievers, "relative_margin": 0.01, "negatives": 2, "k": 8
    }  # fmt: skip
    run = mine(**options)
    rows = run.rows("candidates")
    assert {name for row in rows for name in row["sources"]} == {"dense", "plain", "toy"}
    assert all(row["characters_toy"] is not None for row in rows)
    assert any(row["similarity_dense"] != row["similarity_plain"] for row in rows)
    fingerprints = {name: model["fingerprint"] for name, model in run.manifest["models"].items()}
    assert fingerprints["dense"] != fingerprints["plain"]
    assert run.manifest["counts"]["mined"] > 0
    ranked = [row for row in rows if row["query_id"] == rows[0]["query_id"] and row["rank_toy"]]
    ranked.sort(key=lambda row: row["rank_toy"])
    assert ranked == sorted(ranked, key=lambda row: (-row["characters_toy"], row["passage_id"]))
    cut = mine("cut", **options, segments=3, block_size=5)
    for kind in ("candidates", "triplets"):
        assert cut.hashes(kind) == run.hashes(kind)
    assert "toy" in report(str(run.folder), REPORT_DEFAULTS).sources
    assert FinishedRun.open(str(run.folder)).options["retriever"][2] == TOY


def test_its_keys_are_options() -> None:
    config = checked(MineConfig, {"output": "out", "bi_encoder": ["bundled"], "retriever": [TOY]})
    assert config.retrievers[1] == CharacterRetriever(name="toy", alphabet="aeiou")
    with pytest.raises(OptionError) as raised:
        checked(MineConfig, {"output": "out", "bi_encoder": ["bundled"], "retriever": [{**TOY, "letters": "a"}]})
    assert raised.value.told(told_to_mine).endswith(" 1 (characters): it has no letters.")


def test_its_row_is_in_the_docs() -> None:
    assert '`kind = "characters"`: passages that share characters with the query' in page(0, RETRIEVERS.values())
    assert "| `alphabet` | `abcdefghijklmnopqrstuvwxyz` | 计数的字符 |" in page(1, RETRIEVERS.values())


def test_a_kind_is_taken_once() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Other(CharacterRetriever):
        kind: ClassVar[str] = "bm25"

    with pytest.raises(OptionError, match="There is a retriever of the kind 'bm25' already"):
        register(Other)
    assert RETRIEVERS["bm25"] is not Other

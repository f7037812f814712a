"""The training benchmark on a made-up collection: what is trained on, what is asked, what is told."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.training_value.figure import draw
from benchmarks.training_value.table import lead, table
from benchmarks.training_value.task import read_task
from benchmarks.training_value.training import ask

INTENTS = {"card": 6, "loan": 6, "cash": 6}


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_qrels(path: Path, pairs: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{query}\t{passage}\t1\n" for query, passage in pairs]
    path.write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Each passage is a query, too, and has one known positive: the next of its intent."""
    names = [(intent, n) for intent, count in INTENTS.items() for n in range(count)]
    for root in (tmp_path, tmp_path / "test"):
        write_jsonl(root / "corpus.jsonl", [{"_id": f"p-{i}{n}", "title": "", "text": f"{i} {n}"} for i, n in names])
        write_jsonl(root / "queries.jsonl", [{"_id": f"q-{i}{n}", "text": f"{i} {n}"} for i, n in names])
    write_qrels(tmp_path / "qrels" / "train.tsv", [(f"q-{i}{n}", f"p-{i}{(n + 1) % INTENTS[i]}") for i, n in names])
    every = [(f"q-{i}{n}", f"p-{i}{m}") for i, n in names for m in range(INTENTS[i])]
    write_qrels(tmp_path / "qrels" / "hidden.tsv", every)
    write_qrels(tmp_path / "test" / "qrels" / "test.tsv", every)
    return tmp_path


@pytest.mark.parametrize("labels", [True, False])
def test_the_truth_is_of_labels_or_of_hidden_judgements(folder: Path, labels: bool) -> None:
    if labels:
        rows = [f"p-{i}{n}\t{i}\n" for i, count in INTENTS.items() for n in range(count)]
        (folder / "labels.tsv").write_text("passage-id\tintent\n" + "".join(rows), encoding="utf-8")
    task = read_task(folder, queries=10)
    assert len(task.train.queries) == 10
    assert task.is_relevant is not None
    query = next(iter(task.train.queries))
    intent = query[2:-1]
    relevant = {passage for passage in task.train.passages if task.is_relevant(query, passage)}
    assert relevant == {f"p-{intent}{n}" for n in range(6)}
    assert [len(group) for group in task.test.groups] == [6, 6, 6]


def test_without_a_test_of_its_own_a_collection_is_cut(folder: Path) -> None:
    for path in sorted((folder / "test").rglob("*.*")):
        path.unlink()
    task = read_task(folder)
    assert (len(task.train.queries), len(task.test.queries)) == (13, 5)
    assert not task.train.queries.keys() & task.test.queries.keys()
    (folder / "qrels" / "hidden.tsv").unlink()
    assert read_task(folder).is_relevant is None


class Table:
    """A model that gives each text the vector it is told."""

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        self.vectors = vectors

    def encode(self, texts: list[str], **_: Any) -> np.ndarray:
        return np.array([self.vectors[text] for text in texts], dtype=np.float32)


def test_figures_are_those_of_the_ranking(folder: Path) -> None:
    task = read_task(folder)
    axes = {"card": [1.0, 0.0, 0.0], "loan": [0.0, 1.0, 0.0], "cash": [0.9, 0.0, 0.1]}
    scores = ask(Table({f"{i} {n}": axes[i] for i in axes for n in range(6)}), task.test)  # type: ignore[arg-type]
    # Of card and cash, card's six stand first for both: cash's come at 7 to 12.
    late = sum(1 / math.log2(rank + 1) for rank in range(7, 11)) / sum(1 / math.log2(rank + 1) for rank in range(1, 7))
    assert scores.ndcg == pytest.approx((1 + 1 + late) / 3)
    assert scores.recall == pytest.approx((1 + 1 + 4 / 6) / 3)
    assert scores.map == pytest.approx((1 + 1 + np.mean([n / (6 + n) for n in range(1, 7)])) / 3)
    assert scores.groups == pytest.approx([6.0, 6 * late, 6.0])


def line(arm: str, loss: str, seed: int, groups: list[float], **more: Any) -> dict[str, Any]:
    known = {"collection": "made", "base": "static", "negatives": 5, "queries": 9, "sizes": [2, 2, 2], "false": 0.5}
    figures = {"ndcg@10": sum(groups) / 6, "map": 0.5, "recall@10": 0.5, "yield": 1.0, "hardness": 0.7}
    return {**known, **figures, "arm": arm, "loss": loss, "seed": seed, "groups": groups, **more}


def test_leads_are_of_the_seeds_that_both_have(tmp_path: Path) -> None:
    ours = [line("hardneg", "triplet", seed, [2.0, 1.5, 1.0], false=0.0) for seed in (0, 1)]
    theirs = [line("dense", "triplet", 0, [1.0, 1.5, 0.5]), line("dense", "triplet", 7, [9.0, 9.0, 9.0])]
    nothing = line("untrained", "none", 0, [1.0, 1.0, 1.0], hardness=None)
    found = lead(ours, theirs)
    assert found is not None
    assert found[0] == pytest.approx(0.25)
    assert 0.0 <= found[1] < 0.25 < found[2] <= 0.5
    assert lead(ours, [nothing]) is not None
    assert lead(ours[1:], theirs) is None
    lines = [*ours, *theirs, nothing, line("in-batch", "mnrl", 0, [1.0, 1.0, 1.0], hardness=None)]
    said = table(lines)
    assert "| **hardneg** | 0.0% | 100% | 0.700 | 0.7500 (2, 0.0000) |  |" in said
    assert "| the bi-encoder's first | +0.2500 (" in said
    draw(lines, tmp_path / "figure.svg")
    assert "the bi-encoder's first" in (tmp_path / "figure.svg").read_text(encoding="utf-8")

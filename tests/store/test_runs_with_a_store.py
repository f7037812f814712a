"""Runs that share a store: what was computed is found again, what changed is computed, and the bytes are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mined_runs import Mine, Run

from hardneg.transforms.store.upkeep import collect_garbage, list_shelves
from hardneg.transforms.store.uses import values_of

OPTIONS: dict[str, Any] = {"k": 12, "negatives": 3, "min_relevance": 2, "output_shards": 2, "max_sigmoid": 0.4}
KINDS = ("triplets", "candidates", "suspect_pairs", "passages", "queries")
COMPUTED = ("passages_encoded", "queries_encoded", "logits_computed")


@pytest.fixture(scope="module")
def reference(animals: Path, mined: Mine) -> Run:
    """The same run, without a store."""
    return mined(input=str(animals), **OPTIONS)


def computed(run: Run) -> dict[str, int]:
    return {name: run.manifest["counts"].get(name, 0) for name in COMPUTED}


def changed_copy(animals: Path, folder: Path) -> Path:
    """Return the collection with one passage edited, and one passage and one query that are new."""
    (folder / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/train.tsv"):
        (folder / name).write_text((animals / name).read_text(encoding="utf-8"), encoding="utf-8")
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    rows[3]["text"] += " It also eats plums."
    rows.append({"_id": "new", "title": "The crane", "text": "In Wales the crane eats eels."})
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with (folder / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"_id": "q-new", "text": "What does the crane eat?"}) + "\n")
    with (folder / "qrels" / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("q-new\tnew\t2\n")
    return folder


def test_nothing_is_computed_twice(animals: Path, reference: Run, mine: Mine, tmp_path: Path) -> None:
    """By the same run again, by one of changed data, and with another bi-encoder only the logits are found."""
    store = str(tmp_path / "store")
    first = mine("first", input=str(animals), **OPTIONS, store=store)
    again = mine("again", input=str(animals), **OPTIONS, store=store)
    for kind in KINDS:
        assert first.hashes(kind) == again.hashes(kind) == reference.hashes(kind), kind
    assert computed(first) == computed(reference)
    assert min(computed(first).values()) > 0
    assert computed(again) == dict.fromkeys(COMPUTED, 0)
    assert not (tmp_path / "first.work").exists()

    changed = mine("changed", input=str(changed_copy(animals, tmp_path / "data")), **OPTIONS, store=store)
    new = computed(changed)
    assert (new["passages_encoded"], new["queries_encoded"]) == (2, 1)
    assert 0 < new["logits_computed"] < computed(first)["logits_computed"] / 2

    prompted = [{"kind": "bm25"}, {"kind": "bi-encoder", "query_prompt": "find: "}]
    other = mine("other", input=str(animals), **OPTIONS, store=store, retriever=prompted)
    assert computed(other)["passages_encoded"] == computed(first)["passages_encoded"]
    counts = other.manifest["counts"]
    assert counts["logits_found"] > 0
    assert counts["logits_found"] + counts["logits_computed"] == counts["pairs_scored"]

    kinds = sorted((shelf.kind, shelf.values) for shelf in list_shelves(values_of(store)))
    assert [kind for kind, _ in kinds] == ["embeddings", "embeddings", "logits"]
    list(collect_garbage(values_of(store)))
    assert sorted((shelf.kind, shelf.values) for shelf in list_shelves(values_of(store))) == kinds, "all runs are here"


def test_damage_costs_work_and_no_bytes(animals: Path, reference: Run, mine: Mine, tmp_path: Path) -> None:
    store = tmp_path / "store"
    mine("first", input=str(animals), **OPTIONS, store=str(store))
    for path in (store / "values").glob("*/*/*.parquet"):
        path.write_bytes(path.read_bytes()[:60])
    again = mine("again", input=str(animals), **OPTIONS, store=str(store))
    for kind in KINDS:
        assert again.hashes(kind) == reference.hashes(kind), kind
    assert computed(again) == computed(reference)
    assert any("files of the store were damaged, and are set aside" in note for note in again.manifest["notes"])
    assert list((store / "values").rglob("damaged/*.parquet"))

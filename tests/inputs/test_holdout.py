"""Evaluation sets stay out of the triplets, in whatever form they are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import write_beir
from mined_runs import FEW_QUERIES, Mine, Run, TinyModels

from hardneg.errors import HardnegError
from hardneg.transforms.core.partition import DIGEST
from hardneg.transforms.core.text import normalise, text_digest
from hardneg.transforms.inputs.evaluation_sets import (
    NOTHING_HELD_OUT,
    Holdout,
    held_out_of,
    read_evaluation_sets,
)


def read_holdout(*paths: Path) -> Holdout:
    return held_out_of(read_evaluation_sets([str(path) for path in paths], 1.0))


def digests(*texts: str) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([text_digest(text) for text in texts], DIGEST)])


def ids(*names: str) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(names, pa.string())])


def test_qrels_hold_out_by_id(tmp_path: Path) -> None:
    file = tmp_path / "dev.tsv"
    file.write_text("query-id\tcorpus-id\tscore\nq1\tp1\t1\nq2\tp2\t0\n", encoding="utf-8")
    held = read_holdout(file)
    assert held.queries(ids("q1", "q2", "q3"), digests("a", "b", "c")).tolist() == [True, True, False]
    # A passage that was judged not relevant is no gold passage.
    assert held.passages(ids("p1", "p2", "p3"), digests("a", "b", "c")).tolist() == [True, False, False]


def test_texts_hold_out_whatever_their_ids(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"query": "What is it?", "positive": "It is this."}) + "\n", encoding="utf-8")
    folder = write_beir(
        tmp_path / "dev",
        [{"_id": "1", "title": "A", "text": "gold"}, {"_id": "2", "title": "", "text": "other"}],
        [{"_id": "x", "text": "Which one?"}, {"_id": "y", "text": "unjudged"}],
        [("x", "1", 1)],
    )
    held = read_holdout(pairs, folder)
    queries = held.queries(ids(*"abcd"), digests("WHAT  is it?", "which one?", "unjudged", "another"))
    assert queries.tolist() == [True, True, False, False]
    passages = held.passages(ids(*"abcd"), digests("it is this.", "A gold", "other", ""))
    assert passages.tolist() == [True, True, False, False], "nothing is held out for being empty"


def test_nothing_held_out() -> None:
    assert NOTHING_HELD_OUT.queries(ids("a"), digests("a")).tolist() == [False]
    assert NOTHING_HELD_OUT.passages(ids(), digests()).tolist() == []


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HardnegError, match="holdout"):
        read_holdout(tmp_path / "none.tsv")


@pytest.mark.parametrize("name", ["empty.tsv", "empty.txt", "head.tsv"])
def test_an_evaluation_set_that_holds_nothing_is_refused(tmp_path: Path, name: str) -> None:
    """It would protect nothing, and its user would not know."""
    file = tmp_path / name
    file.write_text("query-id\tcorpus-id\tscore\n" if name == "head.tsv" else "")
    with pytest.raises(HardnegError, match="holdout"):
        read_holdout(file)


def written(run: Run) -> tuple[set[str], set[str]]:
    rows = run.rows("triplets")
    passages = {row[name] for row in rows for name in ("positive", "negative")}
    return {normalise(row["anchor"]) for row in rows}, {normalise(passage) for passage in passages}


def test_mining_keeps_evaluation_sets_out(animals: Path, mine: Mine, mined: Mine, tmp_path: Path) -> None:
    """From the inputs and from a finished run alike."""
    options: dict[str, Any] = {"k": 8, "negatives": 2, "max_sigmoid": 1.0, "output_shards": 2}
    gold = "The badger In Norway the badger lives near water and eats mostly trout."
    texts = tmp_path / "eval.jsonl"
    texts.write_text(json.dumps({"query": "what does the LYNX eat in Norway?", "positive": gold}) + "\n")
    before = mined(input=str(animals), **options)
    run = mine("held", input=str(animals), holdout=[str(texts)], **options)
    anchors, passages = written(before)
    assert normalise("What does the lynx eat in Norway?") in anchors
    assert normalise(gold) in passages
    anchors, passages = written(run)
    assert normalise("What does the lynx eat in Norway?") not in anchors
    assert normalise(gold) not in passages
    counts = run.manifest["counts"]
    assert counts["queries_held_out"] == 1
    assert counts["queries"] == before.manifest["counts"]["queries"] - 1
    assert counts["reason_held_out"] > 0
    stored: dict[str, Any] = {"from_run": str(before.folder), "score_missing": True}
    again = mine("again", **stored, input=str(animals), holdout=[str(texts)], **options)
    for kind in ("triplets", "candidates", "queries"):
        assert again.hashes(kind) == run.hashes(kind), kind
    assert again.manifest["counts"]["queries_held_out"] == 1


def test_how_much_of_an_evaluation_set_was_found_is_said(animals: Path, mine: Mine, tmp_path: Path) -> None:
    options: dict[str, Any] = {"k": 8, "negatives": 2, "max_sigmoid": 1.0, "output_shards": 2}
    lines = (animals / "qrels" / "train.tsv").read_text().splitlines()[1:3]
    known = [line.split("\t") for line in lines]
    qrels = tmp_path / "qrels.eval.txt"
    qrels.write_text("".join(f"{query} 0 {passage} 1\n" for query, passage, _ in known) + "other 0 nobody 1\n")
    run = mine("held", input=str(animals), holdout=[str(qrels)], **options)
    gold = len({passage for _, passage, _ in known})
    assert run.manifest["notes"] == [
        f"holdout: 2 of 3 queries, {gold} of {gold + 1} passages are in the input, and are kept out."
    ]
    assert run.manifest["counts"]["queries_held_out"] == 2
    for name, content in (("other.txt", "other 0 nobody 1\n"), ("texts.txt", "a text of another collection\n")):
        (tmp_path / name).write_text(content)
        with pytest.raises(HardnegError, match="holdout: nothing of it is in the input"):
            mine(f"{name} out", input=str(animals), holdout=[str(tmp_path / name)], **options)


def test_how_much_of_a_run_is_unknown_is_said(
    animals: Path, mine: Mine, tiny_models: TinyModels, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"k": 8, "negatives": 2, "max_sigmoid": 1.0, "output_shards": 2}
    query, passage, _ = (animals / "qrels" / "train.tsv").read_text().splitlines()[1].split("\t")
    file = tmp_path / "other.run"
    retrievers = [
        {"kind": "bi-encoder", "model": str(tiny_models.bi_encoder)},
        {"kind": "run", "name": "other", "file": str(file)},
    ]
    file.write_text(f"{query} Q0 {passage} 1 2.0 t\n{query} Q0 nobody 2 1.0 t\nother Q0 {passage} 1 1.0 t\n")
    run = mine("run", input=str(animals), retriever=retrievers, **options)
    assert run.manifest["notes"] == [
        "run other: 1 of its 2 queries (such as other) and 1 of its 2 passages (such as nobody) are not in the input, "
        "and are left out."
    ]
    file.write_text(f"{query} Q0 nobody 1 2.0 t\n")
    with pytest.raises(
        HardnegError,
        match=r"The run other: none of its 1 passages is in the input: .* as 'nobody', and the input such as ",
    ):
        mine("unknown", input=str(animals), retriever=retrievers, **options)


def test_held_out_queries_leave_their_place_to_none(animals: Path, mine: Mine, mined: Mine, tmp_path: Path) -> None:
    before = mined(input=str(animals), **FEW_QUERIES)
    texts = tmp_path / "eval.txt"
    texts.write_text("some text\n")
    with pytest.raises(HardnegError, match=r"holdout cannot change with from_run .* took only max_queries 5"):
        mine("again", from_run=str(before.folder), input=str(animals), holdout=[str(texts)], **FEW_QUERIES)

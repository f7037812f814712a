"""The whole pipeline, once with the bundled models: what the output promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import write_beir
from mined_runs import BUNDLED, Mine, Run

from hardneg.transforms.core.text import normalise, passage_string, text_id

OPTIONS: dict[str, Any] = {"k": 12, "negatives": 3, "max_sigmoid": 0.4, "output_shards": 2}


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def run(animals: Path, mined: Mine) -> Run:
    return mined([], page=True, input=str(animals), min_relevance=2, score="all", **OPTIONS, **BUNDLED)


def test_triplets_hold_passage_strings_and_no_known_positive(animals: Path, run: Run) -> None:
    passages = {row["_id"]: passage_string(row["title"], row["text"]) for row in read_jsonl(animals / "corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in read_jsonl(animals / "queries.jsonl")}
    lines = (animals / "qrels" / "train.tsv").read_text().splitlines()[1:]
    judged = [line.split("\t") for line in lines]
    positives: dict[str, set[str]] = {}
    for query, passage, grade in judged:
        if float(grade) >= 2:
            positives.setdefault(normalise(queries[query]), set()).add(normalise(passages[passage]))
    rows = run.rows("triplets")
    assert len(rows) > 10
    for row in rows:
        assert row["anchor"] in queries.values()
        assert {row["positive"], row["negative"]} <= set(passages.values())
        known = positives[normalise(row["anchor"])]
        assert normalise(row["positive"]) in known
        assert normalise(row["negative"]) not in known


def test_triplets_are_what_a_trainer_takes(run: Run) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(run.folder), split="train", cache_dir=str(run.folder.parent / "cache"))
    assert loaded.column_names == ["anchor", "positive", "negative"]
    assert len(loaded) == len(run.rows("triplets"))


def test_masks_are_written_with_their_reasons(run: Run) -> None:
    verdicts = {(row["query_id"], row["passage_id"]): (row["verdict"], row["reason"]) for row in run.rows("candidates")}
    assert verdicts["q-otter-Norway", "otter-Norway"] == ("positive", None)
    assert verdicts["q-otter-Norway", "twin"] == ("dropped", "equal_to_positive")
    assert verdicts["q-otter-Silesia", "otter-Wales"] == ("dropped", "partially_relevant")
    assert verdicts["q-otter-Silesia", "otter-Crete"] == ("dropped", "negative_grade")


def test_candidates_have_every_signal_and_a_verdict(run: Run) -> None:
    table = run.table("candidates")
    assert table.column_names == [
        "query_id", "passage_id", "sources", "rank_bm25", "rank_dense", "bm25", "similarity_dense", "fused_rank",
        "grade", "seen_in_training", "logit", "judge_score", "verdict", "reason", "selected", "difficulty",
    ]  # fmt: skip
    for name in ("bm25", "similarity_dense", "verdict"):
        assert table[name].null_count == 0
    rows = table.to_pylist()
    for row in rows:
        assert row["logit"] is not None  # --score all
        assert row["sources"] == [name for name in ("bm25", "dense") if row[f"rank_{name}"] is not None]
        assert row["verdict"] == "positive" or row["fused_rank"] is not None
        if row["verdict"] == "negative":
            assert 1 / (1 + np.exp(-row["logit"])) < 0.4
    by_query: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_query.setdefault(row["query_id"], []).append(row)
    for own in by_query.values():
        for name in ("rank_bm25", "rank_dense", "fused_rank"):
            ranks = sorted(row[name] for row in own if row[name] is not None)
            assert ranks == list(range(1, len(ranks) + 1))
        negatives = sorted(
            (row for row in own if row["verdict"] == "negative"),
            key=lambda r: (-r["similarity_dense"], r["passage_id"]),
        )
        assert [row["selected"] for row in negatives] == [
            place if place <= 3 else None for place in range(1, len(negatives) + 1)
        ]


def test_manifest_agrees_with_the_files(run: Run) -> None:
    manifest = json.loads((run.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest == run.manifest
    for shard in manifest["shards"]:
        assert pq.read_metadata(run.folder / shard["name"]).num_rows == shard["rows"]
    found = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*.parquet")}
    assert found == {shard["name"] for shard in manifest["shards"]}
    rows = run.rows("candidates")
    counts = manifest["counts"]
    assert counts["pairs_scored"] == sum(row["logit"] is not None for row in rows)
    assert counts["mined"] == sum(row["selected"] is not None for row in rows)
    for verdict in ("negative", "positive", "suspected_positive", "dropped"):
        assert counts[f"verdict_{verdict}"] == sum(row["verdict"] == verdict for row in rows)


def test_texts_referred_to_are_there(run: Run) -> None:
    candidates = run.rows("candidates")
    assert {row["passage_id"] for row in candidates} == {row["passage_id"] for row in run.rows("passages")}
    assert {row["query_id"] for row in candidates} == {row["query_id"] for row in run.rows("queries")}


def test_a_manifest_repeats_its_run(animals: Path, mined: Mine, tmp_path: Path) -> None:
    from hardneg.pipelines.cli import run as command

    run = mined(input=str(animals), min_relevance=2, **{**OPTIONS, "output_shards": 3})  # that of test_determinism
    output = tmp_path / "again"
    assert command(["mine", "--config", str(run.folder / "manifest.json"), "--output", str(output)]) == 0
    again = Run(output, json.loads((output / "manifest.json").read_text(encoding="utf-8")))
    assert again.hashes("triplets") == run.hashes("triplets")
    assert again.hashes("candidates") == run.hashes("candidates")


def test_pairs_without_a_corpus(mine: Mine, tmp_path: Path) -> None:
    rows = [
        {"question": f"Who wrote book {n}?", "answer": f"Book {n} was written by author {n} in {1900 + n}."}
        for n in range(20)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    run = mine(pairs=[str(tmp_path / "pairs.parquet")], k=10, negatives=2, max_sigmoid=1)
    assert run.manifest["counts"]["queries"] == 20
    assert {row["passage_id"] for row in run.rows("passages")} <= {text_id(row["answer"]) for row in rows}
    assert {row["positive"] for row in run.rows("triplets")} <= {row["answer"] for row in rows}


def test_runs_vectors_and_passed_columns(mine: Mine, tmp_path: Path) -> None:
    """Candidates of another system, the user's own vectors instead of a model, and a corpus column."""
    generator = np.random.default_rng(5)
    corpus = [
        {"_id": f"p{n}", "title": "", "text": f"passage number {n} about topic {n % 3}", "lang": "en"}
        for n in range(12)
    ]
    queries = [{"_id": f"p{n}", "text": f"topic {n}"} for n in range(3)]  # ids that passages have too
    folder = write_beir(tmp_path / "in", corpus, queries, [(f"p{n}", f"p{n}", 1) for n in range(3)])
    for name, rows in (("passages", corpus), ("queries", queries)):
        vectors = generator.normal(size=(len(rows), 8)).astype(np.float32)
        table = {
            "id": [row["_id"] for row in rows],
            "vector": pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), 8),
        }
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    (tmp_path / "other.run").write_text("".join(f"p0 Q0 p{n} {n} {100 - n} other\n" for n in (9, 4, 11)))
    run = mine(
        input=str(folder), k=5, negatives=2, max_sigmoid=1, pass_through=["lang"], segments=2,
        retriever=[
            {"kind": "vectors", "name": "mine", "vectors": f"{tmp_path}/passages.parquet",
             "query_vectors": f"{tmp_path}/queries.parquet"},
            {"kind": "run", "name": "other", "file": f"{tmp_path}/other.run"},
        ],
    )  # fmt: skip
    rows = run.rows("candidates")
    assert {row["lang"] for row in rows} == {"en"}
    ranks = {row["passage_id"]: row["rank_other"] for row in rows if row["query_id"] == "p0" and row["rank_other"]}
    assert ranks == {"p4": 1, "p9": 2, "p11": 3}
    assert "similarity_mine" in run.table("candidates").column_names
    assert "bm25" not in run.table("candidates").column_names  # it is named nowhere
    assert list(run.manifest["models"]) == ["cross_encoder"]


def test_queries_without_positives_give_candidates_only(animals: Path, mine: Mine, tmp_path: Path) -> None:
    queries = [*read_jsonl(animals / "queries.jsonl")[:3], {"_id": "alone", "text": "Which animals eat chestnuts?"}]
    folder = write_beir(
        tmp_path / "in", read_jsonl(animals / "corpus.jsonl"), queries, [(queries[0]["_id"], "otter-Norway", 1)]
    )
    skipped = mine("skipped", input=str(folder), **OPTIONS)
    assert skipped.manifest["counts"]["queries_without_positives"] == 3
    assert {row["query_id"] for row in skipped.rows("queries")} == {queries[0]["_id"]}
    kept = mine("kept", input=str(folder), allow_no_positives=True, **OPTIONS)
    assert {row["query_id"] for row in kept.rows("candidates")} == {row["_id"] for row in queries}
    assert {row["anchor"] for row in kept.rows("triplets")} == {queries[0]["text"]}


def test_chinese(mine: Mine, collection: Callable[..., Path], tmp_path: Path) -> None:
    """Chinese texts come out byte for byte, and a model that cannot read them is refused unless allowed."""
    from hardneg.errors import HardnegError

    source = collection("cmrc2018")
    corpus = read_jsonl(source / "corpus.jsonl")[:40]
    qrels = [line.split("\t") for line in (source / "qrels" / "train.tsv").read_text().splitlines()[1:]]
    ids = {row["_id"] for row in corpus}
    qrels = [row for row in qrels if row[1] in ids][:6]
    asked = {row[0] for row in qrels}
    queries = [row for row in read_jsonl(source / "queries.jsonl") if row["_id"] in asked]
    folder = write_beir(tmp_path / "in", corpus, queries, [tuple(row) for row in qrels])
    options = {"input": str(folder), "k": 10, "negatives": 2, "max_sigmoid": 0.99, "cross_encoder_max_length": 64}
    with pytest.raises(HardnegError, match=r"5\d% of a sample of 40 passages into unknown tokens"):
        mine("refused", **options)
    run = mine("allowed", allow_unknown_tokens=True, **options)
    passages = {passage_string(row["title"], row["text"]) for row in corpus}
    rows = run.rows("triplets")
    assert rows
    assert {row[name] for row in rows for name in ("positive", "negative")} <= passages
    ranks = [row["rank_bm25"] for row in run.rows("candidates") if row["verdict"] == "positive"]
    assert sum(rank == 1 for rank in ranks) >= 5

"""The audit of training data: every planted fault is found, in every form, and nothing in a clean set."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audit_cases import Rows, clean_rows, counts, look, write, write_jsonl
from conftest import write_beir

from hardneg.errors import HardnegError

FORMS = ("triplets", "n-tuples", "lists")


@pytest.mark.parametrize("form", FORMS)
def test_a_clean_set_has_no_fault(form: str, tmp_path: Path) -> None:
    report = look(write(tmp_path, form, clean_rows()), expect=3)
    assert report.clean
    assert (report.anchors, report.negatives) == (4, 12)


def known_positive(rows: Rows) -> None:
    rows[1]["neg"][1] = rows[1]["pos"][0].upper().replace(" ", "  ")


def positive_of_another_row(rows: Rows) -> None:
    rows.append(
        {"query": rows[0]["query"].upper(), "pos": [rows[0]["neg"][2]], "neg": ["Something else."] * 1 + ["And more."]}
    )


def repeated_negative(rows: Rows) -> None:
    rows[2]["neg"].append(rows[2]["neg"][0] + " ")


def the_query_itself(rows: Rows) -> None:
    rows[2]["neg"][1] = rows[2]["query"]


def too_few(rows: Rows) -> None:
    del rows[3]["neg"][1]


def empty_anchor(rows: Rows) -> None:
    rows[3]["query"] = " \t"
    rows[3]["neg"] = rows[3]["neg"][:1]


def empty_positive(rows: Rows) -> None:
    rows[3]["pos"] = [""]
    rows[3]["neg"] = rows[3]["neg"][:1]


def empty_negative(rows: Rows) -> None:
    rows[0]["neg"][2] = None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("plant", "kind", "options"),
    [
        (known_positive, "positives_among_negatives", {}),
        (positive_of_another_row, "positives_among_negatives", {}),
        (repeated_negative, "duplicate_negatives", {}),
        (the_query_itself, "anchors_among_negatives", {}),
        (too_few, "too_few_negatives", {"expect": 3}),
        (empty_anchor, "empty_anchors", {}),
        (empty_positive, "empty_positives", {}),
        (empty_negative, "empty_negatives", {}),
    ],
)
def test_planted_faults_are_found(
    form: str, plant: Callable[[Rows], None], kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    rows = clean_rows()
    plant(rows)
    assert counts(write(tmp_path, form, rows), **options) == {kind: 1}


@pytest.mark.parametrize("form", ["n-tuples", "lists"])
@pytest.mark.parametrize("name", ["id", "query_id", "qid"])
def test_repeated_row_ids(form: str, name: str, tmp_path: Path) -> None:
    rows = [{name: f"r{n}", **row} for n, row in enumerate(clean_rows())]
    assert look(write(tmp_path, form, rows)).clean
    rows[3][name] = "r1"
    [fault] = look(write(tmp_path, form, rows)).faults
    assert (fault.kind, fault.count) == ("duplicate_ids", 1)
    assert fault.examples[0].place.endswith("set.jsonl:4")
    assert "r1" in fault.examples[0].text


def test_a_query_id_may_stand_in_all_its_triplets(tmp_path: Path) -> None:
    rows = [
        {
            "qid": number,
            "id": f"{number}-{place}",
            "query": row["query"],
            "positive": row["pos"][0],
            "negative": negative,
        }
        for number, row in enumerate(clean_rows())
        for place, negative in enumerate(row["neg"])
    ]
    path = tmp_path / "triplets.jsonl"
    assert look(write_jsonl(path, rows)).clean
    assert look(write_jsonl(path, [{k: v for k, v in row.items() if k != "qid"} for row in rows])).clean
    assert look(write_jsonl(path, [{**row, "id": row["qid"]} | {"qid": None} for row in rows])).clean
    rows[4]["id"] = rows[3]["id"]
    assert counts(write_jsonl(path, rows)) == {"duplicate_ids": 1}
    rows[4]["qid"], rows[4]["id"] = 0, "free"
    assert counts(write_jsonl(path, rows)) == {"duplicate_ids": 1}


def passage(identifier: str, text: str) -> dict[str, str]:
    return {"docid": identifier, "title": "Rivers", "text": text}


def test_passages_with_ids_are_compared_by_id(tmp_path: Path) -> None:
    """Tevatron's form; a title belongs to the text."""
    rows = [
        {
            "query_id": f"q{n}",
            "query": row["query"],
            "positive_passages": [passage(f"p{n}", row["pos"][0])],
            "negative_passages": [passage(f"n{n}-{m}", text) for m, text in enumerate(row["neg"])],
        }
        for n, row in enumerate(clean_rows())
    ]
    path = tmp_path / "set.jsonl"
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("q0 0 p0 1\nq1 0 n1-1 1\nq2 0 n2-1 0\n", encoding="utf-8")
    assert look(write_jsonl(path, rows)).clean
    assert counts(path, qrels=[str(qrels)]) == {"positives_among_negatives": 1}
    rows[2]["negative_passages"][0]["docid"] = "p2"
    [duplicate, positive] = look(write_jsonl(path, rows)).faults
    assert (duplicate.kind, positive.kind) == ("duplicate_ids", "positives_among_negatives")
    assert "negative_id p2 of 'Rivers River 2 is crossed by bridge 0.'" in duplicate.examples[0].text
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet")
    assert [fault.count for fault in look(tmp_path / "set.parquet").faults] == [1, 1]


def test_ids_in_columns(tmp_path: Path) -> None:
    rows = [
        {
            "query": row["query"], "pos": row["pos"], "neg": row["neg"],
            "pos_id": [f"p{n}"], "neg_id": [f"n{n}-{m}" for m in range(3)],
        }
        for n, row in enumerate(clean_rows())
    ]  # fmt: skip
    for write_it, name in (
        (lambda: write_jsonl(tmp_path / "a.jsonl", rows), "a.jsonl"),
        (lambda: pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet"), "b.parquet"),
    ):
        write_it()
        assert look(tmp_path / name).clean
    rows[0]["neg_id"][1] = "p0"
    rows[1]["neg_id"] = ["n1-0"]
    write_jsonl(tmp_path / "a.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    for name in ("a.jsonl", "b.parquet"):
        assert counts(tmp_path / name) == {"duplicate_ids": 1, "positives_among_negatives": 1, "lengths_differ": 1}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None, "NaN"])
def test_scores_of_lists(bad: Any, tmp_path: Path) -> None:
    rows = [{**row, "pos_scores": [3.5], "neg_scores": [0.5, 1, -2.0], "type": "normal"} for row in clean_rows()]
    assert look(write(tmp_path, "lists", rows)).clean
    rows[2]["neg_scores"][1] = bad
    rows[3]["pos_scores"] = [bad]
    [fault] = look(write(tmp_path, "lists", rows)).faults
    assert (fault.kind, fault.count) == ("scores_not_finite", 2)
    assert [example.place.rsplit(":")[-1] for example in fault.examples] == ["3", "4"]
    rows = [row | {"neg_scores": row["neg_scores"][:2]} for row in rows[:1]]
    assert counts(write(tmp_path, "lists", rows)) == {"lengths_differ": 1}


def test_scores_in_parquet(tmp_path: Path) -> None:
    lists = pa.table(
        {
            "query": ["a", "b"], "pos": [["c"], ["d"]], "neg": [["e", "f"], ["g"]],
            "pos_scores": pa.array([[1.0], [math.nan]]),
            "neg_scores": pa.array([[1.0, None], [math.inf]], pa.list_(pa.float32())),
        }
    )  # fmt: skip
    pq.write_table(lists, tmp_path / "lists.parquet")
    assert counts(tmp_path / "lists.parquet") == {"scores_not_finite": 3}
    tuples = pa.table(
        {
            "anchor": ["a", "b"], "positive": ["c", "d"], "negative_10": ["e", "f"], "negative_2": ["g", "h"],
            "score": pa.array([math.nan, None], pa.float16()), "label": [1, 0],
        }
    )  # fmt: skip
    pq.write_table(tuples, tmp_path / "tuples.parquet")
    [fault] = look(tmp_path / "tuples.parquet", expect=2).faults
    assert (fault.kind, fault.count, fault.examples[0].place[-5:]) == ("scores_not_finite", 1, "row 1")
    broken = tuples.slice(0, 1).set_column(4, "neg_scores", pa.array([[1.0]]))
    pq.write_table(broken, tmp_path / "tuples.parquet")
    assert counts(tmp_path / "tuples.parquet") == {"lengths_differ": 1}


def test_rows_without_texts_and_unreadable_rows(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    write_jsonl(path, clean_rows())
    lines = [
        '{"query": "a", "pos": ["b"], "neg": []}',
        '{"query": "c", "pos": ["d"]}',
        '{"query": "e", "pos": [], "neg": ["f"]}',
        '{"query": "g", "pos": ["h"], "neg": ["i"]',
        '{"query": "\\ud800", "pos": ["h"], "neg": ["i"]}',
        '{"query": 7, "pos": ["h"], "neg": ["i"]}',
    ]
    with path.open("a") as file:
        file.write("\n".join(lines))
    report = look(path)
    assert {fault.kind: fault.count for fault in report.faults} == {
        "unreadable_rows": 3, "no_positives": 1, "no_negatives": 2
    }  # fmt: skip
    assert {example.place.rsplit(":")[-1] for example in report.faults[0].examples} == {"8", "9", "10"}


def test_bytes_that_are_no_text_in_parquet(tmp_path: Path) -> None:
    broken = pa.array([b"fine", b"\xff\xfe", b"good"], pa.binary()).view(pa.string())
    table = pa.table({"anchor": ["a", "b", "c"], "positive": broken, "negative": ["d", "e", "f"]})
    pq.write_table(table, tmp_path / "set.parquet")
    [fault] = look(tmp_path / "set.parquet").faults
    assert (fault.kind, fault.count, fault.examples[0].place[-5:]) == ("unreadable_rows", 1, "row 2")


@pytest.mark.parametrize("form", FORMS)
def test_positives_that_only_the_qrels_know(form: str, tmp_path: Path) -> None:
    rows = clean_rows()
    corpus = [{"_id": f"n{n}-{m}", "text": text} for n, row in enumerate(rows) for m, text in enumerate(row["neg"])]
    queries = [{"_id": f"q{n}", "text": row["query"].upper()} for n, row in enumerate(rows)]
    qrels = [("q0", "n0-1", 1), ("q1", "n1-0", 2), ("q2", "n2-0", 0), ("q3", "n0-0", 1)]
    folder = write_beir(tmp_path / "beir", corpus, queries, qrels)
    given = {
        "corpus": [str(folder / "corpus.jsonl")],
        "queries": [str(folder / "queries.jsonl")],
        "qrels": [str(folder / "qrels" / "*.tsv")],
    }
    path = write(tmp_path, form, rows)
    assert counts(path, **given) == {"positives_among_negatives": 2}
    assert counts(path, **given, min_relevance=2) == {"positives_among_negatives": 1}
    more = [{"_id": "n0-0", "text": "another"}, corpus[1]]  # what stands there again, whole, is no mistake
    write_jsonl(folder / "corpus.jsonl", corpus + more)
    assert counts(path, **given, min_relevance=2) == {"duplicate_ids": 1, "positives_among_negatives": 1}


@pytest.mark.parametrize("form", FORMS)
def test_overlap_with_an_evaluation_set(form: str, tmp_path: Path) -> None:
    rows = clean_rows()
    corpus = [
        {"_id": "gold", "text": rows[0]["pos"][0].upper()},
        {"_id": "gold2", "text": rows[1]["neg"][2]},
        {"_id": "other", "text": rows[2]["neg"][0]},
    ]
    queries = [{"_id": "q", "text": rows[3]["query"]}, {"_id": "unjudged", "text": rows[2]["query"]}]
    folder = write_beir(tmp_path / "beir", corpus, queries, [("q", "gold", 1), ("q", "gold2", 1), ("q", "other", 0)])
    path = write(tmp_path, form, rows)
    assert counts(path, holdout=[str(folder)]) == {"held_out_queries": 1, "held_out_passages": 2}
    texts = tmp_path / "texts.txt"
    texts.write_text(f"{rows[0]['query']}\n{rows[0]['neg'][0]}\n", encoding="utf-8")
    assert counts(path, holdout=[str(texts)]) == {"held_out_queries": 1, "held_out_passages": 1}
    pairs = write_jsonl(tmp_path / "pairs.jsonl", [{"query": rows[1]["query"], "pos": rows[0]["pos"]}])
    assert counts(path, holdout=[str(pairs), str(texts)]) == {"held_out_queries": 2, "held_out_passages": 2}
    questions = write_jsonl(tmp_path / "questions.jsonl", [{"question": rows[1]["query"]}])
    assert counts(path, holdout=[str(questions)]) == {"held_out_queries": 1}
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nunjudged\tother\t1\n", encoding="utf-8")
    with pytest.raises(HardnegError, match="several splits: choose by FOLDER:SPLIT of dev, train"):
        look(path, holdout=[str(folder)])
    assert counts(path, holdout=[f"{folder}:dev"]) == {"held_out_queries": 1, "held_out_passages": 1}


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"x": "a", "positive": "b", "negative": "c"}], {}, "known to be the anchor.*x, positive, negative"),
        ([{"anchor": "a", "query": "a", "pos": "b", "neg": "c"}], {}, "anchor, query might each be the anchor"),
        ([{"query": "a", "pos": "b"}], {}, "known to be the negative.*negative_column"),
        ([{"query": "a", "pos": "b", "neg": "c"}], {"negative_column": ["bad"]}, "no column 'bad'"),
        ([{"query": "a", "pos": "b", "neg": "c"}], {"qrels": ["nowhere.tsv"]}, "qrels nowhere.tsv matches no file"),
        ([{"query": "a", "pos": "b", "neg": "c"}], {"holdout": ["nowhere"]}, "holdout nowhere matches no file"),
        ([], {}, "has no row"),
    ],
)
def test_mistakes_are_explained(rows: Rows, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(HardnegError, match=message):
        look(write_jsonl(tmp_path / "set.jsonl", rows), **options)


def test_columns_that_the_user_names(tmp_path: Path) -> None:
    rows = [{"q": row["query"], "good": row["pos"][0], "a": row["neg"][0], "b": row["neg"][0]} for row in clean_rows()]
    path = write_jsonl(tmp_path / "set.jsonl", rows)
    named = {"anchor_column": "q", "positive_column": "good"}
    assert look(path, **named, negative_column=["a"]).clean
    assert counts(path, **named, negative_column=["a", "b"]) == {"duplicate_negatives": 4}
    pq.write_table(pa.table({"anchor": ["a"], "positive": ["b"], "negative": [1]}), tmp_path / "set.parquet")
    with pytest.raises(HardnegError, match="column 'negative' holds int64, not texts"):
        look(tmp_path / "set.parquet")
    (tmp_path / "folder").mkdir()
    with pytest.raises(HardnegError, match="holds no Parquet or JSONL file"):
        look(tmp_path / "folder")
    (tmp_path / "set.xlsx").write_bytes(b"")
    with pytest.raises(HardnegError, match="suffix that says nothing"):
        look(tmp_path / "set.xlsx")

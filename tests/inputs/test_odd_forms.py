"""Forms that look like another one: what is taken for what, and what is said of what is not taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from input_cases import ids, message, read, read_all, separate, write

from hardneg.errors import InputError
from hardneg.live import files_of
from hardneg.transforms.core.hashing import text_keys
from hardneg.transforms.core.text import text_id
from hardneg.transforms.inputs.columns import parts_of
from hardneg.transforms.inputs.decided import decisions
from hardneg.transforms.inputs.evaluation_sets import EvaluationSet, read_evaluation_sets
from hardneg.transforms.inputs.input_files import BAD_GRADE
from hardneg.transforms.inputs.looking import look_into
from hardneg.transforms.inputs.options import InputOptions
from hardneg.transforms.inputs.paths import files_at
from hardneg.transforms.inputs.planning import plan_inputs
from hardneg.transforms.inputs.rejections import left_out

Row = dict[str, Any]
Rows = dict[str, list[Row]]


def lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def pairs_of(path: str, **options: Any) -> Rows:
    return read_all(plan_inputs(InputOptions(pairs=[path], **options)))


# ---------------- 1: evaluation sets


def held_out(path: str) -> EvaluationSet:
    [found] = read_evaluation_sets([path], 1.0)
    return found


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.txt", "qid iter docno rel\nq1 0 p1 1\n"),
        ("q.txt", "q 1\t0\tp 1\t1\n"),
        ("q.csv", "q1,p1,1\nq1,p2,0\n"),
        ("q.csv", "q1,0,p1,1\n"),
    ],
)
def test_qrels_of_four_more_forms(tmp_path: Path, name: str, content: str) -> None:
    found = held_out(write(tmp_path / name, content))
    assert (len(found.query_ids), len(found.passage_ids), len(found.query_texts)) == (1, 1, 0)


TEXTS = ["why do tides rise", "what makes snow cold"]


@pytest.mark.parametrize(
    ("name", "content", "as_passages"),
    [
        ("queries.dev.small.tsv", f"1048585\t{TEXTS[0]}\n2\t{TEXTS[1]}\n", True),
        ("queries.tsv", f"q-1\t{TEXTS[0]}\nq-2\t{TEXTS[1]}\n", True),
        ("queries.csv", f"qid,query\n1,{TEXTS[0]}\n2,{TEXTS[1]}\n", False),
        ("queries.tsv", f"query_id\tquestion\n1\t{TEXTS[0]}\n2\t{TEXTS[1]}\n", False),
        ("queries.txt.gz", f"{TEXTS[0]}\n{TEXTS[1]}\n", True),
    ],
)
def test_queries_to_hold_out(tmp_path: Path, name: str, content: str, as_passages: bool) -> None:
    """Neither their ids nor their header are texts; where no name says what they are, they may be passages, too."""
    found = held_out(write(tmp_path / name, content))
    expected = sorted(text_keys(pa.array(TEXTS)).tolist())
    assert found.query_texts.tolist() == expected
    assert found.passage_texts.tolist() == (expected if as_passages else [])


def test_pairs_to_hold_out_have_no_ids_before_them(tmp_path: Path) -> None:
    found = held_out(write(tmp_path / "p.tsv", "猫是什么\t一种动物\n狗是什么\t一种动物\n"))
    assert found.query_texts.tolist() == sorted(text_keys(pa.array(["猫是什么", "狗是什么"])).tolist())
    assert found.passage_texts.tolist() == text_keys(pa.array(["一种动物"])).tolist()


def test_the_few_rows_that_can_t_be_used_are_said(tmp_path: Path) -> None:
    rows = "".join(f"q{n} 0 p{n} 1\n" for n in range(2000))
    found = held_out(write(tmp_path / "q.qrels", f"{rows}q 0 p high\n"))
    [said] = left_out(found.rejections, "holdout")
    assert "1 of 2,001 rows can't be used (1 grade is not a number; the first is " in said
    assert said.endswith("q.qrels:2001), and are left out.")
    few = held_out(write(tmp_path / "few.qrels", "q 0 p 1\n"))
    assert left_out(few.rejections, "holdout") == []


# ---------------- 2: labels

TRUTHS: dict[str, tuple[str, str]] = {
    "pandas": ("x.csv", "query,passage,label\na,b,True\na,c,False\n"),
    "words": ("x.json", '[{"query":"a","doc":"b","label":"true"},{"query":"a","doc":"c","label":"FALSE"}]'),
    "a blank before the name": ("x.csv", "query, passage, Label\na,b,1\na,c,0\n"),
    "quoted names": ("x.tsv", '"query"\t"passage"\t"label"\na\tb\t1\na\tc\t0\n'),
    "MS MARCO": (
        "x.jsonl",
        lines([{"query": "a", "positive": {"is_selected": [1, 0], "passage_text": ["b", "c"], "url": ["x", "y"]}}]),
    ),
    "in the objects": (
        "x.json",
        '[{"query": "a", "pos": [{"text": "b", "label": 1, "score": 0.3}, {"text": "c", "label": 0}]}]',
    ),
    "their own numbers, and a header": ("x.tsv", "query\tpassage\tlabel\na\tb\t1\na\tc\t0\n"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), TRUTHS.values(), ids=TRUTHS)
def test_what_is_labelled_0_is_no_positive(tmp_path: Path, name: str, content: str, request: Any) -> None:
    numbers = {"anchor_column": "1", "positive_column": "2"} if "numbers" in request.node.name else {}
    found = pairs_of(write(tmp_path / name, content), **numbers)
    assert not found["rejected"]
    assert ids(found["queries"], "text") in (["a"], ["a", "a"])
    assert ids(found["qrels"], "passage_id", "grade") == [(text_id("b"), 1.0), (text_id("c"), 0.0)]


def test_words_for_labels_are_refused(tmp_path: Path) -> None:
    rows = [{"sentence1": "a", "sentence2": "b", "gold_label": label} for label in ("entailment", "contradiction")]
    assert ids(pairs_of(write(tmp_path / "x.jsonl", lines(rows)))["rejected"], "reason") == [BAD_GRADE] * 2


def test_what_is_not_read_of_pairs_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", lines([{"query": "a", "pos": ["b"], "pos_scores": [0.9], "rating": 0}]))
    assert decisions(plan_inputs(InputOptions(pairs=[path]))) == [
        f"{path}: not read of it: columns pos_scores, rating."
    ]
    path = write(tmp_path / "x.tsv", "why is rain\tit is wet\t0\n")
    planned = plan_inputs(InputOptions(pairs=[path], anchor_column="1", positive_column="2"))
    assert decisions(planned) == [
        f"{path}: not read of it: column 3.",
        f"{path}: no column's name is known in its first line, so that is a pair, too.",
    ]


# ---------------- 7, 16: cells


@pytest.mark.parametrize("cell", ["\"['b', 'c']\"", '"[""b"", ""c""]"', "\"['b' 'c']\"", "[]"])
def test_lists_that_were_written_as_text_are_refused(tmp_path: Path, cell: str) -> None:
    said = message(InputOptions(pairs=[write(tmp_path / "x.csv", f"query,positive\na,{cell}\n")]))
    assert "the cells of 'positive' are lists written as text, such as [" in said
    assert "write JSON lines" in said


def test_brackets_around_some_texts_are_texts(tmp_path: Path) -> None:
    found = pairs_of(write(tmp_path / "x.csv", "query,positive\na,\"['b']\"\nc,d\n"))
    assert ids(found["passages"], "text") == ["['b']", "d"]


# ---------------- 8: qrels


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.txt", "qid 0 docid rel\nq1 0 p1 2\n"),
        ("q.qrels", "q1\t0\tp1\t2\r\n"),
        ("q.tsv", " Query-ID\tCorpus-ID \tScore\nq1\tp1\t2\n"),
        ("q.csv", "q1,p1,2\n"),
        ("q.csv", "q1;Q0;p1;2\n"),
        ("q.json", json.dumps([{"qid": "q1", "pid": "p1", "label": "2"}])),
    ],
)
def test_judgements(tmp_path: Path, name: str, content: str) -> None:
    [*_, file] = plan_inputs(separate(tmp_path, qrels=write(tmp_path / name, content)))
    assert ids(read(file)["qrels"], "query_id", "passage_id", "grade") == [("q1", "p1", 2.0)]


def test_an_id_with_a_blank_between_tabs(tmp_path: Path) -> None:
    [*_, file] = plan_inputs(separate(tmp_path, qrels=write(tmp_path / "q.qrels", "q 1\t0\tp 1\t2\n")))
    assert ids(read(file)["qrels"], "query_id", "passage_id", "grade") == [("q 1", "p 1", 2.0)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("q.tsv", "query-id\tcorpus-id\tscore\trelevance\nq1\tp1\t1\t2\n", "score, relevance might each be the grade"),
        ("q.csv", "a,b\nq1,p1\n", "has no first line with the names of judgements' columns, it begins with a, b"),
        ("q.json", '{"q1": {"p1": 1}, "q2": {"p2": 0}}', "if that one object holds the rows: jq -c 'to_entries[] | "),
        ("q.json", '{"qrels": [{"qid": "q1", "pid": "p1"}]}', "if that one object holds the rows: jq -c '.qrels[]' "),
    ],
)  # fmt: skip
def test_what_is_no_table_of_judgements_is_told_how_to_become_one(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    assert said in message(separate(tmp_path, qrels=write(tmp_path / name, content)))


def test_queries_and_passages_by_id_are_told_how_to_become_rows(tmp_path: Path) -> None:
    for kind, value in (("queries", "why?"), ("passages", {"title": "", "text": "because"})):
        [found] = files_at(write(tmp_path / f"{kind}.json", json.dumps({"a'b": value})), kind)
        with pytest.raises(InputError, match=r"jq -c 'to_entries\[\] \| \{id: \.key[^']*' /"):
            look_into(kind, found, parts_of(kind))


# ---------------- 9, 15: positives

POSITIVES: dict[str, tuple[Any, list[str]]] = {
    "an object of lists": ({"docid": ["1", "2"], "title": ["T", ""], "text": ["b", "c"]}, ["T b", "c"]),
    "an object of no texts": ({"docid": [], "text": []}, []),
    "a null among others": (["b", None], ["b"]),
    "not a number": (float("nan"), []),
    "an empty object": ({}, []),
}


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
@pytest.mark.parametrize(("value", "texts"), POSITIVES.values(), ids=POSITIVES)
def test_positives(tmp_path: Path, name: str, value: Any, texts: list[str]) -> None:
    rows: list[Row] = [{"query": "a", "positive_passages": value}, {"query": "z", "positive_passages": ["y"]}]
    found = pairs_of(write(tmp_path / name, lines(rows) if name == "x.jsonl" else json.dumps(rows)))
    assert not found["rejected"]
    assert ids(found["queries"], "text") == ["a", "z"]
    assert ids(found["passages"], "text") == [*texts, "y"]


def test_an_object_of_lists_in_parquet(tmp_path: Path) -> None:
    positives = pa.array([{"text": ["b", "c"], "docid": [1, 2]}])
    pq.write_table(pa.table({"query": ["a"], "positive_passages": positives}), tmp_path / "x.parquet")
    assert ids(pairs_of(str(tmp_path / "x.parquet"))["passages"], "passage_id", "text") == [("1", "b"), ("2", "c")]
    odd = {"query": "a", "positive_passages": {"text": ["b"], "docid": [1, 2]}}
    assert ids(pairs_of(write(tmp_path / "x.jsonl", lines([odd])))["rejected"], "reason") == [
        "wrong type for column positive_passages"
    ]


# ---------------- live tables

LIVE: dict[str, Any] = {
    "rows": [{"query": "a", "positive": "b", "label": True}, {"query": "a", "positive": "c", "label": False}],
    "rows of pandas": pd.DataFrame({"query": ["a", "a"], "positive": ["b", "c"], "label": [1, 0]}).to_dict("records"),
    "columns": {"sentence1": ["a", "a"], "sentence2": ["b", "c"], "score": ["1", "0"]},
    "a frame": pd.DataFrame({"question": ["a", "a"], "answer": ["b", "c"], "relevance": [1.0, 0.0]}),
    "a stream": ({"anchor": "a", "positive": text, "grade": np.int64(text == "b")} for text in "bc"),
}


@pytest.mark.parametrize("table", LIVE.values(), ids=LIVE)
def test_labels_of_live_tables(table: Any, tmp_path: Path) -> None:
    [path] = files_of(table, "pairs", str(tmp_path))
    assert ids(pairs_of(path)["qrels"], "passage_id", "grade") == [(text_id("b"), 1.0), (text_id("c"), 0.0)]


@pytest.mark.parametrize("positive", [None, float("nan"), []])
@pytest.mark.parametrize("form", [list, iter, pd.DataFrame])
def test_a_live_query_without_a_positive(positive: Any, form: Any, tmp_path: Path) -> None:
    other = ["b"] if positive == [] else "b"
    rows = [{"query": "a", "positive": positive}, {"query": "z", "positive": other}]
    [path] = files_of(form(rows), "pairs", str(tmp_path))
    found = pairs_of(path)
    assert not found["rejected"]
    assert ids(found["queries"], "text") == ["a", "z"]

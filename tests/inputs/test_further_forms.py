"""Further forms of the same kinds: layouts of the hub and of other tools, read as their makers mean them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from input_cases import ids, message, read, read_all, separate, write

from hardneg.transforms.core.text import text_id
from hardneg.transforms.inputs.columns import parts_of
from hardneg.transforms.inputs.decided import decisions
from hardneg.transforms.inputs.evaluation_sets import read_evaluation_sets
from hardneg.transforms.inputs.input_files import BAD_GRADE, WRONG_LENGTH
from hardneg.transforms.inputs.looking import look_into
from hardneg.transforms.inputs.options import InputOptions
from hardneg.transforms.inputs.paths import files_at
from hardneg.transforms.inputs.planning import plan_inputs

Row = dict[str, Any]


def lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def pairs_of(path: str, **options: Any) -> dict[str, list[Row]]:
    return read_all(plan_inputs(InputOptions(pairs=[path], **options)))


def corpus_of(path: str) -> dict[str, list[Row]]:
    [found] = files_at(path, "corpus")
    return read(look_into("passages", found, parts_of("passages")))


# ---------------- 1: evaluation sets

SETS = {
    "TREC of Windows": ("dl19.txt", "19335 0 D1 2\r\n19335 0 D2 0\r\n", (1, 1, 0, 0)),
    "TREC, compressed": ("dl20.txt.gz", "19335 Q0 D1 2\n47923 Q0 D3 1\n", (2, 2, 0, 0)),
    "ids that are words": ("q.qrels", "PLAIN-2 0 MED-10 1\nPLAIN-3 0 MED-11 2\n", (2, 2, 0, 0)),
    "a byte order mark": ("q.txt", "\ufeff1 0 7 1\n", (1, 1, 0, 0)),
    "NanoBEIR, without a score": ("n.csv", "query-id,corpus-id\nq1,p1\nq2,p2\n", (2, 2, 0, 0)),
    "MIRACL topics": ("topics.tsv", "1\t谁 发现 了 2\n2\twho found it in 1998\n", (0, 0, 2, 2)),
    "Tevatron": (
        "dev.jsonl",
        lines([{"query_id": "1", "query": "a", "positive_passages": [{"docid": "d", "text": "b"}]}]),
        (0, 0, 1, 1),
    ),
}


@pytest.mark.parametrize(("name", "content", "found"), SETS.values(), ids=SETS)
def test_evaluation_sets(tmp_path: Path, name: str, content: str, found: tuple[int, ...]) -> None:
    [one] = read_evaluation_sets([write(tmp_path / name, content)], 1.0)
    keys = (one.query_ids, one.passage_ids, one.query_texts, one.passage_texts)
    assert tuple(map(len, keys)) == found


# ---------------- 2: labels

LABELS: dict[str, tuple[list[Row], list[float]]] = {
    "digits": ([{"query": "a", "answer": "b", "label": "1"}, {"query": "a", "answer": "c", "label": "0"}], [1, 0]),
    "booleans": ([{"query": "a", "answer": f"b{n}", "is_relevant": n == 1} for n in range(2)], [0, 1]),
    "whole floats": ([{"sentence1": "a", "sentence2": f"b{n}", "score": float(n)} for n in range(2)], [0, 1]),
    "labels": ([{"query": "a", "positive": "b", "labels": 0}], [0]),
    "a list": ([{"query": "a", "positive": ["b", "c", "d"], "labels": [1, 0, 2]}], [1, 0, 2]),
}


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.parquet"])
@pytest.mark.parametrize(("rows", "grades"), LABELS.values(), ids=LABELS)
def test_labels(tmp_path: Path, name: str, rows: list[Row], grades: list[float]) -> None:
    if name == "x.parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    else:
        write(tmp_path / name, lines(rows) if name == "x.jsonl" else json.dumps(rows))
    found = pairs_of(str(tmp_path / name))
    assert not found["rejected"]
    assert ids(found["qrels"], "grade") == grades


def test_labels_that_can_t_be_grades(tmp_path: Path) -> None:
    rows = [
        {"query": "a", "positive": ["b", "c"], "label": [1]},
        {"query": "a", "positive": "b", "label": "entailment"},
        {"query": "a", "positive": "b", "label": None},
    ]
    found = pairs_of(write(tmp_path / "x.jsonl", lines(rows)))
    assert ids(found["rejected"], "reason") == [f"{WRONG_LENGTH} label", BAD_GRADE, BAD_GRADE]
    assert not found["qrels"]


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_a_label_that_first_appears_further_down(tmp_path: Path, name: str) -> None:
    rows: list[Row] = [{"query": f"q{n}", "positive": f"p{n}"} for n in range(1200)]
    rows[1100]["label"] = 0
    rows[1150]["Score"] = 2
    found = pairs_of(write(tmp_path / name, lines(rows) if name == "x.jsonl" else json.dumps(rows)))
    assert {n: row["grade"] for n, row in enumerate(found["qrels"]) if row["grade"] != 1} == {1100: 0.0, 1150: 2.0}
    qrels = [{"query-id": f"q{n}", "corpus-id": "p1"} for n in range(1200)]
    qrels[1100]["score"] = 0  # type: ignore[assignment]
    path = write(tmp_path / f"r{name}", lines(qrels) if name == "x.jsonl" else json.dumps(qrels))
    found = read(plan_inputs(separate(tmp_path, qrels=path))[-1])
    assert [n for n, row in enumerate(found["qrels"]) if row["grade"] == 0] == [1100]


# ---------------- 7: TSV of csv writers


def test_pandas_writes_tabs(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [1, 2], "text": ['He said "no"', "a\tb"], "title": ["T", 'the "x"']})
    frame.to_csv(tmp_path / "p.tsv", sep="\t", index=False)
    assert ids(corpus_of(str(tmp_path / "p.tsv"))["passages"], "text") == ['T He said "no"', 'the "x" a\tb']


def test_excel_writes_tabs(tmp_path: Path) -> None:
    data = '\ufeffid\ttext\r\n1\t"He said ""no"", twice"\r\n2\tplain\r\n3\t"two\nlines"\r\n'
    [found] = files_at(write(tmp_path / "e.tsv", data), "corpus")
    file = look_into("passages", found, parts_of("passages"))
    assert ids(read(file)["passages"], "text") == ['He said "no", twice', "plain", "two\nlines"]
    assert decisions([file]) == [f"{found.path}: its cells are quoted as csv writers quote, and were unquoted."]


def test_ms_marco_keeps_its_quotes(tmp_path: Path) -> None:
    data = '0\tthe 5" disk\n1\t"A quote" and more\n2\ta "word" in it\n'
    assert ids(corpus_of(write(tmp_path / "collection.tsv", data))["passages"], "text") == [
        'the 5" disk',
        '"A quote" and more',
        'a "word" in it',
    ]


# ---------------- 8: qrels

QRELS: dict[str, tuple[str, str | pa.Table]] = {
    "MTEB": ("test.parquet", pa.table({"query-id": ["q1"], "corpus-id": ["p1"], "score": [2.0]})),
    "NanoBEIR": ("nano.parquet", pa.table({"query-id": ["q1"], "corpus-id": ["p1"]})),
    "ir_datasets": (
        "judged.jsonl",
        lines([{"query_id": "q1", "doc_id": "p1", "relevance": 2, "iteration": "0"}]),
    ),
    "topics": ("judged.csv", "topic_id;docno;rel\nq1;p1;2\n"),
    "BEIR of Windows": ("judged.tsv", "query-id\tcorpus-id\tscore\r\nq1\tp1\t2\r\n"),
    "MS MARCO": ("qrels.train.tsv", "q1\t0\tp1\t2\n"),
    "quoted": ("judged.tsv", '"query-id"\t"corpus-id"\t"score"\n"q1"\t"p1"\t"2"\n'),
}


@pytest.mark.parametrize(("name", "content"), QRELS.values(), ids=QRELS)
def test_qrels(tmp_path: Path, name: str, content: str | pa.Table) -> None:
    if isinstance(content, pa.Table):
        pq.write_table(content, tmp_path / name)
    else:
        write(tmp_path / name, content)
    [*_, file] = plan_inputs(separate(tmp_path, qrels=str(tmp_path / name)))
    [row] = read(file)["qrels"]
    assert (row["query_id"], row["passage_id"]) == ("q1", "p1")
    assert row["grade"] == (1.0 if "nano" in name else 2.0)


# ---------------- 9, 15, 18: positives as objects and lists, none at all, negatives

OBJECTS: dict[str, tuple[Row, list[tuple[str, str]], set[str]]] = {
    "DPR": (
        {
            "question": "q",
            "answers": ["x"],
            "positive_ctxs": [{"title": "T", "text": "p", "passage_id": "1", "score": 9.5}],
            "negative_ctxs": [],
            "hard_negative_ctxs": [{"title": "N", "text": "n", "passage_id": 2.0}],
        },
        [("1", "T p")],
        {"N n"},
    ),
    "MIRACL": (
        {
            "query_id": "7",
            "query": "q",
            "positive_passages": [{"docid": "9#0", "title": "題", "text": "p"}],
            "negative_passages": [{"docid": "9#1", "title": "題", "text": "n"}],
        },
        [("9#0", "題 p")],
        {"題 n"},
    ),
    "FlagEmbedding": (
        {"query": "q", "pos": ["p"], "neg": ["n", "m"], "pos_scores": [0.9], "neg_scores": [0.2, 0.1], "prompt": "x"},
        [(text_id("p"), "p")],
        {"n", "m"},
    ),
    "n-tuples": (
        {"anchor": "q", "positive": "p", "negative_2": "m", "negative_1": "n"},
        [(text_id("p"), "p")],
        {"n", "m"},
    ),
    "DuReader": (
        {"question_id": "5", "question": "q", "answer_paragraphs": [{"paragraph_id": "a", "paragraph_text": "段"}]},
        [("a", "段")],
        set(),
    ),
    "padded with nulls": ({"query": "q", "positive": [None, ""], "negatives": [None]}, [], set()),
    "a blank": ({"query": "q", "positive": "  "}, [], set()),
}


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.parquet", "x.arrow"])
@pytest.mark.parametrize(("row", "positives", "negatives"), OBJECTS.values(), ids=OBJECTS)
def test_positives_and_negatives(
    tmp_path: Path, name: str, row: Row, positives: list[tuple[str, str]], negatives: set[str]
) -> None:
    path = tmp_path / name
    table = pa.Table.from_pylist([row])
    if name == "x.parquet":
        pq.write_table(table, path)
    elif name == "x.arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    else:
        write(path, lines([row]))
    found = pairs_of(str(path))
    assert not found["rejected"]
    assert ids(found["queries"], "text") == ["q"]
    texts = dict(ids(found["passages"], "passage_id", "text"))
    assert [(identifier, texts[identifier]) for identifier in ids(found["qrels"], "passage_id")] == positives
    assert set(texts.values()) - {text for _, text in positives} == negatives


# ---------------- 10: ids that were written as floats


@pytest.mark.parametrize("name", ["c.csv", "c.tsv", "c.jsonl", "c.parquet", "c.csv.gz"])
def test_ids_of_another_table_s_floats(tmp_path: Path, name: str) -> None:
    """pandas makes 7.0 of 7 where an id is missing; written as text, it is found by the other table's 7."""
    frame = pd.DataFrame({"id": ["7.0", "8.0", None], "text": ["a", "b", "c"]})
    path = str(tmp_path / name)
    if name == "c.parquet":
        frame.to_parquet(path)
    elif name == "c.jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        data = frame.to_csv(None, index=False, sep="\t" if name == "c.tsv" else ",")
        Path(path).write_bytes(gzip.compress(data.encode()) if name.endswith(".gz") else data.encode())
    [found] = files_at(path, "corpus")
    file = look_into("passages", found, parts_of("passages"))
    rows = read(file)
    assert ids(rows["passages"], "passage_id") == ["7", "8"]
    assert len(rows["rejected"]) == 1
    assert decisions([file]) == [
        f"{path}: the ids in 'id' are whole numbers written as floats, 7.0 is read as the id 7."
    ]


def test_one_id_of_another_form_and_all_stay(tmp_path: Path) -> None:
    rows = corpus_of(write(tmp_path / "c.csv", "id,text\n7.0,a\n7.1,b\n"))
    assert ids(rows["passages"], "passage_id") == ["7.0", "7.1"]


def test_float_ids_of_judgements(tmp_path: Path) -> None:
    for name, data in (("r.csv", "qid,docid,rel\n1.0,7.0,1.0\n"), ("r.txt", "1.0 0 7.0 1\n")):
        [*_, file] = plan_inputs(separate(tmp_path, qrels=write(tmp_path / name, data)))
        assert ids(read(file)["qrels"], "query_id", "passage_id") == [("1", "7")]


# ---------------- 16: without a header


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("p.tsv", "why is rain\tit is wet\r\nwhat is snow\tit is cold\r\n"),
        ("p.csv", '"why is rain","it is wet"\n"what is snow","it is cold"\n'),
        ("p.csv", "why is rain;it is wet\nwhat is snow;it is cold\n"),
    ],
)
def test_pairs_without_a_header(tmp_path: Path, name: str, data: str) -> None:
    found = pairs_of(write(tmp_path / name, data))
    assert ids(found["queries"], "text") == ["why is rain", "what is snow"]
    assert ids(found["passages"], "text") == ["it is wet", "it is cold"]


def test_triples_are_named_by_their_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "triples.tsv", "why is rain\tit is wet\tit is dry\n")
    said = message(InputOptions(pairs=[path]))
    assert "name the columns by their number, 1 for the first, with --anchor-column" in said
    found = pairs_of(path, anchor_column="1", positive_column="2")
    assert ids(found["passages"], "text") == ["it is wet"]

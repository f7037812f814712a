"""The small inputs that real people had: what is read from them, and what is said of them.

The examples lie outside the repository; beside each kind stand further forms of it, which are made here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from input_cases import ids, message, read_all, separate, write

from hardneg.errors import InputError
from hardneg.transforms.core.text import text_id
from hardneg.transforms.inputs.columns import parts_of
from hardneg.transforms.inputs.evaluation_sets import read_evaluation_sets
from hardneg.transforms.inputs.input_files import BAD_GRADE, EMPTY_TEXT, FRACTION
from hardneg.transforms.inputs.looking import look_into
from hardneg.transforms.inputs.options import InputOptions
from hardneg.transforms.inputs.paths import files_at
from hardneg.transforms.inputs.planning import plan_inputs

CASES = Path(__file__).parents[3] / "shared" / "cases"
Rows = dict[str, list[dict[str, Any]]]


def case(name: str) -> Path:
    if not (CASES / name).is_dir():
        pytest.skip(f"{CASES / name} is not on this machine")
    return CASES / name


def pairs_of(path: Path | str, **options: Any) -> Rows:
    return read_all(plan_inputs(InputOptions(pairs=[str(path)], **options)))


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows in the format that the name asks for."""
    frame = pd.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".arrow":
        table = pa.Table.from_pandas(frame)
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ALL = ["x.parquet", "x.csv", "x.tsv", "x.json", "x.jsonl", "x.arrow"]

# ---------------- 1: what an evaluation set is, is told by all of its first lines


def keys_of(path: Path) -> tuple[int, int, int, int]:
    [found] = read_evaluation_sets([str(path)], 1.0)
    return (len(found.query_ids), len(found.passage_ids), len(found.query_texts), len(found.passage_texts))


def test_trec_qrels_under_any_name_are_qrels() -> None:
    folder = case("holdout_qrels_txt")
    assert keys_of(folder / "qrels.eval.txt") == keys_of(folder / "same_file.qrels") == (2, 2, 0, 0)


HELD_OUT = {
    "TREC": ("q.txt", "q1 0 p1 1\nq2 0 p2 0\nq3\tQ0\tp3\t2\n", (3, 2, 0, 0)),
    "TREC without a suffix": ("qrels", "1 0 7 1\n2 0 8 1\n", (2, 2, 0, 0)),
    "BEIR": ("q.tsv", "query-id\tcorpus-id\tscore\nq1\tp1\t1\n", (1, 1, 0, 0)),
    "BEIR as CSV": ("q.csv", "query-id,corpus-id,score\nq1,p1,1\n", (1, 1, 0, 0)),
    "BEIR as JSON lines": ("q.jsonl", '{"query-id": 1, "corpus-id": 2.0, "score": 1}\n', (1, 1, 0, 0)),
    "queries, of which one looks like qrels": (
        "q.tsv",
        "1\twindows 95 or 98\n2\ta b 3\n3\twhat is rain\n",
        (0, 0, 3, 3),
    ),
    "queries that all end with numbers": ("q.tsv", "1\tnovel covid 19\n2\tformula one 2021\n", (0, 0, 2, 2)),
    "texts, of which one looks like qrels": ("q.txt", "1 0 p 1\nwhat is rain\nwhy is rain\n", (0, 0, 3, 3)),
    "pairs": ("q.csv", "query,answer\na,b\n", (0, 0, 1, 1)),
}


@pytest.mark.parametrize(("name", "content", "found"), HELD_OUT.values(), ids=HELD_OUT)
def test_what_an_evaluation_set_is(tmp_path: Path, name: str, content: str, found: tuple[int, ...]) -> None:
    assert keys_of(Path(write(tmp_path / name, content))) == found


BROKEN_SETS = {
    "qrels": ("q.txt", "q1 0 p1 1\nq2 0 p2 yes\nq3 0 p3 1\n", rf"1 of 3 rows can't be used \(1 {BAD_GRADE}; .*:2\)"),
    "pairs": (
        "q.jsonl",
        '{"query": "a", "positive": "b"}\n{"query": 1, "positive": "b"}\n',
        "1 of 2 rows can't be used",
    ),
    "CSV": ("q.csv", "query,positive\na,b\nc\n", "1 of 2 rows can't be used .*wrong number of columns"),
    "no lines": ("q.txt", "\n", "holds nothing to keep out"),
}


@pytest.mark.parametrize(("name", "content", "said"), BROKEN_SETS.values(), ids=BROKEN_SETS)
def test_nothing_of_an_evaluation_set_is_rejected_silently(tmp_path: Path, name: str, content: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_evaluation_sets([write(tmp_path / name, content)], 1.0)


# ---------------- 2: labels beside pairs


def test_labelled_pairs_are_judgements() -> None:
    folder = case("labelled_pairs")
    rows = [json.loads(line) for line in (folder / "labelled.jsonl").read_text().splitlines()]
    found = pairs_of(folder / "labelled.jsonl")
    assert [row["grade"] for row in found["qrels"]] == [float(row["label"]) for row in rows]
    found = pairs_of(folder / "own_export" / "*.parquet")
    assert {row["grade"] for row in found["qrels"]} == {0.0, 1.0}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("column", ["label", "Score", "relevance", "grade", "rel", "similarity"])
def test_labels_in_every_format(tmp_path: Path, name: str, column: str) -> None:
    rows = [{"sentence1": "a", "sentence2": f"b{n}", column: n} for n in (0, 1, 2)]
    found = pairs_of(write_table(tmp_path / name, rows))
    assert [row["grade"] for row in found["qrels"]] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.jsonl"])
def test_a_similarity_is_no_grade(tmp_path: Path, name: str) -> None:
    rows = [{"query": "a", "answer": f"b{n}", "similarity": 0.9 + n} for n in range(2)]
    found = pairs_of(write_table(tmp_path / name, rows))
    assert ids(found["rejected"], "reason") == [f"{FRACTION} similarity"] * 2
    assert not found["queries"]


# ---------------- 7: quoted cells of TSV files


def test_a_tsv_of_a_csv_writer_is_unquoted() -> None:
    folder = case("tsv_with_csv_quotes")
    for name in ("wiki.tsv", "psgs.tsv"):
        [found] = files_at(str(folder / name), "corpus")
        rows = read_all([look_into("passages", found, parts_of("passages"))])
        assert not rows["rejected"]
        assert not any('""' in row["text"] for row in rows["passages"])
    assert rows["passages"][-1]["text"] == "Odd A text with a\ttab and\na line break in it."


# ---------------- 8: qrels as tables


def test_qrels_as_json_lines() -> None:
    folder = case("qrels_live_or_parquet")
    given = {"corpus": [str(folder / "corpus.jsonl")], "queries": [str(folder / "queries.jsonl")]}
    found = read_all(plan_inputs(InputOptions(**given, qrels=[str(folder / "qrels.jsonl")])))
    assert ids(found["qrels"], "query_id", "passage_id", "grade") == [("q1", "d01", 1.0)]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "names", [("query-id", "corpus-id", "score"), ("qid", "docid", "rel"), ("query_id", "doc_id", "")]
)
def test_qrels_in_every_format(tmp_path: Path, name: str, names: tuple[str, str, str]) -> None:
    row = dict(zip(names, (7.0 if name in ("x.parquet", "x.jsonl") else 7, "d 1", 2), strict=True))
    row.pop("", None)
    [*_, qrels] = plan_inputs(separate(tmp_path, qrels=str(write_table(tmp_path / name, [row]))))
    assert ids(read_all([qrels])["qrels"], "query_id", "passage_id", "grade") == [
        ("7", "d 1", 2.0 if names[2] else 1.0)
    ]


# ---------------- 9: positives as objects

OBJECTS = {
    "nq_train.json": (
        "1",
        "Tides Tides rise because the Moon pulls the sea.",
        {"2": "Currents Currents are driven by wind."},
    ),
    "nq_train.jsonl": (
        "1",
        "Tides Tides rise because the Moon pulls the sea.",
        {"2": "Currents Currents are driven by wind."},
    ),
    "miracl.jsonl": (
        "9#1",
        "Tides Tides rise because the Moon pulls the sea.",
        {"8#0": "Currents are driven by wind."},
    ),
    "dureader.jsonl": ("5c8b", "长江是中国第一长河。", {}),
    "nemo.jsonl": (text_id("The Moon pulls the sea."), "The Moon pulls the sea.", {text_id("x"): "x"}),
}


@pytest.mark.parametrize(("name", "positive", "text", "negatives"), [(name, *row) for name, row in OBJECTS.items()])
def test_positives_as_objects(name: str, positive: str, text: str, negatives: dict[str, str]) -> None:
    found = pairs_of(case("positives_as_objects") / name)
    assert not found["rejected"]
    assert (found["qrels"][0]["passage_id"], found["qrels"][0]["grade"]) == (positive, 1.0)
    texts = dict(ids(found["passages"], "passage_id", "text"))
    assert texts[positive] == text
    assert negatives.items() <= texts.items()
    assert not negatives.keys() & set(ids(found["qrels"], "passage_id"))


def test_a_table_of_several_things_is_told_apart_by_its_columns() -> None:
    said = message(InputOptions(pairs=[str(case("positives_as_objects") / "nemo.json")]))
    assert "its columns are corpus, data" in said


def test_negatives_count_as_judged_if_that_is_asked_for(tmp_path: Path) -> None:
    rows = [{"query": "a", "pos": ["p"], "neg": ["n", "m"]}]
    found = pairs_of(write_table(tmp_path / "x.json", rows), judged_negatives=True)
    assert ids(found["qrels"], "passage_id", "grade") == [(text_id("p"), 1.0), (text_id("n"), 0.0), (text_id("m"), 0.0)]


# ---------------- 10, 15: rows that hold nothing, queries without a positive


def test_whole_floats_are_ids() -> None:
    [found] = files_at(str(case("all_rejected_hides_reason") / "corpus.parquet"), "corpus")
    rows = read_all([look_into("passages", found, parts_of("passages"))])
    assert len(rows["passages"]) == 24
    assert {row["passage_id"] for row in rows["passages"]} >= {"0", "6"}


def test_a_query_without_a_positive_is_no_broken_row() -> None:
    found = pairs_of(case("pairs_without_a_positive") / "reranking.jsonl")
    assert not found["rejected"]
    assert len(found["queries"]) == 11
    assert len({row["query_id"] for row in found["qrels"]}) == 10


@pytest.mark.parametrize("name", ALL)
def test_no_positive_in_every_format(tmp_path: Path, name: str) -> None:
    rows = [{"query": "a", "positive": "b"}, {"query": "c", "positive": None}]
    found = pairs_of(write_table(tmp_path / name, rows))
    assert ids(found["queries"], "text") == ["a", "c"]
    assert len(found["qrels"]) == 1
    assert not found["rejected"]


def test_an_empty_positive_among_others_is_broken(tmp_path: Path) -> None:
    found = pairs_of(write_table(tmp_path / "x.jsonl", [{"query": "a", "positive": ["b", " "]}]))
    assert ids(found["rejected"], "reason") == [EMPTY_TEXT]


# ---------------- 16: pairs without a header


@pytest.mark.parametrize("name", ["p.tsv", "p.csv", "p.tsv.gz"])
def test_pairs_without_a_header_lose_none(tmp_path: Path, name: str) -> None:
    cells = [("why is rain", "it is wet"), ("what is snow", "it is cold")]
    delimiter = "," if ".csv" in name else "\t"
    found = pairs_of(write(tmp_path / name, "\n".join(delimiter.join(row) for row in cells)))
    assert [(a["text"], b["text"]) for a, b in zip(found["queries"], found["passages"], strict=True)] == cells


def test_columns_without_a_header_are_named_by_number() -> None:
    path = case("unsupported_files") / "rocketqa.tsv"
    assert "name the columns by their number" in message(InputOptions(pairs=[str(path)]))
    found = pairs_of(path, anchor_column="1", title_column="2", positive_column="3")
    assert ids(found["passages"], "text") == ["title para text", "title2 other para"]
    assert ids(found["queries"], "text") == ["q text", "q text"]


def test_one_word_each_may_be_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "p.tsv", "cat\tfeline\ndog\tcanine\n")
    assert "by its number, if the first line is no header" in message(InputOptions(pairs=[path]))
    found = pairs_of(path, anchor_column="1", positive_column="2")
    assert ids(found["queries"], "text") == ["cat", "dog"]


# ---------------- 18: forms that people have


def test_folders_of_arrow_files_and_json_arrays() -> None:
    folder = case("unsupported_files")
    table = pa.ipc.open_stream(folder / "ondisk" / "data-00000-of-00001.arrow").read_all()
    for path in (folder / "ondisk", folder / "ondisk" / "*.arrow"):
        found = pairs_of(path)
        assert ids(found["queries"], "text") == table["query"].to_pylist()
    found = pairs_of(folder / "array.json")
    assert ids(found["queries"], "text") == ["a"]
    assert set(ids(found["passages"], "text")) == {"p", "n"}


def test_csv_is_read_and_its_columns_are_named() -> None:
    path = str(case("unsupported_files") / "cmedqa.csv")
    [found] = files_at(path, "corpus")
    with pytest.raises(InputError, match="its columns are ans_id, question_id, content"):
        look_into("passages", found, parts_of("passages"))
    file = look_into("passages", found, parts_of("passages"), {"id_column": "ans_id"})
    assert ids(read_all([file])["passages"], "passage_id", "text") == [("1", "多喝水，注意休息")]


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: write_table(
            folder / "x.parquet", [{"query": "a", "pos": ["p"], "neg": ["n"], "pos_scores": [0.3]}]
        ),
        lambda folder: write_table(folder / "x.jsonl", [{"query": "a", "pos": ["p"], "neg": ["n"]}]),
        lambda folder: write_table(folder / "x.csv", [{"anchor": "a", "positive": "p", "negative_1": "n"}]),
    ],
)
def test_negatives_are_searched(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    found = pairs_of(make(tmp_path))
    assert set(ids(found["passages"], "text")) == {"p", "n"}
    assert ids(found["qrels"], "passage_id") == [text_id("p")]


def test_a_folder_of_other_files_names_a_pattern_that_matches(tmp_path: Path) -> None:
    pq.write_table(pa.table({"query": ["a"], "answer": ["b"]}), tmp_path / "x.parquet")
    (tmp_path / "dataset_infos.json").write_text("{}")
    said = message(InputOptions(pairs=[str(tmp_path)]))
    assert said.endswith(f"give a file, or a pattern such as {tmp_path / '*.parquet'}.")

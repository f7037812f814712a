"""Planning: every problem with files and options, each said in a sentence."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from apache_beam.io.filesystems import FileSystems
from input_cases import (
    BEIR_QRELS,
    BY_ID,
    CORPUS,
    QUERY_LINES,
    ids,
    message,
    read,
    read_all,
    separate,
    write,
    write_parquet,
)

from hardneg.errors import HardnegError
from hardneg.transforms.inputs.input_files import (
    Columns,
    InputFile,
)
from hardneg.transforms.inputs.options import InputOptions
from hardneg.transforms.inputs.planning import plan_inputs

# ---------------- problems with files

PARQUET_BYTES = pa.BufferOutputStream()
pq.write_table(pa.table({"_id": ["p"], "text": ["t"]}), PARQUET_BYTES)
PARQUET = PARQUET_BYTES.getvalue().to_pybytes()
TRUNCATED = gzip.compress(CORPUS.encode())[:-12]

BAD_FILES = {
    "JSON as Parquet": ("c.parquet", CORPUS.encode(), "not intact Parquet"),
    "empty Parquet": ("c.parquet", b"", "not intact Parquet"),
    "truncated Parquet": ("c.parquet", PARQUET[:-30], "not intact Parquet"),
    "Parquet as JSON": ("c.jsonl", PARQUET, "holds Parquet, not JSON lines"),
    "Parquet as TSV": ("c.tsv", PARQUET, "holds Parquet, not tab-separated"),
    "gzip as JSON": ("c.jsonl", gzip.compress(CORPUS.encode()), "holds gzip data"),
    "binary": ("c.jsonl", bytes(range(256)) * 20, "none of its first"),
    "UTF-16": ("c.jsonl", CORPUS.encode("utf-16"), "UTF-16"),
    "JSON over several lines": ("c.json", b'{\n "_id": "1",\n "text": "a"\n}', "jq -c ."),
    "JSON array of lists": ("c.jsonl", b'[[1, "a"],\n [2, "b"]]', "one object a line"),
    "JSON array cut off": ("c.json", b'[{"_id": "1", "text": "a"},\n {"_id": "2", "text": ', "from row 2 on"),
    "binary TSV": ("c.tsv", b"\xff\xfa\x00\x01" * 20, "not tab-separated text"),
    "not gzip": ("c.jsonl.gz", CORPUS.encode(), "not intact gzip"),
    "not bzip2": ("c.jsonl.bz2", CORPUS.encode(), "not intact bzip2"),
    "not zstd": ("c.jsonl.zst", CORPUS.encode(), "not intact zstd"),
    "not xz": ("c.jsonl.xz", CORPUS.encode(), "not intact xz"),
    "truncated gzip": ("c.jsonl.gz", TRUNCATED, "cut off"),
    "truncated zstd": ("c.jsonl.zst", zstandard.compress(os.urandom(5000))[:2000], "not intact zstd"),
    "compressed Parquet": ("c.parquet.gz", gzip.compress(PARQUET), "decompress"),
    "unknown suffix": ("c.xlsx", b"id,text\n1,a\n", "suffix"),
    "TSV with three columns": ("c.tsv", b"1\tT\tone\n", "add a first line"),
    "TSV with one column": ("c.tsv", b"one\n", "has 1 column and no header"),
    "TSV without a text": ("c.tsv", b"id\tfoo\n1\tone\n", "--text-column"),
    "no id": ("c.jsonl", b'{"text": "a"}\n', "--id-column"),
    "two ids": ("c.jsonl", b'{"id": 1, "pid": 1, "text": "a"}\n', "id, pid might each be the passage's id"),
    "two texts": ("c.jsonl", b'{"id": 1, "text": "a", "body": "b"}\n', "--text-column"),
    "no columns": ("c.jsonl", b"{}\n", "its columns are none"),
}


@pytest.mark.parametrize(("name", "content", "expected"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    said = message(separate(tmp_path, corpus=str(path)))
    assert expected in said
    assert str(path) in said
    assert "\n" not in said


BAD_QRELS = {
    "three words": b"q1 p1 1\n",
    "other header": b"a\tb\tc\nq1\tp1\t1\n",
    "JSON": b'{"query": "q1"}\n',
    "binary": b"\xff\xfa\x00\x01",
    "a gzip file": gzip.compress(b"q1 0 p1 1\n"),
}


@pytest.mark.parametrize("content", BAD_QRELS.values(), ids=BAD_QRELS)
def test_qrels_in_no_known_form(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.txt"
    path.write_bytes(content)
    said = message(separate(tmp_path, qrels=str(path)))
    assert str(path) in said
    assert "\n" not in said


def test_what_is_cut_off_further_down_is_found_while_reading(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"_id": str(n), "text": os.urandom(300).hex()}) + "\n" for n in range(10_000))
    whole = gzip.compress(rows.encode())
    (tmp_path / "c.jsonl.gz").write_bytes(whole[:-5000])
    [corpus, *_] = plan_inputs(separate(tmp_path, corpus=str(tmp_path / "c.jsonl.gz")))
    with pytest.raises(HardnegError, match=r"c\.jsonl\.gz ends in the middle of its gzip data: it was cut off"):
        read(corpus)
    (tmp_path / "c.jsonl.gz").write_bytes(whole[:500_000] + b"\xff" * 100 + whole[500_100:])
    with pytest.raises(HardnegError, match="not intact gzip"):
        read(corpus)
    table = pa.table({"_id": [str(n) for n in range(1000)], "text": [os.urandom(300).hex() for _ in range(1000)]})
    pq.write_table(table, tmp_path / "c.parquet")
    data = bytearray((tmp_path / "c.parquet").read_bytes())
    [corpus, *_] = plan_inputs(separate(tmp_path, corpus=str(tmp_path / "c.parquet")))
    data[20_000:250_000] = bytes(230_000)
    (tmp_path / "c.parquet").write_bytes(data)
    with pytest.raises(HardnegError, match="not intact Parquet"):
        read(corpus)
    write_parquet(tmp_path / "c.parquet", {"other": ["x"]})
    with pytest.raises(HardnegError, match=r"no column '_id' \(it has other\)"):
        read(corpus)


def test_files_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = InputFile(str(tmp_path / "gone.jsonl"), "passages", "jsonl", BY_ID)
    with pytest.raises(HardnegError, match=r"gone\.jsonl does not exist"):
        read(file)
    with pytest.raises(HardnegError, match="is a folder"):
        read(InputFile(str(tmp_path), "passages", "parquet", BY_ID))
    for error, said in ((PermissionError(13, "no"), "may not be read"), (RuntimeError("503\nmore"), "503")):

        def refuse(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(FileSystems, "open", refuse)
        for form in ("jsonl", "parquet"):
            with pytest.raises(HardnegError, match=said):
                read(InputFile("gs://bucket/x", "passages", form, BY_ID))


# ---------------- problems with options


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "No input"),
        ({"input": "d", "pairs": "p"}, "--input can't stand beside --pairs"),
        ({"pairs": "p", "qrels": "r"}, "--pairs can't stand beside"),
        ({"corpus": "c"}, "--corpus without --queries, --qrels: give all three, or give --pairs"),
        ({"corpus": "c", "queries": "q"}, "without --qrels"),
        ({"pairs": "p", "split": "train"}, "--split names"),
        ({"pairs": "p", "id_column": "x"}, "--id-column names a column of a corpus"),
        ({"input": "d", "positive_column": "x"}, "--positive-column names a column of pairs"),
        ({"input": "nowhere"}, "--input nowhere does not exist"),
        ({"pairs": "nowhere.parquet"}, "--pairs nowhere.parquet matches no file"),
    ],
)
def test_combinations_that_make_no_sense(given: dict[str, Any], expected: str) -> None:
    assert expected in message(InputOptions(**given))


@pytest.mark.parametrize(
    ("given", "pass_through", "expected"),
    [
        ({"pairs": "p"}, ["x"], "--pass-through names a column of a corpus"),
        ({"input": "d"}, ["text"], "--pass-through can't be text"),
        ({"input": "d"}, ["a", "a"], "twice"),
    ],
)
def test_columns_that_cannot_pass_through(given: dict[str, Any], pass_through: list[str], expected: str) -> None:
    assert expected in message(InputOptions(**given), pass_through)


def test_all_problems_are_listed(tmp_path: Path) -> None:
    bad = write(tmp_path / "c.jsonl", "{}")
    said = message(InputOptions(corpus=[bad, "gone"], queries=str(tmp_path), qrels="gone2", split="x"))
    assert said.startswith("The inputs have 5 problems:\n- ")
    for expected in ("--split", "--corpus gone ", f"--queries {tmp_path} is a folder", "--qrels gone2", bad):
        assert expected in said
    many = [write(tmp_path / f"{n}.jsonl", "{}") for n in range(30)]
    assert message(separate(tmp_path, corpus=many)).endswith("\n- ... and 10 more.")


def test_a_beir_folder_with_something_missing(tmp_path: Path) -> None:
    file = write(tmp_path / "file", "")
    assert "is not a folder" in message(InputOptions(input=file))
    said = message(InputOptions(input=str(tmp_path), split="train"))
    for expected in ("has no corpus.jsonl", "has no queries.jsonl", "has no qrels/SPLIT.tsv"):
        assert expected in said
    write(tmp_path / "corpus.jsonl", CORPUS)
    write(tmp_path / "queries.jsonl", QUERY_LINES)
    write(tmp_path / "qrels/test.tsv", BEIR_QRELS)
    write(tmp_path / "qrels/dev.tsv.gz", BEIR_QRELS)
    assert "--split train" in (said := message(InputOptions(input=str(tmp_path), split="train")))
    assert said.endswith("choose of dev, test.")
    assert "several splits: choose with --split of dev, test" in message(InputOptions(input=str(tmp_path)))
    write(tmp_path / "corpus.jsonl.gz", CORPUS)
    assert "one file twice" in message(InputOptions(input=str(tmp_path), split="dev"))


@pytest.mark.parametrize(
    ("columns", "options", "expected"),
    [
        (("question", "query", "answer"), {}, "question, query might each be the anchor (the query)"),
        (("question", "answer", "passage"), {}, "name it with --positive-column"),
        (("foo", "answer"), {}, "its columns are foo, answer: name it with --anchor-column"),
        (("query", "answer"), {"positive_column": "bar"}, "has no column 'bar'"),
        (("query", "foo"), {"anchor_column": "foo", "positive_column": "foo"}, "'foo' can't be both"),
        (
            ("question", "query", "answer"),
            {"anchor_column": "query"},
            Columns(text="query", positive="answer"),
        ),
        (("anchor", "query", "positive", "text"), {}, Columns(text="anchor", positive="positive")),
        (("Query", "Answer", "id", "title"), {}, Columns(text="Query", positive="Answer")),
        (("query", "pos", "id"), {"query_id_column": "id"}, Columns(id="id", text="query", positive="pos")),
        (("sentence1", "sentence2"), {}, Columns(text="sentence1", positive="sentence2")),
        (
            ("text", "foo"),
            {"anchor_column": "text", "positive_column": "foo"},
            Columns(text="text", positive="foo"),
        ),
    ],
)
@pytest.mark.parametrize("name", ["p.parquet", "p.jsonl", "p.tsv"])
def test_columns_of_pairs_are_detected_or_asked_for(
    tmp_path: Path, name: str, columns: tuple[str, ...], options: dict[str, str], expected: str | Columns
) -> None:
    path = tmp_path / name
    if name == "p.parquet":
        write_parquet(path, {column: ["x"] for column in columns})
    elif name == "p.jsonl":
        write(path, json.dumps(dict.fromkeys(columns, "x")))
    else:
        write(path, "\t".join(columns) + "\nx\ty")
    chosen = InputOptions(pairs=str(path), **options)
    if isinstance(expected, str):
        assert expected in message(chosen)
    else:
        assert replace(plan_inputs(chosen)[0].columns, late_grades=()) == expected


def test_a_column_to_pass_through_must_be_in_some_corpus_file(tmp_path: Path) -> None:
    parts = [
        write(tmp_path / "a.jsonl", CORPUS),
        write(tmp_path / "b.jsonl", '{"_id": 3, "text": "x", "url": "u"}'),
    ]
    found = read_all(plan_inputs(separate(tmp_path, corpus=parts), ["url"]))
    assert ids(found["passages"], "url") == [None, None, "u"]
    said = message(separate(tmp_path, corpus=parts), ["ulr"])
    assert said == "--pass-through ulr: no corpus file has that column, the columns are _id, title, text, url."

"""Planning and reading: every layout, format and form that is accepted."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem
from input_cases import (
    BEIR_QRELS,
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

from hardneg.transforms.core.text import text_id
from hardneg.transforms.inputs.input_files import (
    Columns,
)
from hardneg.transforms.inputs.options import InputOptions
from hardneg.transforms.inputs.planning import plan_inputs


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".zst", ".xz"])
def test_a_beir_folder(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "a [b] c"  # brackets, which are no pattern here
    write(folder / f"corpus.jsonl{suffix}", CORPUS)
    write(folder / f"queries.jsonl{suffix}", QUERY_LINES)
    write(folder / f"qrels/train.tsv{suffix}", BEIR_QRELS)
    write(folder / "qrels/other.tsv", BEIR_QRELS)
    files = plan_inputs(InputOptions(input=str(folder), split="train"))
    assert ids([vars(f) for f in files], "kind", "format", "index") == [
        ("passages", "jsonl", 0),
        ("queries", "jsonl", 1),
        ("qrels", "tsv", 2),
    ]
    assert [f.size for f in files] == [os.path.getsize(f.path) for f in files]
    found = read_all(files)
    assert ids(found["passages"], "passage_id", "text") == [("p1", "T one"), ("p2", "two")]
    assert ids(found["queries"], "query_id", "text") == [("q1", "what?")]
    assert ids(found["qrels"], "query_id", "passage_id", "grade") == [("q1", "p1", 1.0)]
    assert ids(found["counts"], "file", "rows") == [(0, 2), (1, 1), (2, 1)]
    assert not found["rejected"]


def test_the_only_split_need_not_be_named(tmp_path: Path) -> None:
    write(tmp_path / "corpus.jsonl", CORPUS)
    write(tmp_path / "queries.jsonl", QUERY_LINES)
    write(tmp_path / "qrels/dev.tsv", BEIR_QRELS)
    assert plan_inputs(InputOptions(input=str(tmp_path)))[2].path == str(tmp_path / "qrels/dev.tsv")


PAIRS = {"question": ["a?", "b?", "a?"], "answer": ["x", "y", "z"], "score": [1, 2, 3]}


@pytest.mark.parametrize("name", ["p.parquet", "p.jsonl", "p.jsonl.gz", "p.tsv"])
def test_pairs_are_queries_passages_and_qrels(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [dict(zip(PAIRS, row, strict=True)) for row in zip(*PAIRS.values(), strict=True)]
    if name.endswith("parquet"):
        write_parquet(path, PAIRS)
    elif name.endswith("tsv"):
        write(
            path,
            "\n".join("\t".join(map(str, row)) for row in [tuple(PAIRS), *zip(*PAIRS.values(), strict=True)]),
        )
    else:
        write(path, "".join(json.dumps(row) + "\n" for row in rows))
    [file] = plan_inputs(InputOptions(pairs=str(path)))
    assert file.columns == Columns(text="question", positive="answer", grade="score")
    found = read(file, chunk_rows=2)
    assert ids(found["queries"], "query_id", "text") == [(text_id(q), q) for q in PAIRS["question"]]
    assert ids(found["passages"], "passage_id", "text") == [(text_id(p), p) for p in PAIRS["answer"]]
    assert ids(found["qrels"], "query_id", "passage_id", "grade") == [
        (text_id(q), text_id(p), float(grade)) for q, p, grade in zip(*PAIRS.values(), strict=True)
    ]
    assert {row["line"] for row in found["qrels"]} == ({2, 3, 4} if name.endswith("tsv") else {1, 2, 3})
    assert found["counts"] == [{"file": 0, "rows": 3}]


def test_a_row_of_pairs_may_hold_several_positives_a_title_and_an_id(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "p.parquet",
        {"qid": [7, 8], "query": ["a?", "b?"], "pos": [["x", "y", "x"], ["z"]], "heading": ["T", None]},
    )
    [file] = plan_inputs(InputOptions(pairs=path, title_column="heading"))
    found = read(file)
    assert ids(found["queries"], "query_id") == ["7", "8"]
    assert ids(found["passages"], "text") == ["T x", "T y", "z"]
    assert ids(found["qrels"], "query_id", "passage_id") == [
        ("7", text_id("T x")),
        ("7", text_id("T y")),
        ("8", text_id("z")),
    ]


def test_pairs_with_a_corpus_without_ids(tmp_path: Path) -> None:
    pairs = write(tmp_path / "p.jsonl", '{"anchor": "a", "positive": "x", "text": "other"}\n')
    corpus = write(tmp_path / "c.jsonl", '{"text": "x", "url": "u"}\n{"text": "y", "title": "T", "n": [1, "é"]}\n')
    files = plan_inputs(InputOptions(pairs=pairs, corpus=corpus), ["url", "n"])
    assert [f.kind for f in files] == ["passages", "pairs"]
    assert replace(files[1].columns, late_grades=()) == Columns(text="anchor", positive="positive")
    found = read_all(files)
    assert ids(found["passages"], "passage_id", "text", "url", "n") == [
        (text_id("x"), "x", "u", None),
        (text_id("T y"), "T y", None, '[1, "é"]'),
        (text_id("x"), "x", None, None),
    ]


@pytest.mark.parametrize("name", ["c.parquet", "c.jsonl", "c.tsv", "c.tsv.gz"])
def test_a_corpus_in_every_format_with_columns_that_pass_through(tmp_path: Path, name: str) -> None:
    columns = {
        "docid": ["1", "2"],
        "title": ["T", ""],
        "contents": ["one", "two"],
        "url": ["u", "v"],
        "n": [1, 2],
    }
    rows = list(zip(*columns.values(), strict=True))
    if name == "c.parquet":
        write_parquet(tmp_path / name, {**columns, "docid": [1, 2]})
    elif name == "c.jsonl":
        lines = [json.dumps({**dict(zip(columns, row, strict=True)), "docid": int(row[0])}) for row in rows]
        write(tmp_path / name, "\n".join(lines))
    else:
        write(tmp_path / name, "\n".join("\t".join(map(str, row)) for row in [tuple(columns), *rows]))
    [corpus, *_] = plan_inputs(separate(tmp_path, corpus=str(tmp_path / name)), ("n", "url"))
    assert corpus.columns == Columns(id="docid", text="contents", title="title")
    assert ids(read(corpus)["passages"], "passage_id", "text", "n", "url") == [
        ("1", "T one", "1", "u"),
        ("2", "two", "2", "v"),
    ]


def test_what_passes_through_parquet_becomes_a_string(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "c.parquet",
        {
            "id": pa.array([1], pa.uint64()),
            "text": pa.array(["one"]).dictionary_encode(),
            "t": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
            "f": [0.5],
            "b": [True],
            "raw": [b"bytes"],
            "s": [{"k": [None, "é"]}],
            "none": pa.nulls(1),
        },
    )
    [corpus, *_] = plan_inputs(separate(tmp_path, corpus=path), ["t", "f", "b", "raw", "s", "none"])
    assert list(read(corpus)["passages"][0].values()) == [
        "1", "one", 0, 1, "2023-11-14 22:13:20.123456789", "0.5", "true", "bytes", '{"k": [null, "é"]}', None,
    ]  # fmt: skip


def test_a_tsv_without_header_is_id_and_text(tmp_path: Path) -> None:
    corpus = write(tmp_path / "collection.tsv", '0\tThe "quoted" text\n1\tsecond\n')
    queries = write(tmp_path / "queries.tsv", "9\ttext\n")  # a text that is a column's name
    files = plan_inputs(separate(tmp_path, corpus=corpus, queries=queries))
    found = read_all(files)
    assert ids(found["passages"], "passage_id", "text") == [("0", 'The "quoted" text'), ("1", "second")]
    assert ids(found["queries"], "query_id", "text") == [("9", "text")]


QRELS_FORMS = {
    "TREC": ("q1 0 p1 2\nq1\t0\tp2\t-1\n  q2   Q0 p\u00a03 0.5\n", [2.0, -1.0, 0.5]),
    "BEIR": ("query-id\tcorpus-id\tscore\nq1\tp1\t2\nq1\tp2\t-1\nq2\tp\u00a03\t0.5\n", [2.0, -1.0, 0.5]),
    "BEIR, no header": ("q1\tp1\t2\nq1\tp2\t-1\nq2\tp\u00a03\t0.5\n", [2.0, -1.0, 0.5]),
    "BEIR, no grades": ("query-id\tcorpus-id\nq1\tp1\nq1\tp2\nq2\tp\u00a03\n", [1.0, 1.0, 1.0]),
    "other order": ("score\tdoc_id\tqid\n2\tp1\tq1\n-1\tp2\tq1\n0.5\tp\u00a03\tq2\n", [2.0, -1.0, 0.5]),
}


@pytest.mark.parametrize(("content", "grades"), QRELS_FORMS.values(), ids=QRELS_FORMS)
@pytest.mark.parametrize("name", ["r.tsv", "r.txt.gz", "qrels"])
def test_qrels_forms_are_told_by_their_content(tmp_path: Path, name: str, content: str, grades: list[float]) -> None:
    [*_, qrels] = plan_inputs(separate(tmp_path, qrels=write(tmp_path / name, content)))
    found = read(qrels)
    assert ids(found["qrels"], "query_id", "passage_id") == [("q1", "p1"), ("q1", "p2"), ("q2", "p\u00a03")]
    assert ids(found["qrels"], "grade") == grades


def test_patterns_are_expanded_sorted_and_taken_once(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl.gz", "c.parquet", "[x].jsonl", "_SUCCESS", ".hidden.jsonl"):
        if name == "c.parquet":
            write_parquet(tmp_path / "c" / name, {"_id": ["3"], "text": ["c"]})
        else:
            write(tmp_path / "c" / name, CORPUS)
    given = [str(tmp_path / "c" / "*"), str(tmp_path / "c" / "b.jsonl"), str(tmp_path / "c" / "[x].jsonl")]
    files = plan_inputs(separate(tmp_path, corpus=given))
    names = [os.path.basename(f.path) for f in files if f.kind == "passages"]
    assert names == ["[x].jsonl", "a.jsonl.gz", "b.jsonl", "c.parquet"]
    assert [f.index for f in files] == list(range(6))


def test_empty_files_are_read_as_no_rows(tmp_path: Path) -> None:
    empty = [write(tmp_path / name, "\n\n") for name in ("a.jsonl", "b.tsv", "c.tsv.gz", "d.jsonl.zst")]
    write_parquet(tmp_path / "e.parquet", {"_id": pa.array([], pa.string()), "text": pa.array([], pa.string())})
    corpus = [*empty, str(tmp_path / "e.parquet")]
    found = read_all(plan_inputs(separate(tmp_path, corpus=corpus, queries=empty, qrels=empty[1:3])))
    assert {row["rows"] for row in found["counts"]} == {0}
    assert len(found["counts"]) == 11


class ElsewhereFileSystem(LocalFileSystem):
    """A stand-in for an object store: paths with a scheme, no folders."""

    @classmethod
    def scheme(cls) -> str:
        return "elsewhere"

    def has_dirs(self) -> bool:
        return False

    def exists(self, path: str) -> bool:
        return os.path.isfile(path.removeprefix("elsewhere:/"))

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, os.path.getsize(path.removeprefix("elsewhere:/")))

    def _list(self, prefix: str) -> Any:
        for folder, _, names in os.walk(os.path.dirname(prefix.removeprefix("elsewhere:/"))):
            for name in names:
                yield self.metadata(f"elsewhere:/{folder}/{name}")

    def open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        return super().open(path.removeprefix("elsewhere:/"), *args, **kwargs)


def test_everything_goes_through_beams_file_systems(tmp_path: Path) -> None:
    write(tmp_path / "corpus.jsonl.zst", CORPUS)
    write(tmp_path / "queries.jsonl", QUERY_LINES)
    write(tmp_path / "qrels/train.tsv.gz", BEIR_QRELS)
    write_parquet(tmp_path / "p-1.parquet", PAIRS)
    base = f"elsewhere:/{tmp_path}"
    assert [row["rows"] for row in read_all(plan_inputs(InputOptions(input=base)))["counts"]] == [2, 1, 1]
    found = read_all(plan_inputs(InputOptions(pairs=f"{base}/p-*.parquet", corpus=f"{base}/corpus.jsonl.zst")))
    assert ids(found["counts"], "rows") == [2, 3]
    assert "has no corpus.jsonl" in message(InputOptions(input=f"{base}/nowhere"))
    assert "matches no file" in message(InputOptions(pairs=f"{base}/nothing.parquet"))
    assert "can't be listed" in message(InputOptions(pairs="nosuchscheme://bucket/x.parquet"))

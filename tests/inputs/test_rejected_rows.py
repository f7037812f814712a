"""Every way in which a row can be broken: it is rejected alone, by its line and for its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from input_cases import (
    BY_ID,
    QREL_COLUMNS,
    QREL_NAMES,
    ids,
    read,
    write,
    write_parquet,
)

from hardneg.transforms.inputs.files import MAX_LINE_BYTES, lines
from hardneg.transforms.inputs.formats.registry import ROW_FORMATS
from hardneg.transforms.inputs.formats.row_format import Head
from hardneg.transforms.inputs.input_files import (
    BAD_GRADE,
    EMPTY_TEXT,
    INVALID_JSON,
    INVALID_UTF8,
    LINE_TOO_LONG,
    LONE_SURROGATE,
    MISSING_ID,
    NOT_AN_OBJECT,
    NUL_CHARACTER,
    WRONG_COLUMNS,
    WRONG_TYPE,
    Columns,
    InputFile,
)
from hardneg.transforms.inputs.options import InputOptions
from hardneg.transforms.inputs.planning import plan_inputs

GOOD = b'{"_id": "p1", "title": "T", "text": "one"}'
BAD_JSON_ROWS = {
    "cut off": (b'{"_id": "p", "text": "one"', INVALID_JSON),
    "no JSON": (b"hello", INVALID_JSON),
    "nested too deeply": (b"[" * 100_000, INVALID_JSON),
    "a number too long": (b'{"_id": ' + b"1" * 5000 + b', "text": "a"}', INVALID_JSON),
    "raw tab in a string": (b'{"_id": "p", "text": "a\tb"}', INVALID_JSON),
    "array": (b'["p", "one"]', NOT_AN_OBJECT),
    "null": (b"null", NOT_AN_OBJECT),
    "Latin-1": (b'{"_id": "p", "text": "caf\xe9"}', INVALID_UTF8),
    "encoded surrogate": (b'{"_id": "p", "text": "\xed\xa0\x80"}', INVALID_UTF8),
    "surrogate in text": (rb'{"_id": "p", "text": "a\ud800b"}', LONE_SURROGATE),
    "surrogate in title": (rb'{"_id": "p", "text": "a", "title": "\udfff"}', LONE_SURROGATE),
    "surrogate in id": (rb'{"_id": "\ud800", "text": "a"}', LONE_SURROGATE),
    "surrogate passed through": (rb'{"_id": "p", "text": "a", "url": "\ud800"}', LONE_SURROGATE),
    "surrogate passed through, nested": (rb'{"_id": "p", "text": "a", "url": ["\ud800"]}', LONE_SURROGATE),
    "NUL in text": (rb'{"_id": "p", "text": "a\u0000b"}', NUL_CHARACTER),
    "NUL in title": (rb'{"_id": "p", "text": "a", "title": "\u0000"}', NUL_CHARACTER),
    "NUL in id": (rb'{"_id": "p\u0000", "text": "a"}', NUL_CHARACTER),
    "raw NUL": (b'{"_id": "p", "text": "a\0b"}', INVALID_JSON),
    "no id": (b'{"text": "a"}', MISSING_ID),
    "null id": (b'{"_id": null, "text": "a"}', MISSING_ID),
    "empty id": (b'{"_id": "", "text": "a"}', MISSING_ID),
    "blank id": (b'{"_id": " ", "text": "a"}', MISSING_ID),
    "boolean id": (b'{"_id": true, "text": "a"}', f"{WRONG_TYPE} _id"),
    "fractional id": (b'{"_id": 1.5, "text": "a"}', f"{WRONG_TYPE} _id"),
    "no text": (b'{"_id": "p"}', EMPTY_TEXT),
    "text and title empty": (b'{"_id": "p", "text": "", "title": ""}', EMPTY_TEXT),
    "text and title blank": ('{"_id": "p", "text": " \\n", "title": "\u3000"}'.encode(), EMPTY_TEXT),
    "text and title null": (b'{"_id": "p", "text": null, "title": null}', EMPTY_TEXT),
    "number as text": (b'{"_id": "p", "text": 1}', f"{WRONG_TYPE} text"),
    "list as text": (b'{"_id": "p", "text": ["a"]}', f"{WRONG_TYPE} text"),
    "object as title": (b'{"_id": "p", "text": "a", "title": {}}', f"{WRONG_TYPE} title"),
}


@pytest.mark.parametrize(("line", "reason"), BAD_JSON_ROWS.values(), ids=BAD_JSON_ROWS)
def test_a_broken_json_line_is_rejected_alone(tmp_path: Path, line: bytes, reason: str) -> None:
    path = write(tmp_path / "c.jsonl", b"\n".join([GOOD, b"", line, GOOD]))
    found = read(InputFile(path, "passages", "jsonl", BY_ID, index=7, pass_through=("url",)))
    assert found["rejected"] == [{"file": 7, "line": 3, "reason": reason}]
    assert ids(found["passages"], "passage_id", "line") == [("p1", 1), ("p1", 4)]
    assert found["counts"] == [{"file": 7, "rows": 3}]


BAD_CELLS = {
    "too few": ("passages", b"p", WRONG_COLUMNS),
    "too many": ("passages", b"p\ta\tb\tc", WRONG_COLUMNS),
    "no id": ("passages", b"\ta\tb", MISSING_ID),
    "nothing at all": ("passages", b"\t\t", MISSING_ID),
    "no text": ("passages", b"p\t\t ", EMPTY_TEXT),
    "NUL in TSV": ("passages", b"p\ta\0b\t", NUL_CHARACTER),
    "Latin-1 in TSV": ("passages", b"p\tcaf\xe9\t", INVALID_UTF8),
    "surrogate in TSV": ("passages", b"p\t\xed\xa0\x80\t", INVALID_UTF8),
    "query without text": ("queries", b"q\t ", EMPTY_TEXT),
    "query without id": ("queries", b"\twhat?", MISSING_ID),
    "two qrels columns": ("tsv", b"q\tp", WRONG_COLUMNS),
    "blanks for tabs": ("tsv", b"q p 1", WRONG_COLUMNS),
    "word as grade": ("tsv", b"q\tp\tyes", BAD_GRADE),
    "empty grade": ("tsv", b"q\tp\t", BAD_GRADE),
    "NaN": ("tsv", b"q\tp\tnan", BAD_GRADE),
    "infinity": ("tsv", b"q\tp\t-inf", BAD_GRADE),
    "underscored grade": ("tsv", b"q\tp\t1_0", BAD_GRADE),
    "qrels without query": ("tsv", b"\tp\t1", MISSING_ID),
    "qrels without passage": ("tsv", b"q\t \t1", MISSING_ID),
    "NUL in qrels": ("tsv", b"q\tp\0\t1", NUL_CHARACTER),
    "Latin-1 in qrels": ("tsv", b"q\xe9\tp\t1", INVALID_UTF8),
    "three TREC columns": ("trec-qrels", b"q 0 p", WRONG_COLUMNS),
    "five TREC columns": ("trec-qrels", b"q 0 p 1 x", WRONG_COLUMNS),
    "word as TREC grade": ("trec-qrels", b"q 0 p high", BAD_GRADE),
}


@pytest.mark.parametrize(("form", "line", "reason"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_a_broken_line_of_cells_is_rejected_alone(tmp_path: Path, form: str, line: bytes, reason: str) -> None:
    path = str(tmp_path / "f.tsv")
    good, file = {
        "passages": (
            b"p1\tone\tT",
            InputFile(path, "passages", "tsv", BY_ID, names=("_id", "text", "title"), header=True),
        ),
        "queries": (
            b"q1\twhat?",
            InputFile(path, "queries", "tsv", BY_ID, names=("_id", "text"), header=True),
        ),
        "tsv": (
            b"q1\tp1\t1",
            InputFile(path, "qrels", "tsv", QREL_COLUMNS, names=QREL_NAMES, header=True),
        ),
        "trec-qrels": (
            b"q1 0 p1 1",
            InputFile(
                path,
                "qrels",
                "trec-qrels",
                Columns(id="q", passage_id="p", grade="g"),
                names=("q", "i", "p", "g"),
                header=True,
            ),
        ),
    }[form]
    write(Path(path), b"\n".join([b"a header, skipped", good, line, b"", good]))
    found = read(file)
    assert found["rejected"] == [{"file": 0, "line": 3, "reason": reason}]
    assert ids(found[file.kind], "line") == [2, 5]
    assert found["counts"][0]["rows"] == 3


BAD_PAIRS = {
    "one positive of two empty": ('{"query_id": "q", "anchor": "a", "positive": ["x", " "]}', EMPTY_TEXT),
    "number among positives": (
        '{"query_id": "q", "anchor": "a", "positive": ["x", 1]}',
        f"{WRONG_TYPE} positive",
    ),
    "no anchor": ('{"query_id": "q", "positive": "x"}', EMPTY_TEXT),
    "no query id": ('{"anchor": "a", "positive": "x"}', MISSING_ID),
}


@pytest.mark.parametrize(("line", "reason"), BAD_PAIRS.values(), ids=BAD_PAIRS)
def test_a_broken_pair_gives_neither_query_nor_passage(tmp_path: Path, line: str, reason: str) -> None:
    good = '{"query_id": "q", "anchor": "a", "positive": "x"}\n'
    [file] = plan_inputs(InputOptions(pairs=write(tmp_path / "p.jsonl", good + line)))
    found = read(file)
    assert found["rejected"] == [{"file": 0, "line": 2, "reason": reason}]
    assert [len(found[kind]) for kind in ("queries", "passages", "qrels")] == [1, 1, 1]


def test_invalid_utf8_in_parquet_is_rejected_by_row(tmp_path: Path) -> None:
    bad = pa.array([b"a", b"\xff", b"c", b"d"]).view(pa.string())
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3, 4]), bad)
    ids_ = ["p1", "p2", None, "p4"]
    path = write_parquet(tmp_path / "c.parquet", {"_id": ids_, "text": bad, "more": lists})
    found = read(InputFile(path, "passages", "parquet", BY_ID))
    assert ids(found["rejected"], "line", "reason") == [(2, INVALID_UTF8), (3, MISSING_ID)]
    assert ids(found["passages"], "passage_id", "text", "line") == [("p1", "a", 1), ("p4", "d", 4)]
    path = write_parquet(tmp_path / "p.parquet", {"anchor": ["a", "b", "c", "d"], "positive": lists})
    found = read(InputFile(path, "pairs", "parquet", Columns(text="anchor", positive="positive")))
    assert ids(found["rejected"], "line", "reason") == [(2, INVALID_UTF8)]


def test_wrong_types_in_parquet(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "c.parquet", {"_id": [1.5], "text": ["a"]})
    assert ids(read(InputFile(path, "passages", "parquet", BY_ID))["rejected"], "reason") == [f"{WRONG_TYPE} _id"]


def test_two_megabytes_are_no_line_too_long(tmp_path: Path) -> None:
    def line(name: str, length: int) -> str:
        return json.dumps({"_id": name, "text": "x" * length}) + "\n"

    path = write(tmp_path / "c.jsonl", line("a", 2_000_000) + line("b", 5_000_000) + line("c", 3))
    file = InputFile(path, "passages", "jsonl", BY_ID)
    assert [len(row["text"]) for row in read(file)["passages"]] == [2_000_000, 5_000_000, 3]
    assert [(number, line is None) for number, line in lines(path, longest=3_000_000)] == [
        (1, False),
        (2, True),
        (3, False),
    ]


@pytest.mark.parametrize("form", ["jsonl", "tsv", "trec-qrels"])
def test_a_line_too_long_is_rejected(tmp_path: Path, form: str) -> None:
    """A sparse file: a line of more than 64 MiB takes no room on the disk."""
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(MAX_LINE_BYTES + 1)
        file.seek(0, 2)
        file.write(b"\n")
    [(number, reason)] = ROW_FORMATS[form].rows(str(path), Head(form, ("text",)), ("text",))
    assert (number, reason) == (1, LINE_TOO_LONG)

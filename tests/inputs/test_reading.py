"""Reading: every way in which a row can be broken, lines and chunks, properties, real collections."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from input_cases import (
    BY_ID,
    CORPUS,
    QREL_COLUMNS,
    QREL_NAMES,
    ids,
    read,
    read_all,
    separate,
    write,
    write_parquet,
)
from profiles import examples

from hardneg.errors import HardnegError
from hardneg.transforms.core.text import passage_string
from hardneg.transforms.inputs.files import MAX_LINE_BYTES, lines
from hardneg.transforms.inputs.formats.parquet import batch_rows
from hardneg.transforms.inputs.formats.registry import ROW_FORMATS, place
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
from hardneg.transforms.inputs.rows import read_rows

DATA = Path(__file__).parents[3] / "shared" / "data"

# ---------------- rejected rows

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


# ---------------- lines, chunks, places


@pytest.mark.parametrize("block", [1, 3, 1 << 20])
def test_lines_do_not_depend_on_blocks(tmp_path: Path, block: int) -> None:
    content = "\ufeffa\u2028b\r\n\n\ufeffc\rd\r\n last"
    path = write(tmp_path / "lines", content)
    found = [(1, "a\u2028b"), (2, ""), (3, "\ufeffc\rd"), (4, " last")]
    assert [(number, (line or b"").decode()) for number, line in lines(path, block)] == found


def test_lines_end_at_newlines_alone(tmp_path: Path) -> None:
    texts = ["a\u2028b", "a\x0bb\x0cc\x1cd", "a\u0085b", "a\rb", "\ufeffa"]
    content = "\ufeff_id\ttext\r\n" + "".join(f"{n}\t{text}\r\n" for n, text in enumerate(texts)) + "\n \nlast\tline"
    [_, queries, _] = plan_inputs(separate(tmp_path, queries=write(tmp_path / "q.tsv", content)))
    found = read(queries)
    assert ids(found["queries"], "text") == [*texts, "line"]
    assert ids(found["queries"], "line") == [2, 3, 4, 5, 6, 9]
    assert found["counts"] == [{"file": 1, "rows": 6}]


def test_a_byte_order_mark_and_crlf_in_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", "\ufeff" + CORPUS.replace("\n", "\r\n"))
    [corpus, *_] = plan_inputs(separate(tmp_path, corpus=path))
    assert ids(read(corpus)["passages"], "passage_id", "text") == [("p1", "T one"), ("p2", "two")]


def test_chunks_are_bounded_by_rows_and_by_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", "".join(f'{{"_id": {n}, "text": "abcd"}}\n' for n in range(10)))
    file = InputFile(path, "passages", "jsonl", BY_ID)
    assert [c.table.num_rows for c in read_rows(file, 4)] == [4, 4, 2, 1]
    assert [c.table.num_rows for c in read_rows(file, chunk_characters=10)] == [2, 2, 2, 2, 2, 1]
    table = pa.table({"_id": [str(n) for n in range(10)], "text": [f"{n}" * 100_000 for n in range(10)]})
    pq.write_table(table, tmp_path / "c.parquet", compression="none")
    assert batch_rows(pq.read_metadata(tmp_path / "c.parquet"), batch_bytes=250_000) == 2
    file = InputFile(str(tmp_path / "c.parquet"), "passages", "parquet", BY_ID)
    assert ids(read(file)["passages"], "line") == list(range(1, 11))


def test_files_can_be_pickled_and_rows_be_shown() -> None:
    file = InputFile("a/b.jsonl", "passages", "jsonl", BY_ID, pass_through=("url",))
    assert pickle.loads(pickle.dumps(file)) == file  # noqa: S301
    assert place(file, 3) == "a/b.jsonl:3"
    assert place(InputFile("b.parquet", "pairs", "parquet", BY_ID), 3) == "b.parquet:row 3"


# ---------------- properties

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
FILLED = TEXT.filter(str.strip)
ROWS = st.lists(st.tuples(FILLED, TEXT, FILLED), max_size=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties")


def expected_rows(rows: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    return [(i, passage_string(title if title.strip() else "", text)) for i, title, text in rows]


@examples(60)
@given(rows=ROWS, ascii_only=st.booleans(), chunk_rows=st.integers(1, 7))
def test_json_lines_read_back_equal(
    folder: Path, rows: list[tuple[str, str, str]], ascii_only: bool, chunk_rows: int
) -> None:
    named = [dict(zip(("_id", "title", "text"), row, strict=True)) for row in rows]
    path = write(folder / "c.jsonl", "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in named))
    found = read(InputFile(path, "passages", "jsonl", BY_ID), chunk_rows)
    assert ids(found["passages"], "passage_id", "text") == expected_rows(rows)
    assert not found["rejected"]


@examples(60)
@given(rows=ROWS, chunk_rows=st.integers(1, 7), group=st.integers(1, 9))
def test_parquet_reads_back_equal(folder: Path, rows: list[tuple[str, str, str]], chunk_rows: int, group: int) -> None:
    table = pa.table(
        {name: pa.array([row[n] for row in rows], pa.string()) for n, name in enumerate(("_id", "title", "text"))}
    )
    pq.write_table(table, folder / "c.parquet", row_group_size=group)
    found = read(InputFile(str(folder / "c.parquet"), "passages", "parquet", BY_ID), chunk_rows)
    assert ids(found["passages"], "passage_id", "text", "line") == [
        (*row, line) for line, row in enumerate(expected_rows(rows), 1)
    ]
    assert not found["rejected"]


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\n\r"), max_size=30)


@examples(60)
@given(rows=st.lists(st.tuples(CELL.filter(str.strip), CELL, CELL.filter(str.strip)), max_size=30))
def test_tab_separated_values_read_back_equal(folder: Path, rows: list[tuple[str, str, str]]) -> None:
    path = write(folder / "c.tsv", "_id\ttitle\ttext\n" + "".join("\t".join(row) + "\n" for row in rows))
    [corpus, *_] = plan_inputs(separate(folder, corpus=path))
    found = read(corpus)
    assert ids(found["passages"], "passage_id", "text") == expected_rows(rows)
    assert not found["rejected"]


@examples(200)
@given(
    data=st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                b"\n",
                b'{"_id":',
                b'"a"',
                b"}",
                b"\t",
                b"\xed\xa0",
                b"1",
                b" ",
                b',"text":',
                b"\\ud800",
                b"[",
                b"\r",
                b"\xef\xbb\xbf",
            ]
        )
    ).map(b"".join)
)
@example(data=b'\xef\xbb\xbf{"_id":"a","text":"b"}\n\xef\xbb\xbf{}')
def test_arbitrary_bytes_are_rows_or_rejected_rows(folder: Path, data: bytes) -> None:
    path = write(folder / "any", data)
    lines = [line for line in data.split(b"\n") if line.removeprefix(b"\xef\xbb\xbf").strip()]
    for file in (
        InputFile(path, "passages", "jsonl", BY_ID),
        InputFile(path, "pairs", "jsonl", Columns(text="text", positive="_id")),
        InputFile(path, "queries", "tsv", BY_ID, names=("_id", "text")),
        InputFile(path, "qrels", "tsv", QREL_COLUMNS, names=QREL_NAMES),
        InputFile(path, "qrels", "trec-qrels", QREL_COLUMNS, names=("query-id", "i", "corpus-id", "score")),
    ):
        found = read(file, 3)
        whole = found["queries" if file.kind == "pairs" else file.kind]
        assert len(whole) + len(found["rejected"]) == found["counts"][0]["rows"]
        if file.format == "jsonl":
            assert found["counts"][0]["rows"] <= len(lines) + 1


@examples(100)
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_under_any_name_raise_nothing_else(folder: Path, data: bytes) -> None:
    for name in ("x.jsonl", "x.tsv", "x.parquet", "x.jsonl.gz", "x.tsv.bz2", "x.jsonl.zst", "x.jsonl.xz"):
        (folder / name).write_bytes(data)
        for change in ({"corpus": str(folder / name)}, {"qrels": str(folder / name)}):
            with contextlib.suppress(HardnegError):
                read_all(plan_inputs(separate(folder, **change)))


# ---------------- real data


@pytest.mark.parametrize(
    ("name", "split", "counts", "rejected"),
    [
        ("squad11", "train", {"passages": 2067, "queries": 10_570, "qrels": 8508}, {}),
        # Two questions of CMRC are empty; nothing else in it is.
        ("cmrc2018", "dev", {"passages": 3977, "queries": 16_361, "qrels": 3219}, {EMPTY_TEXT: 2}),
    ],
)
def test_real_collections(name: str, split: str, counts: dict[str, int], rejected: dict[str, int]) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"{DATA / name} is not on this machine")
    files = plan_inputs(InputOptions(input=str(DATA / name), split=split))
    found = read_all(files)
    assert {kind: len(found[kind]) for kind in counts} == counts
    assert Counter(ids(found["rejected"], "reason")) == rejected
    first = json.loads((DATA / name / "corpus.jsonl").read_bytes().split(b"\n")[0])
    assert found["passages"][0]["text"] == f"{first['title']} {first['text']}"

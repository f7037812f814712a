"""Whatever rows are written are read back equal, and whatever bytes are given are rows or rejected rows."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from input_cases import (
    BY_ID,
    QREL_COLUMNS,
    QREL_NAMES,
    ids,
    read,
    read_all,
    separate,
    write,
)
from profiles import examples

from hardneg.errors import HardnegError
from hardneg.transforms.core.text import passage_string
from hardneg.transforms.inputs.input_files import (
    Columns,
    InputFile,
)
from hardneg.transforms.inputs.planning import plan_inputs

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


@examples(100, few=10)
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_under_any_name_raise_nothing_else(folder: Path, data: bytes) -> None:
    for name in ("x.jsonl", "x.tsv", "x.parquet", "x.jsonl.gz", "x.tsv.bz2", "x.jsonl.zst", "x.jsonl.xz"):
        (folder / name).write_bytes(data)
        for change in ({"corpus": str(folder / name)}, {"qrels": str(folder / name)}):
            with contextlib.suppress(HardnegError):
                read_all(plan_inputs(separate(folder, **change)))

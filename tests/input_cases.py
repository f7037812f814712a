"""Small input files, and what reading them gives: shared by the tests of planning and of reading."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from hardneg.errors import HardnegError
from hardneg.transforms.core.schemas import QRELS, QUERIES, READ_COUNTS, REJECTED
from hardneg.transforms.inputs.input_files import (
    REASONS,
    Columns,
    InputFile,
)
from hardneg.transforms.inputs.options import InputOptions
from hardneg.transforms.inputs.planning import plan_inputs
from hardneg.transforms.inputs.rows import passage_schema, read_rows

CORPUS = '{"_id": "p1", "title": "T", "text": "one"}\n{"_id": "p2", "text": "two"}\n'
QUERY_LINES = '{"_id": "q1", "text": "what?"}\n'
BEIR_QRELS = "query-id\tcorpus-id\tscore\nq1\tp1\t1\n"

BY_ID = Columns(id="_id", text="text", title="title")
QREL_NAMES = ("query-id", "corpus-id", "score")
QREL_COLUMNS = Columns(id="query-id", passage_id="corpus-id", grade="score")


def write(path: Path, content: str | bytes) -> str:
    """Write a file, compressed as its name says."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    compress = {
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": zstandard.ZstdCompressor().compress,
    }.get(path.suffix, bytes)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compress(data))
    return str(path)


def write_parquet(path: Path, columns: dict[str, Any]) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def read(file: InputFile, chunk_rows: int = 4096) -> dict[str, list[dict[str, Any]]]:
    """Read a file into rows per kind, and check what holds of every chunk."""
    schemas = {
        "passages": passage_schema(file.pass_through),
        "queries": QUERIES,
        "qrels": QRELS,
        "rejected": REJECTED,
        "counts": READ_COUNTS,
    }
    chunks = list(read_rows(file, chunk_rows))
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in schemas}
    for kind, table in chunks:
        assert table.schema.equals(schemas[kind])
        assert kind == "counts" or 0 < table.num_rows <= chunk_rows
        table.validate(full=True)
        found[kind] += table.to_pylist()
    assert [chunk.kind for chunk in chunks].index("counts") == len(chunks) - 1
    assert {row["file"] for rows in found.values() for row in rows} == {file.index}
    assert all(any(row["reason"].startswith(known) for known in REASONS) for row in found["rejected"])
    return found


def read_all(files: list[InputFile]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        for kind, rows in read(file).items():
            found.setdefault(kind, []).extend(rows)
    return found


def ids(rows: list[dict[str, Any]], *columns: str) -> list[Any]:
    return [tuple(row[c] for c in columns) if len(columns) > 1 else row[columns[0]] for row in rows]


def separate(folder: Path, **changed: Any) -> InputOptions:
    """Return options for three small, good files, some of them exchanged."""
    given = {
        "corpus": lambda: write(folder / "c.jsonl", CORPUS),
        "queries": lambda: write(folder / "q.jsonl", QUERY_LINES),
        "qrels": lambda: write(folder / "r.tsv", BEIR_QRELS),
    }
    return InputOptions(**{**{name: make() for name, make in given.items() if name not in changed}, **changed})


def message(options: InputOptions, pass_through: Sequence[str] = ()) -> str:
    """Return what planning says is wrong, with parameters as the command line writes them."""
    with pytest.raises(HardnegError) as caught:
        plan_inputs(options, pass_through)
    return caught.value.told(lambda name: "--" + name.replace("_", "-"))

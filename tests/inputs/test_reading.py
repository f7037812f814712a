"""Reading: lines, chunks and places; real collections."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from input_cases import (
    BY_ID,
    CORPUS,
    ids,
    read,
    read_all,
    separate,
    write,
)

from hardneg.transforms.inputs.files import lines
from hardneg.transforms.inputs.formats.parquet import batch_rows
from hardneg.transforms.inputs.formats.registry import place
from hardneg.transforms.inputs.input_files import (
    EMPTY_TEXT,
    InputFile,
)
from hardneg.transforms.inputs.options import InputOptions
from hardneg.transforms.inputs.planning import plan_inputs
from hardneg.transforms.inputs.rows import read_rows

DATA = Path(__file__).parents[3] / "shared" / "data"


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

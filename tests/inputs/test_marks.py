"""What a person marked, in every form that it may come in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from finished_run import candidate, write_run

from hardneg.errors import InputError
from hardneg.pipelines.runs.marked import read_all_marks
from hardneg.transforms.inputs.marks import (
    NOTHING_MARKED,
    MarkedPair,
    marks_of,
    read_marked_pairs,
    write_marked_pairs,
)
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.reports.marking import draw_pairs, sheet_of

ROWS = [("q1", "p1", "y"), ("q1", "p2", "n"), ("q2", "p1", "")]
PAIRS = [MarkedPair("q1", "p1", True), MarkedPair("q1", "p2", False)]


def write(path: Path) -> None:
    columns = ("query_id", "passage_id", "relevant")
    if path.suffix == ".parquet":
        pq.write_table(pa.table({name: [row[place] for row in ROWS] for place, name in enumerate(columns)}), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in ROWS))
    else:
        delimiter = "\t" if path.suffix == ".tsv" else ","
        path.write_text("".join(delimiter.join(row) + "\n" for row in (columns, *ROWS)))


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv", "tsv"])
def test_pairs_of_ids_are_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"marks.{suffix}"
    write(path)
    assert read_marked_pairs(str(path)) == PAIRS


def test_the_same_pairs_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = str(tmp_path / "1.jsonl"), str(tmp_path / "2.jsonl")
    write_marked_pairs(first, PAIRS)
    write_marked_pairs(second, [*reversed(PAIRS), PAIRS[0]])
    assert Path(first).read_bytes() == Path(second).read_bytes()
    assert read_marked_pairs(first) == PAIRS


def test_marks_are_found_among_candidates() -> None:
    queries = pa.table({"query_id": ["q1", "q2"]})
    candidates = pa.table({"passage_id": ["p1", "p2", "p1", "p2"]})
    query = np.array([0, 0, 1, 1])
    relevant, not_relevant = marks_of([*PAIRS, MarkedPair("q1", "p1", False)]).find(queries, candidates, query)
    assert relevant.tolist() == [True, False, False, False], "marked both ways, it is relevant"
    assert not_relevant.tolist() == [False, True, False, False]
    assert not np.concatenate(NOTHING_MARKED.find(queries, candidates, query)).any()


def test_a_sheet_is_read_beside_the_run_that_it_was_drawn_from(tmp_path: Path) -> None:
    rows = [candidate("q1", "p0", "positive", logit=1.0)]
    rows += [candidate("q1", f"p{n}", "negative", logit=-1.0, selected=n) for n in (1, 2)]
    texts = {f"p{n}": f"text {n}" for n in range(3)}
    folder = str(write_run(tmp_path / "run", {"q1": "question"}, texts, rows))
    drawn = draw_pairs(FinishedRun.open(folder).tables("candidates"), 2, 0)
    lines = sheet_of(drawn, {"q1": "question"}, texts, "\t").splitlines()
    sheet = tmp_path / "sheet.tsv"
    sheet.write_text("\n".join([lines[0], lines[1][:-2] + '"y"', lines[2][:-2] + '"n"']))
    marked = read_all_marks([str(sheet)], [folder])
    assert sorted(marked) == sorted(
        [MarkedPair("q1", drawn[0].passage_id, True), MarkedPair("q1", drawn[1].passage_id, False)]
    )
    with pytest.raises(InputError, match=r"sheet\.tsv: pair p\w+ names pairs by the run it is of: give a file with"):
        read_all_marks([str(sheet)], [])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.csv", "query_id,passage_id,relevant\nq,p,perhaps\n", r"row 1 is no marked pair \('perhaps'\)"),
        ("m.csv", "query_id,relevant\nq,y\n", "row 1 has no passage_id"),
        ("m.jsonl", "{", r"m\.jsonl can't be read"),
        ("m.txt", "q p y", r"it must be a \.parquet, \.jsonl, \.csv or \.tsv file"),
    ],
)
def test_files_that_are_no_marks_are_named(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        read_marked_pairs(str(tmp_path / name))

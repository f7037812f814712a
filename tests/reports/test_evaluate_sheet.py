"""The sheet of an evaluation: its draw, the marks of a person, what it certifies, hostile cells."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from evaluate_cases import random_rows, write_random
from finished_run import candidate, write_run
from scipy.stats import beta

from hardneg.errors import HardnegError
from hardneg.pipelines.cli import run as command
from hardneg.pipelines.commands.evaluate import evaluate
from hardneg.pipelines.options.finished import EvaluateOptions
from hardneg.transforms.reports.marking import safe_cell


def read_sheet(path: Path, delimiter: str = "\t") -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), delimiter=delimiter))


def mark(path: Path, marks: list[str], to: Path, delimiter: str = "\t", encoding: str = "utf-8-sig") -> Path:
    """Fill in the last column of a sheet's rows, and save it as a spreadsheet might."""
    header, *rows = read_sheet(path)
    for row, each in zip(rows, marks, strict=True):
        row[-1] = each
    sink = io.StringIO()
    csv.writer(sink, delimiter=delimiter).writerows([header, *rows])
    to.write_bytes(sink.getvalue().encode(encoding))
    return to


@pytest.fixture
def run_and_sheet(tmp_path: Path) -> tuple[Path, Path]:
    rows, _ = random_rows()
    run = write_random(tmp_path / "run", rows, shards=3)
    sheet = tmp_path / "sheet.tsv"
    assert evaluate(str(run), EvaluateOptions(draw=30, sheet=str(sheet))).drawn == 30
    return run, sheet


def test_a_sheet_is_a_reproducible_sample(run_and_sheet: tuple[Path, Path], tmp_path: Path) -> None:
    run, sheet = run_and_sheet
    header, *rows = read_sheet(sheet)
    assert header == ["pair", "query", "positive", "negative", "relevant (y/n)"]
    texts = {
        (row["anchor"], row["positive"], row["negative"])
        for path in (run / "triplets").iterdir()
        for row in pq.read_table(path).to_pylist()
    }
    assert len(rows) == 30
    assert {tuple(row[1:4]) for row in rows} <= texts
    again = tmp_path / "again.csv"
    evaluate(str(run), EvaluateOptions(draw=1000, sheet=str(again)))
    everything = read_sheet(again, ",")[1:]
    assert everything[:30] == rows
    assert len(everything) == sum(row["selected"] is not None for row in random_rows()[0])
    other = tmp_path / "other.tsv"
    evaluate(str(run), EvaluateOptions(draw=30, sheet=str(other), seed=1))
    assert {row[0] for row in read_sheet(other)[1:]} != {row[0] for row in rows}


@pytest.mark.parametrize(("delimiter", "encoding"), [("\t", "utf-8-sig"), (";", "utf-8"), (",", "utf-16")])
def test_a_marked_sheet_certifies(
    delimiter: str, encoding: str, run_and_sheet: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, sheet = run_and_sheet
    marks = ["n", "Y", "no", "yes", *["n"] * 20, *[""] * 6]
    marked = mark(sheet, marks, tmp_path / "marked.csv", delimiter, encoding)
    found = evaluate(str(run), EvaluateOptions(marked=str(marked)))
    assert found.certificate is not None
    assert (found.certificate.status, found.certificate.marked, found.certificate.relevant) == ("certified", 24, 2)
    assert found.certificate.upper_bound == pytest.approx(beta.ppf(0.95, 3, 22))
    rows = read_sheet(sheet)[1:]
    assert [pair["passage"] for pair in found.relevant_pairs] == [rows[1][3], rows[3][3]]
    assert command(["evaluate", str(run), "--marked", str(marked)]) == 0
    said = capsys.readouterr().out
    assert "certified" in said
    assert "yield" in said
    assert said.count("hardness") == 3
    assert found.to_json()["certificate"]["pairs"] == found.relevant_pairs


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        (["n", "maybe", *["n"] * 28], "the mark of pair p.* is 'maybe': write y or n"),
        (["n", "", *["n"] * 28], "has no mark, but later ones have"),
        ([""] * 30, "has no mark: write y or n"),
    ],
)
def test_marks_that_certify_nothing(
    marks: list[str], message: str, run_and_sheet: tuple[Path, Path], tmp_path: Path
) -> None:
    run, sheet = run_and_sheet
    with pytest.raises(HardnegError, match=message):
        evaluate(str(run), EvaluateOptions(marked=str(mark(sheet, marks, tmp_path / "marked.tsv"))))


def test_sheets_that_are_not_whole_or_not_of_this_run(run_and_sheet: tuple[Path, Path], tmp_path: Path) -> None:
    run, sheet = run_and_sheet
    marked = mark(sheet, ["n"] * 30, tmp_path / "marked.tsv")
    with pytest.raises(HardnegError, match="not what was drawn from this run"):
        evaluate(str(run), EvaluateOptions(marked=str(marked), seed=1))
    lines = marked.read_bytes().splitlines(keepends=True)
    marked.write_bytes(b"".join(lines[:5] + lines[6:]))
    with pytest.raises(HardnegError, match="with all its rows"):
        evaluate(str(run), EvaluateOptions(marked=str(marked)))
    marked.write_bytes(b"".join([*lines, lines[-1]]))
    with pytest.raises(HardnegError, match="stands twice"):
        evaluate(str(run), EvaluateOptions(marked=str(marked)))
    marked.write_bytes(b"a\tb\n")
    with pytest.raises(HardnegError, match="no sheet of"):
        evaluate(str(run), EvaluateOptions(marked=str(marked)))
    with pytest.raises(HardnegError, match="exists, and may hold marks"):
        evaluate(str(run), EvaluateOptions(draw=3, sheet=str(sheet)))


HOSTILE = [
    '=HYPERLINK("http://x","y")', "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", " \r\n=1", "\u200e=1", "＝1",
    "\x00=1",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_is_a_formula(text: str, tmp_path: Path) -> None:
    assert safe_cell(text).startswith("'")
    queries, passages = {"=q": text}, {"+p": text + " negative", "-g": "a\nb\tc;d,e\u2028f"}
    rows = [
        candidate("=q", "-g", "positive", logit=1.0, fused_rank=1),
        candidate("=q", "+p", "negative", logit=-9.0, fused_rank=2, selected=1),
    ]
    run = write_run(tmp_path / "run", queries, passages, rows)
    sheet = tmp_path / "sheet.csv"
    evaluate(str(run), EvaluateOptions(draw=5, sheet=str(sheet)))
    [_, row] = read_sheet(sheet, ",")
    assert row[2] == "a b c;d,e f"
    assert not any(cell[:1] in tuple("=+-@\t\r\n") for cell in row if cell)
    assert sheet.read_text(encoding="utf-8-sig").count("\n") == 2
    header, line = sheet.read_text(encoding="utf-8-sig").splitlines()
    marked = tmp_path / "marked.csv"
    marked.write_text(f'{header}\n{line[:-2]}"y"\n', encoding="utf-8")
    found = evaluate(str(run), EvaluateOptions(marked=str(marked)))
    assert [(pair["query_id"], pair["passage_id"]) for pair in found.relevant_pairs] == [("=q", "+p")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Nothing to do"),
        ({"draw": 5}, "belong together"),
        ({"draw": 5, "sheet": "sheet.xlsx"}, "a .tsv or a .csv"),
        ({"judgements": ["nowhere.tsv"]}, "judgements nowhere.tsv matches no file"),
        ({"marked": "nowhere.tsv"}, "nowhere.tsv does not exist"),
    ],
)
def test_mistakes_are_explained(options: dict[str, Any], message: str, run_and_sheet: tuple[Path, Path]) -> None:
    with pytest.raises(HardnegError, match=message):
        evaluate(str(run_and_sheet[0]), EvaluateOptions(**options))

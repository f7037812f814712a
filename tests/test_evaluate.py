"""Evaluation of a run: figures against brute force, intervals, promises, the sheet and what it certifies."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from finished_run import candidate, write_run
from scipy.stats import beta

from hardneg.errors import HardnegError
from hardneg.pipelines.cli import run as command
from hardneg.pipelines.evaluate import Evaluation, evaluate
from hardneg.pipelines.options import EvaluateOptions
from hardneg.transforms.evaluation import RESAMPLES, SEED
from hardneg.transforms.keys import id_key
from hardneg.transforms.marking import safe_cell

Rows = list[dict[str, Any]]
NEGATIVES = 3


def random_rows(queries: int = 40, seed: int = 7) -> tuple[Rows, set[tuple[str, str]]]:
    """Return candidates of made-up queries, and the pairs that are relevant and that the miner did not know."""
    generator = np.random.default_rng(seed)
    rows: Rows = []
    hidden: set[tuple[str, str]] = set()
    for number in range(queries):
        query = f"q{number}"
        found = 0
        for place in range(int(generator.integers(1, 12)) if number != 3 else 0):
            passage = f"p{number}-{place}"
            logit: float | None = float(np.float32(generator.normal(-2, 3)))
            kind = "positive" if place == 0 else "dropped" if place == 1 else "scored"
            if place > 8:
                kind, logit = "unscored", None
            columns: dict[str, Any] = {"logit": logit, "fused_rank": place + 1}
            columns["similarity_dense"] = float(np.float32(generator.uniform()))
            columns["similarity_second"] = float(np.float32(generator.uniform()))
            if kind == "scored":
                kind = "negative" if logit is not None and logit < -1 else "suspected_positive"
                found += kind == "negative"
                if kind == "negative" and found <= NEGATIVES:
                    columns["selected"] = found
            if kind == "dropped":
                columns |= {"logit": None, "reason": "equal_to_positive"}
            if place == 0:
                columns["grade"] = 1.0
                if number % 5 == 0:
                    columns["fused_rank"] = None
            rows.append(candidate(query, passage, kind, **columns))
            if generator.uniform() < 0.3:
                hidden.add((query, passage))
        hidden.add((query, f"never met {number}"))
    return rows, hidden


def write_random(folder: Path, rows: Rows, queries: int = 40, **options: Any) -> Path:
    texts = {f"q{number}": f"question {number}" for number in range(queries)}
    passages = {row["passage_id"]: f"text of {row['passage_id']}" for row in rows}
    return write_run(folder, texts, passages, rows, NEGATIVES, **options)


def write_qrels(path: Path, pairs: Any, grade: int = 1) -> Path:
    path.write_text("".join(f"{query}\t{passage}\t{grade}\n" for query, passage in sorted(pairs)), encoding="utf-8")
    return path


def figures_of(evaluation: Evaluation) -> dict[str, Any]:
    return {figure.name: figure for figure in evaluation.figures}


def brute_force(rows: Rows, hidden: set[tuple[str, str]], queries: list[str]) -> dict[str, float]:
    """Return the figures, one pair at a time; a query may stand in the list several times."""
    sums = dict.fromkeys(("mined", "bad", "all", "scored", "leaked", "rank", "similarity", "gap"), 0.0)
    by_query: dict[str, Rows] = {query: [] for query in queries}
    for row in rows:
        by_query.get(row["query_id"], []).append(row)
    for query in queries:
        own = by_query[query]
        known = {row["passage_id"] for row in own if row["verdict"] in ("positive", "dropped")}
        lowest = min((row["logit"] for row in own if row["verdict"] == "positive"), default=math.nan)
        sums["all"] += len({passage for owner, passage in hidden if owner == query} - known)
        for row in own:
            relevant = (query, row["passage_id"]) in hidden
            if row["selected"]:
                sums["mined"] += 1
                sums["bad"] += relevant
                sums["rank"] += row["fused_rank"]
                sums["similarity"] += row["similarity_dense"]
                sums["gap"] += lowest - row["logit"]
            if relevant and row["passage_id"] not in known and row["judge_score"] is not None:
                sums["scored"] += 1
                sums["leaked"] += row["verdict"] == "negative"
    sums["asked"] = len(queries) * NEGATIVES
    ratios = {
        "false_negative_rate": ("bad", "mined"),
        "leak_rate": ("leaked", "scored"),
        "leak_rate_over_all": ("leaked", "all"),
        "yield": ("mined", "asked"),
        "fused_rank": ("rank", "mined"),
        "similarity": ("similarity", "mined"),
        "logit_gap": ("gap", "mined"),
    }
    return {name: sums[a] / sums[b] if sums[b] else math.nan for name, (a, b) in ratios.items()}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_figures_and_intervals_agree_with_brute_force(seed: int, tmp_path: Path) -> None:
    rows, hidden = random_rows(14, seed)
    run = write_random(tmp_path / "run", rows, 14, shards=3)
    judged = EvaluateOptions(judgements=[str(write_qrels(tmp_path / "hidden.tsv", hidden))])
    found = evaluate(str(run), judged)
    queries = sorted((f"q{number}" for number in range(14)), key=id_key)
    assert {row["query_id"] for row in rows} < set(queries)  # a query without candidates counts, too
    values = figures_of(found)
    expected = brute_force(rows, hidden, queries)
    assert {name: figure.value for name, figure in values.items()} == pytest.approx(expected)
    draws = np.random.default_rng(SEED).integers(len(queries), size=(RESAMPLES, len(queries)))
    resampled = [brute_force(rows, hidden, [queries[query] for query in draw]) for draw in draws.tolist()]
    for name, figure in values.items():
        assert figure.interval == "bootstrap"
        ends = np.nanpercentile([each[name] for each in resampled], [2.5, 97.5])
        assert (figure.low, figure.high) == pytest.approx(tuple(ends))
    assert found.judged_figures == []
    assert evaluate(str(run), judged) == found


def test_the_order_and_number_of_shards_do_not_matter(tmp_path: Path) -> None:
    rows, hidden = random_rows()
    qrels = str(write_qrels(tmp_path / "hidden.tsv", hidden))
    one = evaluate(str(write_random(tmp_path / "one", rows, shards=1)), EvaluateOptions(judgements=[qrels]))
    many = evaluate(str(write_random(tmp_path / "many", rows, shards=7)), EvaluateOptions(judgements=[qrels]))
    assert one.counts == many.counts
    for first, second in zip(one.figures, many.figures, strict=True):
        assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high))


def test_judged_queries_stand_apart(tmp_path: Path) -> None:
    rows, hidden = random_rows()
    hidden = {pair for pair in hidden if int(pair[0][1:]) < 25}
    run = write_random(tmp_path / "run", rows)
    found = evaluate(str(run), EvaluateOptions(judgements=[str(write_qrels(tmp_path / "hidden.tsv", hidden))]))
    assert (found.queries, found.judged_queries) == (40, 25)
    expected = brute_force(rows, hidden, [f"q{number}" for number in range(25)])
    assert {figure.name: figure.value for figure in found.judged_figures} == pytest.approx(expected)
    assert "15 of 40 queries have no judgement" in found.notes[0]


def test_grades_and_trec_judgements(tmp_path: Path) -> None:
    rows, hidden = random_rows()
    run = str(write_random(tmp_path / "run", rows))
    plain = evaluate(run, EvaluateOptions(judgements=[str(write_qrels(tmp_path / "hidden.tsv", hidden))]))
    trec = tmp_path / "hidden.txt"
    lines = [f"{query} 0 {passage.replace(' ', '_')} 2\n" for query, passage in sorted(hidden)]
    others = [(row["query_id"], row["passage_id"]) for row in rows]
    lines += [f"{query} 0 {passage} 0\n" for query, passage in others if (query, passage) not in hidden]
    trec.write_text("".join(lines), encoding="utf-8")
    graded = evaluate(run, EvaluateOptions(judgements=[str(trec)], min_relevance=2))
    assert graded.figures == plain.figures
    strict = evaluate(run, EvaluateOptions(judgements=[str(trec)], min_relevance=3))
    assert figures_of(strict)["false_negative_rate"].value == 0


def test_where_nothing_was_seen_the_interval_is_binomial(tmp_path: Path) -> None:
    rows, _ = random_rows()
    run = str(write_random(tmp_path / "run", rows))
    judged = write_qrels(tmp_path / "hidden.tsv", {("q1", "nowhere")})
    found = evaluate(run, EvaluateOptions(judgements=[str(judged)]))
    rate = figures_of(found)["false_negative_rate"]
    assert (rate.value, rate.low, rate.interval) == (0, 0, "clopper-pearson")
    assert rate.high == pytest.approx(beta.ppf(0.975, 1, rate.n))
    assert figures_of(found)["leak_rate"].value is None
    assert any("None of the relevant is among the candidates" in note for note in found.notes)


def test_equal_texts_are_as_relevant(tmp_path: Path) -> None:
    """The judged passage was dropped as the duplicate of the mined one; a query of equal text is judged."""
    queries = {"q1": "where?", "q2": "WHERE?"}
    passages = {"a": "gold", "b": "The  same", "c": "the same", "d": "Other", "e": "gold 2"}
    rows = [
        candidate("q1", "a", "positive", logit=3.0, fused_rank=1),
        candidate("q1", "b", "negative", logit=-5.0, fused_rank=2, selected=1),
        candidate("q1", "c", "dropped", reason="duplicate", fused_rank=3),
        candidate("q1", "d", "negative", logit=-5.0, fused_rank=4, selected=2),
        candidate("q2", "e", "positive", logit=3.0, fused_rank=1),
        candidate("q2", "b", "suspected_positive", logit=5.0, fused_rank=2),
    ]
    run = write_run(tmp_path / "run", queries, passages, rows)
    found = evaluate(str(run), EvaluateOptions(judgements=[str(write_qrels(tmp_path / "hidden.tsv", {("q1", "c")}))]))
    counts = {"mined": 2, "mined_relevant": 1, "mined_relevant_by_text": 1, "scored": 2, "leaked": 1, "relevant": 2}
    assert {name: found.counts[name] for name in counts} == counts
    assert figures_of(found)["leak_rate_over_all"].value == 0.5
    assert found.judged_queries == 2


def test_what_the_miner_was_told_has_no_part_in_the_leak_rate(tmp_path: Path) -> None:
    rows = [
        candidate("q", "a", "positive", logit=3.0, fused_rank=1, grade=1.0),
        candidate("q", "b", "negative", logit=-5.0, fused_rank=2, grade=0.0, selected=1),
        candidate("q", "c", "negative", logit=-5.0, fused_rank=3),
        candidate("q", "d", "unscored", fused_rank=4),
    ]
    run = write_run(tmp_path / "run", {"q": "?"}, {name: name for name in "abcd"}, rows)
    judged = write_qrels(tmp_path / "hidden.tsv", {("q", name) for name in "abcd"})
    found = evaluate(str(run), EvaluateOptions(judgements=[str(judged)]))
    assert found.counts == {
        "asked": 2, "mined": 1, "mined_relevant": 1, "mined_relevant_by_text": 0,
        "relevant": 2, "retrieved": 2, "scored": 1, "leaked": 1, "known": 2,
    }  # fmt: skip


def test_promises_stand_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, hidden = random_rows()
    qrels = str(write_qrels(tmp_path / "hidden.tsv", hidden))
    denoising = {"status": "estimated", "gamma": 1.25, "target": 0.05, "upper_bound": 0.043, "leak_rate": 0.1}
    run = str(write_random(tmp_path / "run", rows, denoising=denoising))
    found = evaluate(run, EvaluateOptions(judgements=[qrels]))
    assert found.promised == {
        "false_negative_rate": "at most 4.3% (estimated, Gamma 1.25)",
        "leak_rate": "10.0% (estimated, Gamma 1.25)",
    }
    unsupported = str(write_random(tmp_path / "other", rows, denoising={"status": "unsupported", "target": 0.05}))
    assert set(evaluate(unsupported, EvaluateOptions(judgements=[qrels])).promised.values()) == {"unsupported"}
    assert command(["evaluate", run, "--judgements", qrels, "--json", str(tmp_path / "out.json")]) == 0
    said = capsys.readouterr().out
    assert "promised" in said
    lines = [line for line in said.splitlines() if line.strip()]
    assert "false-negative rate" in lines[1]
    assert any(line.startswith("yield") for line in lines)
    assert sum(line.startswith("hardness") for line in lines) == 3
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert written["figures"]["yield"]["value"] == figures_of(found)["yield"].value
    assert written["promised"] == found.promised
    plain = str(write_random(tmp_path / "plain", rows))
    assert command(["evaluate", plain, "--judgements", qrels]) == 0
    assert "promised" not in capsys.readouterr().out


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
        ({"judgements": ["nowhere.tsv"]}, "--judgements nowhere.tsv matches no file"),
        ({"marked": "nowhere.tsv"}, "nowhere.tsv does not exist"),
    ],
)
def test_mistakes_are_explained(options: dict[str, Any], message: str, run_and_sheet: tuple[Path, Path]) -> None:
    with pytest.raises(HardnegError, match=message):
        evaluate(str(run_and_sheet[0]), EvaluateOptions(**options))


def test_wrong_runs_and_judgements(run_and_sheet: tuple[Path, Path], tmp_path: Path) -> None:
    run, _ = run_and_sheet
    qrels = write_qrels(tmp_path / "hidden.tsv", {("other", "p")})
    options = EvaluateOptions(judgements=[str(qrels)])
    with pytest.raises(HardnegError, match="names no query of"):
        evaluate(str(run), options)
    with pytest.raises(HardnegError, match="it is not there"):
        evaluate(str(tmp_path / "nowhere"), options)
    with pytest.raises(HardnegError, match=r"it has no manifest\.json"):
        evaluate(str(tmp_path), options)
    (run / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(HardnegError, match="not a run's manifest"):
        evaluate(str(run), options)
    assert command(["evaluate", str(run), "--judgements", str(qrels)]) == 2

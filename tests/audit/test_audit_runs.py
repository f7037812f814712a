"""The audit of our own output, and the command that prints it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audit_cases import Rows, clean_rows, counts, look, write
from finished_run import candidate, write_run

from hardneg.pipelines.cli import run as command


@pytest.fixture
def own_run(tmp_path: Path) -> Path:
    """A run of ours with two queries of equal text and one positive, and with two positives of equal text."""
    queries = {"q1": "where?", "q2": "Where?", "q3": "who?", "q4": "why?"}
    passages = {f"p{n}": f"passage {n}" for n in range(9)} | {"twin": "PASSAGE 3"}
    candidates = [
        *[candidate(query, "p0", "positive", logit=3.0, fused_rank=1) for query in ("q1", "q2")],
        *[
            candidate(q, f"p{n}", "negative", logit=-4.0, fused_rank=n, selected=n)
            for q in ("q1", "q2")
            for n in (1, 2)
        ],
        *[candidate("q3", positive, "positive", logit=3.0) for positive in ("p3", "twin")],
        *[candidate("q3", f"p{n}", "negative", logit=-4.0, fused_rank=n, selected=n - 3) for n in (4, 5)],
        candidate("q4", "p6", "positive", logit=3.0),
        candidate("q4", "p7", "suspected_positive", logit=2.0, fused_rank=1),
    ]
    return write_run(tmp_path / "run", queries, passages, candidates)


def change(run: Path, kind: str, alter: Callable[[Rows], None]) -> None:
    """Alter a table of a run."""
    path = sorted((run / kind).iterdir())[0]
    table = pq.read_table(path)
    rows = table.to_pylist()
    alter(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def test_our_own_output_is_clean(own_run: Path) -> None:
    """Equal triplets that the input itself makes are no duplicates."""
    assert look(own_run).clean
    assert look(own_run / "triplets").clean
    assert look(own_run).rows == 8
    assert counts(own_run, expect=2) == {"too_few_negatives": 1}
    assert counts(own_run, expect=3) == {"too_few_negatives": 3}


def test_faults_planted_in_our_output(own_run: Path, tmp_path: Path) -> None:
    change(own_run, "triplets", lambda rows: rows.append(copy.copy(rows[0])))
    assert counts(own_run) == {"duplicate_negatives": 1}
    assert counts(own_run / "triplets") == {"duplicate_negatives": 1}
    change(own_run, "candidates", lambda rows: rows[0].update(bm25=math.nan, logit=math.inf))
    change(own_run, "passages", lambda rows: rows.append(copy.copy(rows[0])))
    change(own_run, "candidates", lambda rows: rows.append(copy.copy(rows[-1])))
    assert counts(own_run) == {"duplicate_negatives": 1, "duplicate_ids": 2, "scores_not_finite": 2}
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("q3\tp4\t1\nq1\tp8\t1\n", encoding="utf-8")
    assert counts(own_run, qrels=[str(qrels)])["positives_among_negatives"] == 2  # it has two positives


def test_the_command_line(own_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["audit", str(own_run)]) == 0
    assert "8 rows with 8 negatives of 2 different anchors" in capsys.readouterr().out
    rows = clean_rows()
    for row in rows:
        row["neg"][1] = "[red]\x1b[31m" + row["pos"][0]
        row["pos"] = [row["neg"][1]]
    assert command(["audit", str(write(tmp_path, "lists", rows))]) == 1
    said = capsys.readouterr().out
    assert "negatives that are a positive of their query" in said
    assert "".join(said.split()).count("set.jsonl:") == 3  # a long path is folded
    assert "\x1b" not in said
    assert "[red]" in said
    assert command(["audit", str(tmp_path / "nothing")]) == 2
    assert "matches no file" in capsys.readouterr().err

"""The program that counts batches from a run's files: by hand-made runs of which the answer is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished_run import candidate, write_run

from benchmarks.batches.__main__ import main, meeting


def test_rows_that_meet_what_is_relevant_to_their_query() -> None:
    rows = [("a", {"x", "y"}), ("b", {"z", "x"}), ("c", {"w", "v"}), ("d", {"x", "u"})]
    assert meeting(rows, {"a": {"x"}, "c": {"v"}}, 4) == 1, "a meets x; c shows v itself"
    assert meeting(rows, {"a": {"x"}, "b": {"x"}, "d": {"x"}}, 2) == 2, "d stands with c alone"
    assert meeting(rows, {}, 4) == 0


def test_the_manifest_and_the_truth_stand_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queries = {f"q{n}": f"query {n}" for n in range(3)}
    passages = {f"p{n}": f"text {n}" for n in range(6)}
    rows = [candidate(f"q{n}", f"p{n}", "positive") for n in range(3)]
    rows += [candidate(f"q{n}", f"p{n + 3}", "negative", logit=-1.0, selected=1) for n in range(3)]
    rows += [candidate("q0", "p4", "suspected_positive"), candidate("q1", "p5", "dropped", reason="outside_ranks")]
    run = write_run(tmp_path / "run", queries, passages, rows, triplets_too_close=1)
    truth = tmp_path / "hidden.tsv"
    truth.write_text("query-id\tcorpus-id\tscore\nq2\tp4\t1\nq2\tp5\t0\n", encoding="utf-8")
    main([str(run), "--truth", str(truth)])
    assert capsys.readouterr().out.splitlines()[-1] == "| run | 3 | 1 | 1 | 1.0 | 2 | 2.0 |"

"""What an audit counts of batches: rows that meet, in another row, what is relevant to their anchor."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audit_cases import Rows, look, write_jsonl
from finished_run import candidate, write_run
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.pipelines.cli import run as command
from hardneg.transforms.audit.batches import BatchCount


def made_up(seed: int, rows: int, texts: int) -> Rows:
    rng = np.random.default_rng(seed)

    def some(least: int, most: int) -> list[str]:
        return [f"text {n}" for n in rng.integers(0, texts, rng.integers(least, most + 1))]

    return [{"query": f"query {rng.integers(texts)}", "pos": some(1, 3), "neg": some(0, 3)} for _ in range(rows)]


def naive(rows: Rows, order: Any, size: int) -> int:
    relevant = defaultdict(set)
    for row in rows:
        relevant[row["query"]].update(row["pos"])
    met = 0
    for start in range(0, len(rows), size):
        batch = [rows[each] for each in order[start : start + size]]
        for row in batch:
            others = {text for other in batch if other is not row for text in (*other["pos"], *other["neg"])}
            met += bool(others & relevant[row["query"]])
    return met


@examples(25)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 60), st.integers(2, 20))
def test_rows_are_counted_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, seed: int, number: int, texts: int, size: int
) -> None:
    rows = made_up(seed, number, texts)
    path = write_jsonl(tmp_path_factory.mktemp("set") / "set.jsonl", rows)
    shuffled = np.random.default_rng(0).permutation(number)
    expected = BatchCount(size, number, naive(rows, range(number), size), naive(rows, shuffled, size))
    assert look(path, batch_size=size).batches == expected


def test_what_a_run_suspects_and_what_judgements_say_counts(tmp_path: Path) -> None:
    queries = {f"q{n}": f"query {n}" for n in range(4)}
    passages = {f"p{n}": f"text {n}" for n in range(9)}
    rows = [candidate(f"q{n}", f"p{n}", "positive") for n in range(4)]
    rows += [candidate(f"q{n}", f"p{n + 4}", "negative", logit=-1.0, selected=1) for n in range(4)]
    rows.append(candidate("q0", "p5", "suspected_positive"))
    rows.append(candidate("q1", "p6", "dropped", reason="near_duplicate"))
    rows.append(candidate("q2", "p7", "dropped", reason="outside_ranks"))
    run = write_run(tmp_path / "run", queries, passages, rows, shards=1)
    found = look(run, batch_size=4).batches
    assert found == BatchCount(4, 4, 2, 2), "p5 meets q0, p6 meets q1; p7 is merely not wanted"
    assert look(run).batches is None
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq3\tp0\t1\n", encoding="utf-8")
    with_more = look(run, batch_size=4, qrels=[str(qrels)]).batches
    assert with_more is not None
    assert with_more.in_order == 3


def test_it_is_said_in_a_line_each_and_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"query": f"query {n}", "pos": ["the same"], "neg": [f"text {n}"]} for n in range(6)]
    path = write_jsonl(tmp_path / "set.jsonl", rows)
    assert command(["audit", str(path), "--batch-size", "4"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "batches of 4, read in order: 6 of 6 rows (100.0%) meet, in another row, what is relevant" in said
    assert "batches of 4, read at random: 6 of 6 rows (100.0%)" in said
    assert command(["audit", str(path), "--batch-size", "4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["figures"]["batches"] == {"size": 4, "rows": 6, "in_order": 6, "at_random": 6}

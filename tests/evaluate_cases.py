"""Runs to evaluate, made by hand: random candidates, of which some are relevant and the miner does not know it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from finished_run import candidate, write_run

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

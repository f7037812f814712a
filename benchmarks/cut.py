"""A collection with some of its queries, in a folder of its own: all passages, the judgements of what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hardneg.transforms.core.text import cut_digest

Rows = list[dict[str, Any]]


def cut_of(folder: Path, split: str, queries: int) -> tuple[Rows, Rows, list[str]]:
    """Return all passages, the queries of the smallest digests that the split judges, and their judgements."""
    lines = (folder / "qrels" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    judged = sorted({line.split("\t")[0] for line in lines}, key=cut_digest)[:queries]
    kept = set(judged)
    return (
        _rows(folder / "corpus.jsonl"),
        [row for row in _rows(folder / "queries.jsonl") if row["_id"] in kept],
        [line for line in lines if line.split("\t")[0] in kept],
    )


def read(folder: Path) -> tuple[Rows, Rows, list[str]]:
    """Return passages, queries and judgements of a folder that `write` wrote."""
    lines = (folder / "qrels" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return _rows(folder / "corpus.jsonl"), _rows(folder / "queries.jsonl"), lines


def write(folder: Path, corpus: Rows, queries: Rows, qrels: list[str]) -> None:
    """Write a collection in the BEIR layout, over what is there."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    text = "".join(f"{line}\n" for line in ["query-id\tcorpus-id\tscore", *qrels])
    (folder / "qrels" / "train.tsv").write_text(text, encoding="utf-8")


def _rows(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

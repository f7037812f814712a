"""A clean training set in each of its forms, and what the audit says of a set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.pipelines.commands.audit import AuditReport, audit
from hardneg.pipelines.options.finished import AuditOptions

Rows = list[dict[str, Any]]


def clean_rows() -> Rows:
    return [
        {
            "query": f"Where does river {n} begin?",
            "pos": [f"River {n} begins in the hills of county {n}."],
            "neg": [f"River {n} is crossed by bridge {m}." for m in range(3)],
        }
        for n in range(4)
    ]


def write(folder: Path, form: str, rows: Rows) -> Path:
    """Write rows in one of the forms; further keys of a row go along where the form is JSON."""
    if form == "triplets":
        flat = [
            {"anchor": row["query"], "positive": positive, "negative": negative}
            for row in rows
            for positive in row["pos"]
            for negative in row["neg"]
        ]
        (folder / "set").mkdir(exist_ok=True)
        half = len(flat) // 2
        for number, part in enumerate((flat[:half], flat[half:])):
            pq.write_table(pa.Table.from_pylist(part), folder / "set" / f"part-{number}.parquet")
        return folder / "set"
    if form == "n-tuples":
        rows = [
            {"anchor": row["query"], "positive": row["pos"][0]}
            | {f"negative_{place}": text for place, text in enumerate(row["neg"], start=1)}
            | {key: value for key, value in row.items() if key not in ("query", "pos", "neg")}
            for row in rows
        ]
    return write_jsonl(folder / "set.jsonl", rows)


def write_jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def look(path: Path, **options: Any) -> AuditReport:
    return audit([str(path)], AuditOptions(**options))


def counts(path: Path, **options: Any) -> dict[str, int]:
    return {fault.kind: fault.count for fault in look(path, **options).faults}

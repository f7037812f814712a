"""A finished run made by hand, in a moment: its tables in shards, its triplets, its manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.transforms.core.text import cut_digest

CANDIDATES = pa.schema(
    [
        ("query_id", pa.string()),
        ("passage_id", pa.string()),
        ("sources", pa.list_(pa.string())),
        ("rank_bm25", pa.int32()),
        ("rank_dense", pa.int32()),
        ("bm25", pa.float32()),
        ("similarity_dense", pa.float32()),
        ("similarity_second", pa.float32()),
        ("fused_rank", pa.int32()),
        ("grade", pa.float32()),
        ("logit", pa.float32()),
        ("judge_score", pa.float32()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("selected", pa.int32()),
    ]
)


def candidate(query: str, passage: str, verdict: str = "unscored", **columns: Any) -> dict[str, Any]:
    """Return a row of candidates/; its judge score is its logit."""
    row = {name: None for name in CANDIDATES.names} | {"sources": ["bm25"], "bm25": 1.0, "similarity_dense": 0.5}
    return (
        row
        | {"query_id": query, "passage_id": passage, "verdict": verdict, "judge_score": columns.get("logit")}
        | columns
    )


def write_run(
    folder: Path,
    queries: dict[str, str],
    passages: dict[str, str],
    candidates: Sequence[dict[str, Any]],
    negatives: int = 2,
    shards: int = 2,
    **manifest: Any,
) -> Path:
    """Write a run: triplets are the positives times the mined of each query."""
    triplets = [
        {
            "query_id": row["query_id"],
            "anchor": queries[row["query_id"]],
            "positive": passages[positive],
            "negative": passages[row["passage_id"]],
        }
        for row in candidates
        if row["selected"] is not None
        for positive in [
            other["passage_id"]
            for other in candidates
            if other["query_id"] == row["query_id"] and other["verdict"] == "positive"
        ]
    ]
    text = pa.string()
    tables = {
        "queries": (
            [{"query_id": key, "text": value} for key, value in queries.items()],
            [("query_id", text), ("text", text)],
        ),
        "passages": (
            [{"passage_id": key, "text": value} for key, value in passages.items()],
            [("passage_id", text), ("text", text)],
        ),
        "candidates": (list(candidates), CANDIDATES),
        "triplets": (triplets, [("anchor", text), ("positive", text), ("negative", text)]),
    }
    for kind, (rows, schema) in tables.items():
        (folder / kind).mkdir(parents=True)
        for shard in range(shards):
            own = [row for row in rows if cut_digest(row.get("query_id", row.get("passage_id"))) % shards == shard]
            if own:
                table = pa.Table.from_pylist(own, schema=pa.schema(schema))
                pq.write_table(table, folder / kind / f"part-{shard:05d}-of-{shards:05d}.parquet")
    whole = {"hardneg": "0", "options": {"negatives": negatives}, "counts": {"queries": len(queries)}, **manifest}
    (folder / "manifest.json").write_text(json.dumps(whole), encoding="utf-8")
    return folder

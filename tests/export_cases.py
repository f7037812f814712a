"""Made-up runs and what their exports must hold, without any of the code under test."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from finished_run import candidate

from hardneg.pipelines.options.finished import ExportOptions
from hardneg.transforms.core.text import normalise
from hardneg.transforms.export.registry import export_formats

Rows = list[dict[str, Any]]
HOSTILE = 'line\nbreaks\r\n\t"quotes" \\ \x00 \x85\u2028\u2029 \U0001f984 \u4e2d\u6587 \u0627\u0644 e\u0301'
FORMATS = list(export_formats())
FIXED = [name for name, form in export_formats().items() if form.fixed]
SMALLER = {form: {"short": "smaller"} for form in FIXED}
PARQUET = [form for form in FORMATS if form != "flagembedding"]


def options(form: str, output: Path, **given: Any) -> ExportOptions:
    return ExportOptions.model_validate({"format": form, "output": str(output), **given})


def rows_of(folder: Path, table: str) -> Rows:
    """Return a table's rows in the order of the files."""
    rows: Rows = []
    for path in sorted((folder / table).iterdir()):
        if path.suffix == ".jsonl":
            rows += [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        else:
            rows += pq.read_table(path).to_pylist()
    return rows


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("part-*"))}


# What was mined, without any of the code under test.


class Expected:
    """A hand-made run's queries: text, positives and negatives as (id, text, logit), negatives in their order."""

    def __init__(self, queries: dict[str, str], passages: dict[str, str], candidates: Rows, negatives: int) -> None:
        self.queries: list[tuple[str, str, Rows, Rows]] = []
        for query in sorted(queries):
            own = sorted((row for row in candidates if row["query_id"] == query), key=lambda row: row["passage_id"])
            found = [{**row, "text": passages[row["passage_id"]]} for row in own]
            texts: dict[str, dict[str, Any]] = {}
            for row in found:
                if row["verdict"] == "positive" and row["reason"] is None:
                    texts.setdefault(normalise(row["text"]), row)
            mined = sorted((row for row in found if row["selected"]), key=lambda row: row["selected"])
            if texts and mined:
                self.queries.append((query, queries[query], list(texts.values()), mined[:negatives]))

    def rows(self, form: str, size: int, scores: bool) -> Rows:
        made = {
            "triplet": self._triplets,
            "n-tuple": self._tuples,
            "labeled-pair": self._pairs,
            "labeled-list": self._lists,
            "flagembedding": self._flagembedding,
            "pylate": self._ids,
        }[form]
        return list(made(size, scores))

    def _triplets(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for _, text, positives, negatives in self.queries:
            for one in positives:
                for other in negatives:
                    row = {"anchor": text, "positive": one["text"], "negative": other["text"]}
                    yield row | ({"scores": [one["logit"], other["logit"]]} if scores else {})

    def _tuples(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for _, text, positives, negatives in self.queries:
            for one in positives if len(negatives) == size else []:
                row = {"anchor": text, "positive": one["text"]}
                row |= {f"negative_{place + 1}": other["text"] for place, other in enumerate(negatives)}
                yield row | ({"scores": [each["logit"] for each in (one, *negatives)]} if scores else {})

    def _ids(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for query, _, positives, negatives in self.queries:
            for one in positives if len(negatives) == size else []:
                own = (one, *negatives)
                yield {
                    "query_id": query,
                    "document_ids": [each["passage_id"] for each in own],
                    "scores": [each["logit"] for each in own],
                }

    def _pairs(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for _, text, positives, negatives in self.queries:
            for label, pairs in ((1, positives), (0, negatives)):
                for each in pairs:
                    row = {"query": text, "passage": each["text"]}
                    yield row | ({"score": each["logit"]} if scores else {"label": label})

    def _lists(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for _, text, positives, negatives in self.queries:
            own = [*positives, *negatives]
            row: dict[str, Any] = {"query": text, "passages": [each["text"] for each in own]}
            labels = [1] * len(positives) + [0] * len(negatives)
            yield row | ({"scores": [each["logit"] for each in own]} if scores else {"labels": labels})

    def _flagembedding(self, size: int, scores: bool) -> Iterator[dict[str, Any]]:
        for _, text, positives, negatives in self.queries:
            parts = {"pos": positives, "neg": negatives}
            row: dict[str, Any] = {name: [each["text"] for each in part] for name, part in parts.items()}
            if scores:
                row |= {f"{name}_scores": [each["logit"] for each in part] for name, part in parts.items()}
            yield {"query": text} | row


def made_up(seed: int, queries: int = 12) -> tuple[dict[str, str], dict[str, str], Rows]:
    """Return queries, passages (some of equal text, some hostile) and candidates with every kind of row."""
    rng = np.random.default_rng(seed)
    of_queries = {f"q{n}": f"{HOSTILE if n == 3 else 'Query'} {n // 2}" for n in range(queries)}
    passages = {f"p{n}": f"{HOSTILE if n % 5 == 0 else 'passage'} {n // 2 if n < 8 else n}" for n in range(30)}
    passages["p1"] = passages["p0"].upper()
    rows: Rows = []
    for query in of_queries:
        place = 0
        for number in rng.permutation(30)[: int(rng.integers(0, 14))].tolist():
            kind = int(rng.integers(0, 6))
            row = {"query": query, "passage": f"p{number}", "logit": float(np.float32(rng.normal(0, 3)))}
            if kind < 2:
                reason = "weak_positive" if rng.random() < 0.1 else None
                rows.append(candidate(**row, verdict="positive", reason=reason, grade=1.0))
            elif kind < 5:
                place += 1
                rows.append(candidate(**row, verdict="negative", selected=place))
            else:
                rows.append(candidate(**row, verdict="suspected_positive", reason="above_threshold"))
    return of_queries, passages, rows


def comparable(rows: Rows) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True) for row in rows)

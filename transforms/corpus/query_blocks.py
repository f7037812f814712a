"""From query and judgement rows to blocks of queries that know what must not be their negative."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hardneg.errors import InputError
from hardneg.transforms.core.partition import DIGEST, split_by
from hardneg.transforms.core.schemas import JOINED, QRELS, QUERIES
from hardneg.transforms.core.text import cut_digest, text_digest


def join_queries(
    queries: Sequence[pa.Table], qrels: Sequence[pa.Table], file_names: Sequence[str]
) -> tuple[pa.Table, pa.Table, int]:
    """Join queries with their judgements.

    Args:
        queries: tables of the QUERIES schema.
        qrels: tables of the QRELS schema whose passages exist.
        file_names: the input files by index, for errors.

    Returns:
        the JOINED table sorted by query id (``shared_ids`` still empty), the judgements of unknown queries,
        and how many query rows repeated another.

    Raises:
        InputError: the same query id with two different texts.
    """
    rows = pa.concat_tables([QUERIES.empty_table(), *queries]).sort_by(
        [("query_id", "ascending"), ("file", "ascending"), ("line", "ascending")]
    )
    first: dict[str, dict[str, Any]] = {}
    for row in rows.to_pylist():
        known = first.setdefault(row["query_id"], row)
        if known["text"] != row["text"]:
            raise InputError(
                f"query id {row['query_id']!r} stands twice with different texts: "
                f"{file_names[known['file']]}:{known['line']} and {file_names[row['file']]}:{row['line']}; "
                "give each its own id."
            )
    judgements = pa.concat_tables([QRELS.empty_table(), *qrels])
    grades: dict[str, dict[str, float]] = defaultdict(dict)
    unknown = np.zeros(len(judgements), dtype=bool)
    columns = (judgements[name].to_pylist() for name in ("query_id", "passage_id", "grade"))
    for row, (query, passage, grade) in enumerate(zip(*columns, strict=True)):
        unknown[row] = query not in first
        # The same pair judged twice: the higher grade, whatever the order of the files.
        grades[query][passage] = max(grade, grades[query].get(passage, grade))
    judged = [sorted(grades.get(query, {}).items()) for query in first]
    table = pa.table(
        [
            pa.array(list(first), pa.string()),
            pa.array([row["text"] for row in first.values()], pa.string()),
            pa.array([cut_digest(query) for query in first], pa.int64()),
            pa.array([text_digest(row["text"]) for row in first.values()], DIGEST),
            pa.array([[passage for passage, _ in pairs] for pairs in judged], pa.list_(pa.string())),
            pa.array([[grade for _, grade in pairs] for pairs in judged], pa.list_(pa.float64())),
            pa.array([[] for _ in first], pa.list_(pa.string())),
        ],
        schema=JOINED,
    )
    return table, judgements.filter(pa.array(unknown)), len(rows) - len(first)


def positives_of(query: dict[str, Any], min_relevance: float) -> list[str]:
    """Return the ids of a JOINED row's positives, sorted."""
    pairs = zip(query["judged_ids"], query["judged_grades"], strict=True)
    return [passage for passage, grade in pairs if grade >= min_relevance]


def share_positives(table: pa.Table, min_relevance: float) -> pa.Table:
    """Fill in ``shared_ids``: queries of equal normalised text share their positives for masking."""
    rows = table.select(["text_digest", "judged_ids", "judged_grades"]).to_pylist()
    own = [positives_of(row, min_relevance) for row in rows]
    by_text: dict[bytes, set[str]] = defaultdict(set)
    for row, positives in zip(rows, own, strict=True):
        by_text[row["text_digest"]].update(positives)
    shared = [
        sorted(by_text[row["text_digest"]].difference(positives)) for row, positives in zip(rows, own, strict=True)
    ]
    place = table.schema.get_field_index("shared_ids")
    return table.set_column(place, "shared_ids", pa.array(shared, pa.list_(pa.string())))


def with_positives(table: pa.Table, min_relevance: float) -> np.ndarray:
    """Return which rows of a JOINED table have a positive, bool."""
    rows = table.select(["judged_grades"]).to_pylist()
    return np.array([any(grade >= min_relevance for grade in row["judged_grades"]) for row in rows], dtype=bool)


def add_column(table: pa.Table, name: str, kind: pa.DataType, parts: Sequence[pa.Table]) -> pa.Table:
    """Add a column that is known by query id; null where it is not known.

    Args:
        table: queries, as ``join_queries`` returns them.
        name: the column's name.
        kind: its type.
        parts: tables of ``query_id`` and that column.

    Raises:
        InputError: a query stands twice.
    """
    empty = pa.table({"query_id": pa.array([], pa.string()), name: pa.array([], kind)})
    part = pa.concat_tables([empty, *(part.cast(empty.schema) for part in parts)])
    rows = {query: row for row, query in enumerate(part["query_id"].to_pylist())}
    if len(rows) < len(part):
        raise InputError(f"{name}: a query stands twice in its files; give each query once.")
    places = pa.array([rows.get(query) for query in table["query_id"].to_pylist()], pa.int64())
    return table.append_column(name, part[name].combine_chunks().take(places))


def cut_blocks(table: pa.Table, wanted: tuple[int, int], block_size: int) -> Iterable[tuple[int, pa.Table]]:
    """Yield (block, its rows) of the queries that are wanted: each block a range of text digests.

    The store's logits are sorted by that digest, so a block's are one stretch of each of its files.

    Args:
        table: queries with their ``digest`` and ``text_digest``.
        wanted: how many queries are wanted in all, and the largest digest to take.
        block_size: queries of a block, about.
    """
    number, cutoff = wanted
    table = table.filter(pa.array(table["digest"].to_numpy() <= cutoff))
    blocks = max(1, round(number / block_size))
    return split_by(table, _heads(table["text_digest"]) * blocks >> 32)


def _heads(digests: pa.ChunkedArray) -> np.ndarray:
    """Return the first four bytes of digests as numbers, int64, shape (n,)."""
    return np.array([int.from_bytes(digest[:4], "big") for digest in digests.to_pylist()], dtype=np.int64)


def whole_block(number: int, parts: Iterable[pa.Table]) -> tuple[int, pa.Table]:
    """Return (block, its queries sorted by id)."""
    return number, pa.concat_tables(list(parts)).sort_by("query_id").combine_chunks()

"""A finished run's tables, as the blocks that they were judged from: it is decided again, and nothing is retrieved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hardneg.errors import RunError
from hardneg.transforms.core.block import Block
from hardneg.transforms.core.schemas import BLOCK_TEXTS, JOINED
from hardneg.transforms.core.source import Source
from hardneg.transforms.core.text import cut_digest, text_digest


def stored_queries(table: pa.Table) -> pa.Table:
    """Return a shard of ``queries/`` in the JOINED schema, sorted by id; what was judged stands in ``candidates/``."""
    table = table.sort_by("query_id")
    ids, texts = table["query_id"].to_pylist(), table["text"].to_pylist()
    nothing: list[list[Any]] = [[] for _ in ids]
    columns = [ids, texts, [cut_digest(each) for each in ids], [text_digest(text) for text in texts], *(nothing,) * 3]
    return pa.table([pa.array(column, kind.type) for column, kind in zip(columns, JOINED, strict=True)], schema=JOINED)


def stored_block(queries: pa.Table, candidates: pa.Table | None, sources: Sequence[Source]) -> Block:
    """Return some queries of a shard and their candidates, as they were before they were judged.

    Args:
        queries: JOINED schema, sorted by id.
        candidates: the shard's, placed; None: it has none.
        sources: the retrievers.

    Raises:
        RunError: candidates or a retriever's ranks are not there.
    """
    if candidates is None:
        raise RunError("The run has queries without any candidate: it is damaged.")
    place = {identifier: row for row, identifier in enumerate(queries["query_id"].to_pylist())}
    rows = np.array([place.get(identifier, -1) for identifier in candidates["query_id"].to_pylist()], dtype=np.int32)
    named = {"judge_score", "difficulty", "selected", "sources", "query_id"}
    table = candidates.select([name for name in candidates.column_names if name not in named])
    table = table.add_column(0, "query", pa.array(rows)).filter(pa.array(rows >= 0))
    table = table.sort_by([("query", "ascending"), ("passage_id", "ascending")]).combine_chunks()
    lacking = [source.rank for source in sources if source.rank not in table.column_names]
    if lacking:
        raise RunError(f"candidates/ has no column {lacking[0]}: the run is damaged, or not of this version.")
    return Block(queries, table, BLOCK_TEXTS.empty_table())

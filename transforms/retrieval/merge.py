"""Bring the segments' candidates of a block together, and rank them: per retriever, and fused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.core.source import Source


def merge_segments(found: Sequence[pa.Table], sources: Sequence[Source], k: int) -> pa.Table:
    """Bring a block's candidates of all segments together; rank them per source and fused.

    Args:
        found: what ``search_segment`` returned, in any order.
        sources: the retrievers, in the order in which their reciprocal ranks are summed.
        k: ranks kept per source and query.

    Returns:
        ``found`` in one table sorted by query and passage id; without the hit columns, but with one int32
        column ``rank_NAME`` per source (null: not in its top k) and ``fused_rank`` (null: in nobody's, and
        asked for). The best of a segment that are not among the best of all are left out.
    """
    table = pa.concat_tables(found).combine_chunks()
    table = table.sort_by([("query", "ascending"), ("passage_id", "ascending")]).combine_chunks()
    query = table["query"].to_numpy()
    fused = np.zeros(len(table), dtype=np.float64)
    for source in sources:
        hit = table[source.hit].to_numpy()
        # A retriever that knows its ranks gave them; the others' follow from their signals.
        rank = rank_within(query, table[source.signal].to_numpy(), hit) if hit.dtype == bool else hit.copy()
        rank[rank > k] = 0
        fused += np.where(rank > 0, 1.0 / (RRF_K + rank), 0.0)
        table = table.append_column(source.rank, pa.array(rank, pa.int32(), mask=rank == 0))
    rank = rank_within(query, fused, fused > 0)
    table = table.append_column("fused_rank", pa.array(rank, pa.int32(), mask=rank == 0))
    table = table.filter(pc.or_(pc.is_valid(table["fused_rank"]), table["asked"])).combine_chunks()
    return table.drop_columns(["asked", *(source.hit for source in sources)])


def rank_within(query: np.ndarray, score: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Return the 1-based rank of each row among its query's rows: score descending, then row order.

    Args:
        query: ascending row numbers, shape (n,); rows of one query stand in the order of passage ids.
        score: float, shape (n,).
        which: rows that are ranked, bool, shape (n,); the others get 0.
    """
    rank = np.zeros(len(query), dtype=np.int32)
    rows = np.flatnonzero(which)
    order = rows[np.lexsort((rows, -score[rows], query[rows]))]
    rank[order] = np.arange(len(order)) - np.searchsorted(query[order], query[order]) + 1
    return rank


RRF_K = 60  # Cormack, Clarke and Buettcher, SIGIR 2009

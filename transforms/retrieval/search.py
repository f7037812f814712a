"""Search one segment for a block of queries.

Inside (block x segment), the union of all retrievers' hits and the known positives gets *every* signal, so that
after the merge no candidate lacks one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hardneg.transforms.corpus.segments import Segment
from hardneg.transforms.retrieval.retriever import Found, PairRows, Retriever

ASKED = ("judged_ids", "shared_ids")  # a block's passages that are looked at whether they are found or not


def search_segment(queries: pa.Table, segment: Segment, retrievers: Sequence[Retriever], k: int) -> pa.Table:
    """Return a segment's candidates for a block of queries, with every signal.

    Args:
        queries: the block's queries, with the columns that the retrievers need.
        segment: the opened segment.
        retrievers: what searches.
        k: how many each retriever returns per query and segment.

    Returns:
        a table with query (int32, the row in the block), segment and row (int32, where the passage lies; they
        depend on how the corpus was cut and are not output), passage_id, text_digest, the columns that pass
        through, ``asked`` (bool), and per retriever its signal (float32), if it has one, and ``hit_NAME``: whether it
        is among the retriever's hits in this segment (bool), or its rank by it (int32, 0: none) where the retriever
        knows its ranks; sorted by query and row.
    """
    size = len(segment)
    asked = PairRows.of(*(_look_up(segment, queries[name].to_pylist()) for name in ASKED))
    wanted, found = asked, dict[str, Found]()
    for retriever in sorted(retrievers, key=lambda each: each.scores_in_passing):
        found[retriever.name] = retriever.search(queries, segment, k, wanted)
        wanted = PairRows.of(wanted, found[retriever.name].hits)
    keys = wanted.keys(size)
    passages = segment.passages.drop_columns(["text"]).take(pa.array(wanted.rows)).combine_chunks()
    columns: dict[str, pa.Array] = {
        "query": pa.array(wanted.queries, pa.int32()),
        "segment": pa.array(np.full(len(keys), segment.number), pa.int32()),
        "row": pa.array(wanted.rows, pa.int32()),
        **{name: passages[name] for name in passages.column_names},
        "asked": pa.array(np.isin(keys, asked.keys(size))),
    }
    for retriever in retrievers:
        source, its = retriever.source, found[retriever.name]
        if source.signal is not None and its.signal is not None:
            columns[source.signal] = pa.array(its.signal(wanted), pa.float32())
        columns[source.hit] = _hits(keys, its, size)
    return pa.table(columns)


def _look_up(segment: Segment, lists: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    counts = [len(ids) for ids in lists]
    rows = segment.find(pa.array([identifier for ids in lists for identifier in ids], pa.string()))
    query_rows = np.repeat(np.arange(len(lists)), counts)
    return query_rows[rows >= 0], rows[rows >= 0]


def _hits(keys: np.ndarray, found: Found, size: int) -> pa.Array:
    hits = found.hits.keys(size)
    if found.ranks is None:
        return pa.array(np.isin(keys, hits))
    ranks = np.zeros(len(keys), dtype=np.int32)
    ranks[np.searchsorted(keys, hits)] = found.ranks
    return pa.array(ranks)

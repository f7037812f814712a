"""Search one segment for a block of queries, then bring the segments' candidates together and rank them.

Inside (block x segment), the union of all retrievers' top-k lists, the known positives and whatever else the
block asks about gets *every* signal, so that after the merge no candidate lacks one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.errors import HardnegError
from hardneg.transforms.core.block import Block
from hardneg.transforms.core.progress import timed
from hardneg.transforms.core.schemas import BLOCK_TEXTS, JOINED
from hardneg.transforms.core.source import Source
from hardneg.transforms.core.tokenization import Tokenizer, TokenizerSpec, make_tokenizer
from hardneg.transforms.corpus.segments import Segment, open_segment
from hardneg.transforms.models.loaded import use_threads
from hardneg.transforms.retrieval.bm25.index import encode_queries
from hardneg.transforms.retrieval.bm25.search import SearchResult
from hardneg.transforms.retrieval.bm25.stages import open_engine
from hardneg.transforms.retrieval.dense import pair_similarities, search_dense

RRF_K = 60  # Cormack, Clarke and Buettcher, SIGIR 2009


class Bm25Engine(Protocol):
    """An opened BM25 index of one segment (``Bm25Segment`` or ``RankBm25Engine``)."""

    def search(self, query_terms, k: int, extra_offsets, extra_rows) -> SearchResult: ...


def embeddings_of(queries: pa.Table, source: Source) -> np.ndarray:
    """Return the embeddings of a block's queries, float32, shape (queries, dimension)."""
    column = queries[source.embedding].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(queries), -1)


def search_segment(
    queries: pa.Table,
    segment: Segment,
    sources: Sequence[Source],
    k: int,
    tokenizer: Tokenizer,
    engine: Bm25Engine,
    asked: Mapping[str, Sequence[Sequence[str]]],
) -> pa.Table:
    """Return a segment's candidates for a block of queries, with every signal.

    Args:
        queries: the block's queries; one ``embedding_NAME`` column per dense source.
        segment: the opened segment.
        sources: the retrievers.
        k: how many each retriever returns per query and segment.
        engine: the segment's BM25 index.
        asked: passage ids per query that must be looked at whether retrieved or not (known positives,
            run files); any name to one list per query.

    Returns:
        a table with query (int32, the row in the block), segment and row (int32, where the passage lies; they
        depend on how the corpus was cut and are not output), passage_id, text_digest, the columns that pass
        through, ``asked`` (bool), and per source its signal (float32) and ``hit_NAME`` (bool: in its top k of
        this segment); sorted by query and row.
    """
    size = len(segment)
    dense = {
        source: (embeddings_of(queries, source), segment.array(source.embedding))
        for source in sources
        if source.kind == "dense"
    }
    for source, (mine, theirs) in dense.items():
        if mine.shape[1] != theirs.shape[1]:
            raise HardnegError(
                f"{source.name}: the queries' vectors have {mine.shape[1]} dimensions and the passages' "
                f"{theirs.shape[1]}; take both from one model."
            )
    hits = {source: _pairs(*search_dense(*both, k), size) for source, both in dense.items()}
    none = np.empty(0, dtype=np.int64)
    looked_up = np.concatenate([none, *(_look_up(segment, lists) for lists in asked.values())])
    extra = np.unique(np.concatenate([none, *hits.values(), looked_up]))

    terms = encode_queries([tokenizer(text) for text in queries["text"].to_pylist()])
    offsets = np.searchsorted(extra, np.arange(len(queries) + 1) * size)
    found = engine.search(terms, k, offsets, extra % size)
    top = np.repeat(np.arange(len(queries)), np.diff(found.offsets)) * size + found.rows
    pairs, place = np.unique(np.concatenate([extra, top]), return_index=True)

    query_rows, rows = pairs // size, pairs % size
    passages = segment.passages.drop_columns(["text"]).take(pa.array(rows)).combine_chunks()
    columns: dict[str, pa.Array] = {
        "query": pa.array(query_rows, pa.int32()),
        "segment": pa.array(np.full(len(pairs), segment.number), pa.int32()),
        "row": pa.array(rows, pa.int32()),
        **{name: passages[name] for name in passages.column_names},
        "asked": pa.array(np.isin(pairs, looked_up)),
    }
    for source in sources:
        if source.kind == "bm25":
            columns["bm25"] = pa.array(np.concatenate([found.extra_scores, found.scores])[place], pa.float32())
            columns[source.hit] = pa.array(np.isin(pairs, top))
        elif source.kind == "dense":
            mine, theirs = dense[source]
            columns[source.signal or ""] = pa.array(pair_similarities(mine, query_rows, theirs, rows))
            columns[source.hit] = pa.array(np.isin(pairs, hits[source]))
    return pa.table(columns)


def _pairs(query_rows: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    return query_rows.astype(np.int64) * size + rows


def _look_up(segment: Segment, lists: Sequence[Sequence[str]]) -> np.ndarray:
    counts = [len(ids) for ids in lists]
    rows = segment.find(pa.array([identifier for ids in lists for identifier in ids], pa.string()))
    query_rows = np.repeat(np.arange(len(lists)), counts)
    return _pairs(query_rows[rows >= 0], rows[rows >= 0], len(segment))


def merge_segments(
    found: Sequence[pa.Table],
    run_ranks: Mapping[Source, Mapping[tuple[int, str], int]],
    sources: Sequence[Source],
    k: int,
) -> pa.Table:
    """Bring a block's candidates of all segments together; rank them per source and fused.

    Args:
        found: what ``search_segment`` returned, in any order.
        run_ranks: for each run source, (query row, passage id) to its 1-based rank in the run.
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
        if source.kind == "run":
            keys = zip(query.tolist(), table["passage_id"].to_pylist(), strict=True)
            rank = np.array([run_ranks[source].get(key, 0) for key in keys], dtype=np.int32)
        else:
            hit = table[source.hit].to_numpy()
            rank = rank_within(query, table[source.signal].to_numpy(), hit)
        rank[rank > k] = 0
        fused += np.where(rank > 0, 1.0 / (RRF_K + rank), 0.0)
        table = table.append_column(source.rank, pa.array(rank, pa.int32(), mask=rank == 0))
    rank = rank_within(query, fused, fused > 0)
    table = table.append_column("fused_rank", pa.array(rank, pa.int32(), mask=rank == 0))
    table = table.filter(pc.or_(pc.is_valid(table["fused_rank"]), table["asked"])).combine_chunks()
    return table.drop_columns(["asked", *(source.hit for source in sources if source.kind != "run")])


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


class SearchSegments(beam.PTransform):
    """Search every segment for every block of queries.

    In: (block, table of queries). Side input: the numbers of the segments, once their indexes are complete.
    Out: (block, table of candidates), one per segment.
    """

    def __init__(
        self,
        work: str,
        sources: Sequence[Source],
        k: int,
        tokenizer: TokenizerSpec,
        engine: str,
        segments: beam.pvalue.AsList,
        threads: int | None,
    ) -> None:
        super().__init__()
        self._segments = segments
        self._do = _SearchSegment(work, sources, k, tokenizer, engine, threads)

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        return (
            blocks
            | beam.FlatMap(_cross, self._segments).with_output_types(tuple[int, int, pa.Table])
            | beam.Reshuffle()
            | beam.ParDo(self._do).with_output_types(tuple[int, pa.Table])
        )


def _cross(element: tuple[int, pa.Table], segments: Sequence[int]) -> Iterator[tuple[int, int, pa.Table]]:
    number, queries = element
    return ((number, segment, queries) for segment in sorted(segments))


class _SearchSegment(beam.DoFn):
    def __init__(
        self,
        work: str,
        sources: Sequence[Source],
        k: int,
        tokenizer: TokenizerSpec,
        engine: str,
        threads: int | None,
    ) -> None:
        self._work = work
        self._sources = list(sources)
        self._k = k
        self._spec = tokenizer
        self._engine = engine
        self._threads = threads

    def setup(self) -> None:
        use_threads(self._threads)
        self._tokenizer = make_tokenizer(self._spec)

    def process(self, element: tuple[int, int, pa.Table]) -> Iterator[tuple[int, pa.Table]]:
        number, segment, queries = element
        with timed(self._work, "search", done=len(queries)):
            opened = open_segment(self._work, segment)
            engine = opened.hold(self._engine, lambda: open_engine(self._engine, self._work, opened))
            found = search_segment(
                queries,
                opened,
                self._sources,
                self._k,
                self._tokenizer,
                engine,
                asked_for(queries, self._sources, self._k),
            )
        yield number, found


def asked_for(queries: pa.Table, sources: Sequence[Source], k: int) -> dict[str, list[list[str]]]:
    """Return the passage ids that a block asks about beyond what is retrieved: judged, shared, from runs."""
    lists = {name: queries[name].to_pylist() for name in ("judged_ids", "shared_ids")}
    for source in sources:
        if source.kind == "run":
            lists[source.run] = [(ids or [])[:k] for ids in queries[source.run].to_pylist()]
    return lists


def run_ranks(queries: pa.Table, source: Source) -> dict[tuple[int, str], int]:
    """Return (query row, passage id) to the 1-based rank in a run."""
    return {
        (row, passage): rank
        for row, ids in enumerate(queries[source.run].to_pylist())
        for rank, passage in enumerate(ids or [], start=1)
    }


class MergeCandidates(beam.PTransform):
    """Bring each block's candidates of all segments together.

    In: {"queries": (block, table), "found": (block, table)}. Out: (block, Block).
    """

    def __init__(self, sources: Sequence[Source], k: int) -> None:
        super().__init__()
        self._sources = list(sources)
        self._k = k

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection:
        return (
            inputs
            | beam.CoGroupByKey()
            | beam.Map(_merge_block, self._sources, self._k).with_output_types(tuple[int, Block])
        )


def _merge_block(
    element: tuple[int, dict[str, Iterable[pa.Table]]], sources: Sequence[Source], k: int
) -> tuple[int, Block]:
    number, groups = element
    (queries,) = groups["queries"]
    ranks = {source: run_ranks(queries, source) for source in sources if source.kind == "run"}
    candidates = merge_segments(list(groups["found"]), ranks, sources, k)
    # Embeddings and run lists have done their work; what follows needs neither.
    return number, Block(queries.select(JOINED.names), candidates, BLOCK_TEXTS.empty_table())

"""A finished run, read back as the blocks it was judged from: ``mine --from`` decides again, and retrieves nothing.

Each shard of ``passages/`` becomes a segment without indexes, each shard of ``candidates/`` blocks of queries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.errors import HardnegError
from hardneg.transforms.core import storage
from hardneg.transforms.core.block import Block
from hardneg.transforms.core.partition import DIGEST, cut, split_by
from hardneg.transforms.core.schemas import BLOCK_TEXTS, JOINED
from hardneg.transforms.core.source import Source
from hardneg.transforms.core.text import cut_digest, text_digest
from hardneg.transforms.corpus.segments import TEXTS, folder, open_segment, write_table
from hardneg.transforms.inputs.evaluation_sets import Holdout
from hardneg.transforms.output.finished_run import read_shard, shards

_SHARD = re.compile(r"part-(\d+)-of-(\d+)\.parquet")


def numbered(run: str, kind: str) -> dict[int, str]:
    """Return the shards of one of a run's tables by their number.

    Raises:
        HardnegError: a file that no run of ours wrote.
    """
    found = {}
    for path in shards(run, kind):
        match = _SHARD.fullmatch(PurePosixPath(path).name)
        if not match:
            raise HardnegError(f"{path} is no shard of a run of ours: give the --output folder of `hardneg mine`.")
        found[int(match[1])] = path
    return found


def shard_count(run: str) -> int:
    """Return how many shards the tables of a run were cut into."""
    names = [PurePosixPath(path).name for kind in ("queries", "passages") for path in shards(run, kind)]
    return max((int(match[2]) for name in names if (match := _SHARD.fullmatch(name))), default=1)


class ReadStoredRun(beam.PTransform):
    """Read a run back. In: the pipeline. Out: (block, Block), (block, table of its queries), (name, number)."""

    def __init__(self, run: str, work: str, sources: Sequence[Source], block_size: int, holdout: Holdout) -> None:
        super().__init__()
        self._run = run
        self._work = work
        self._sources = list(sources)
        self._block_size = block_size
        self._holdout = holdout

    def expand(self, pipeline: Any) -> tuple[beam.PCollection, beam.PCollection, beam.PCollection]:
        built = (
            pipeline
            | "Passage shards" >> beam.Create(sorted(numbered(self._run, "passages").items()), reshuffle=False)
            | "To segments" >> beam.Map(_build_segment, self._work).with_output_types(int)
        )
        read = (
            pipeline
            | "Query shards" >> beam.Create(sorted(numbered(self._run, "queries").items()), reshuffle=False)
            | "Reshuffle shards" >> beam.Reshuffle()
            | "To blocks"
            >> beam.FlatMap(
                _read_blocks,
                run=self._run,
                work=self._work,
                sources=self._sources,
                block_size=self._block_size,
                holdout=self._holdout,
                built=beam.pvalue.AsList(built),
            ).with_outputs("counts", main="blocks")
        )
        blocks = read.blocks | "As blocks" >> beam.Map(lambda block: block).with_output_types(tuple[int, Block])
        queries = blocks | "Their queries" >> beam.MapTuple(_queries_of).with_output_types(tuple[int, pa.Table])
        return blocks, queries, read.counts


def _queries_of(number: int, block: Block) -> tuple[int, pa.Table]:
    return number, block.queries


def _build_segment(shard: tuple[int, str], work: str) -> int:
    number, path = shard
    table = read_shard(path)
    digests = pa.array([text_digest(text) for text in table["text"].to_pylist()], DIGEST)
    table = table.add_column(2, "text_digest", digests).sort_by("passage_id").combine_chunks()
    write_table(storage.join(folder(work, number), TEXTS), table)
    return number


def _read_blocks(
    shard: tuple[int, str],
    run: str,
    work: str,
    sources: Sequence[Source],
    block_size: int,
    holdout: Holdout,
    built: Sequence[int],
) -> Iterator[Any]:
    number, path = shard
    parts = shard_count(run)
    queries = stored_queries(read_shard(path))
    held_out = holdout.queries(queries["query_id"], queries["text_digest"])
    yield beam.pvalue.TaggedOutput("counts", ("queries_held_out", int(held_out.sum())))
    queries = queries.filter(pa.array(~held_out))
    own = numbered(run, "candidates").get(number)
    candidates = place_candidates(read_shard(own), work, parts, built) if own else None
    blocks = max(1, round(len(queries) / block_size))
    for block, rows in split_by(queries, queries["digest"].to_numpy() // parts % blocks):
        yield number + parts * block, stored_block(rows, candidates, sources)


def stored_queries(table: pa.Table) -> pa.Table:
    """Return a shard of ``queries/`` in the JOINED schema, sorted by id; what was judged stands in ``candidates/``."""
    table = table.sort_by("query_id")
    ids, texts = table["query_id"].to_pylist(), table["text"].to_pylist()
    nothing: list[list[Any]] = [[] for _ in ids]
    columns = [ids, texts, [cut_digest(each) for each in ids], [text_digest(text) for text in texts], *(nothing,) * 3]
    return pa.table([pa.array(column, kind.type) for column, kind in zip(columns, JOINED, strict=True)], schema=JOINED)


def place_candidates(candidates: pa.Table, work: str, parts: int, built: Sequence[int]) -> pa.Table:
    """Add where each candidate's passage lies (segment, row), and the digest of its text."""
    ids = candidates["passage_id"].combine_chunks()
    segments = cut(ids.to_pylist(), parts)
    rows = np.full(len(ids), -1, dtype=np.int64)
    digests = np.full(len(ids), None, dtype=object)
    for number in np.unique(segments).tolist():
        here = np.flatnonzero(segments == number)
        if number not in built:
            continue
        segment = open_segment(work, number)
        rows[here] = segment.find(ids.take(pa.array(here)))
        digests[here] = segment.passages["text_digest"].take(pa.array(np.maximum(rows[here], 0))).to_pylist()
    if (rows < 0).any():
        lost = ids[int(np.flatnonzero(rows < 0)[0])].as_py()
        raise HardnegError(f"passages/ lacks passage {lost!r}, which candidates/ names: the run is damaged.")
    candidates = candidates.append_column("segment", pa.array(segments, pa.int32()))
    candidates = candidates.append_column("row", pa.array(rows, pa.int32()))
    return candidates.append_column("text_digest", pa.array(digests.tolist(), DIGEST))


def stored_block(queries: pa.Table, candidates: pa.Table | None, sources: Sequence[Source]) -> Block:
    """Return some queries of a shard and their candidates, as they were before they were judged.

    Args:
        queries: JOINED schema, sorted by id.
        candidates: the shard's, placed; None: it has none.
        sources: the retrievers.
    """
    if candidates is None:
        raise HardnegError("The run has queries without any candidate: it is damaged.")
    place = {identifier: row for row, identifier in enumerate(queries["query_id"].to_pylist())}
    rows = np.array([place.get(identifier, -1) for identifier in candidates["query_id"].to_pylist()], dtype=np.int32)
    named = {"judge_score", "difficulty", "selected", "sources", "query_id"}
    table = candidates.select([name for name in candidates.column_names if name not in named])
    table = table.add_column(0, "query", pa.array(rows)).filter(pa.array(rows >= 0))
    table = table.sort_by([("query", "ascending"), ("passage_id", "ascending")]).combine_chunks()
    lacking = [source.rank for source in sources if source.rank not in table.column_names]
    if lacking:
        raise HardnegError(f"candidates/ has no column {lacking[0]}: the run is damaged, or not of this version.")
    return Block(queries, table, BLOCK_TEXTS.empty_table())

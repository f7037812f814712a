"""The texts that a block's candidates need: from the segments' files, or from a table that came along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.block import TextsOf
from hardneg.transforms.core.partition import cut, split_by
from hardneg.transforms.core.schemas import BLOCK_TEXTS
from hardneg.transforms.corpus.segments import open_segment


def texts_from_segments(work: str) -> TextsOf:
    """Return a function from (segment numbers, rows) to passage strings that reads the segments' files."""

    def texts_of(segments: np.ndarray, rows: np.ndarray) -> list[str]:
        texts = np.empty(len(rows), dtype=object)
        for number in np.unique(segments):
            here = segments == number
            texts[here] = open_segment(work, int(number)).texts(rows[here])
        return texts.tolist()

    return texts_of


def texts_from_table(table: pa.Table) -> TextsOf:
    """Return the same function over a table of the BLOCK_TEXTS schema that came with the block."""
    keys = zip(table["segment"].to_pylist(), table["row"].to_pylist(), strict=True)
    texts = dict(zip(keys, table["text"].to_pylist(), strict=True))

    def texts_of(segments: np.ndarray, rows: np.ndarray) -> list[str]:
        return [texts[key] for key in zip(segments.tolist(), rows.tolist(), strict=True)]

    return texts_of


def needed_rows(candidates: pa.Table) -> list[tuple[int, pa.Table]]:
    """Return (segment, table with column ``row``): every passage of some candidates once, in order."""
    pairs = candidates.select(["segment", "row"]).group_by(["segment", "row"]).aggregate([])
    pairs = pairs.sort_by([("segment", "ascending"), ("row", "ascending")])
    return [(segment, rows.select(["row"])) for segment, rows in split_by(pairs, pairs["segment"].to_numpy())]


def fetch_texts(work: str, segment: int, rows: pa.Table) -> pa.Table:
    """Return the passages of some rows of a segment, as a table of the BLOCK_TEXTS schema."""
    texts = open_segment(work, segment).texts(rows["row"].to_numpy())
    segments = pa.array(np.full(len(rows), segment), pa.int32())
    return pa.table([segments, rows["row"].combine_chunks(), pa.array(texts, pa.string())], schema=BLOCK_TEXTS)


def read_referred(element: tuple[int, Iterable[pa.Table]], work: str, shards: int) -> Iterator[tuple[int, pa.Table]]:
    """Return a segment's passages that some candidate refers to, each once, as (output shard, table)."""
    segment, requests = element
    rows = np.unique(np.concatenate([table["row"].to_numpy() for table in requests]))
    passages = open_segment(work, segment).passages.take(pa.array(rows)).drop_columns(["text_digest"])
    return iter(split_by(passages, cut(passages["passage_id"].to_pylist(), shards)))

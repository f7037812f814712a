"""What BM25 leaves in a run's work folder: postings and weights of each segment, statistics of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields

import numpy as np

from hardneg.transforms.core import storage
from hardneg.transforms.corpus.segments import Segment, folder
from hardneg.transforms.corpus.working_copies import WorkingCopy
from hardneg.transforms.retrieval.bm25.index import Postings, Statistics, index_passages, merge_statistics
from hardneg.transforms.retrieval.bm25.search import Bm25Engine, Bm25Segment, RankBm25Engine

_STATISTICS = "statistics"
_POSTINGS = "postings"
_WEIGHTED = "weighted"


def write_postings(work: str, name: str, number: int, tokens: Iterable[Sequence[str]]) -> None:
    """Index a segment's passages, given as their terms in the order of its rows, for the retriever ``name``."""
    with storage.publishing(folder(work, number)) as scratch:
        index_passages(tokens).write(scratch / name / _POSTINGS)


def store_statistics(work: str, name: str, numbers: Sequence[int]) -> None:
    """Merge the segments' counts. Only terms and counts are held at once."""
    statistics = merge_statistics(_postings(work, name, number).counts() for number in numbers)
    with storage.publishing(storage.join(work, _STATISTICS, name)) as scratch:
        for field in fields(statistics):
            np.save(scratch / f"{field.name}.npy", getattr(statistics, field.name), allow_pickle=False)


def write_weighted(work: str, name: str, number: int) -> None:
    """Give a segment's postings their weights, from the statistics of all segments."""
    segment = Bm25Segment.from_postings(_postings(work, name, number), _statistics(work, name))
    with storage.publishing(folder(work, number)) as scratch:
        segment.write(scratch / name / _WEIGHTED)


def open_engine(engine: str, name: str, segment: Segment) -> Bm25Engine:
    """Return a segment's BM25 engine: ``numba``, or ``rank-bm25`` for the library itself."""
    if engine == "rank-bm25":
        return RankBm25Engine(_postings(segment.work, name, segment.number), _statistics(segment.work, name))
    return Bm25Segment.open(segment.fresh() / name / _WEIGHTED)


def _postings(work: str, name: str, number: int) -> Postings:
    return Postings.open(WorkingCopy(folder(work, number)).folder / name / _POSTINGS)


def _statistics(work: str, name: str) -> Statistics:
    copy = WorkingCopy(storage.join(work, _STATISTICS, name)).folder
    arrays = {field.name: np.load(copy / f"{field.name}.npy", allow_pickle=False) for field in fields(Statistics)}
    return Statistics(**{name: array if array.ndim else array.item() for name, array in arrays.items()})

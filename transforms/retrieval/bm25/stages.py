"""BM25 over segments: global statistics from all of them, then weights for each, as files."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import apache_beam as beam
import numpy as np

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core import storage
from hardneg.transforms.core.progress import timed
from hardneg.transforms.corpus.segments import Segment, folder, open_segment, working_copy
from hardneg.transforms.retrieval.bm25.search import Bm25Segment, Postings, RankBm25Engine, Statistics, merge_statistics

_WEIGHTED = "bm25"


class WeighSegments(beam.PTransform):
    """Give every segment's postings their weights, from statistics over all segments.

    In: ``SegmentInfo``. Out: segment numbers.
    """

    def __init__(self, work: str) -> None:
        super().__init__()
        self._work = work

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        numbers = segments | beam.Map(lambda info: info.number).with_output_types(int)
        statistics = (
            numbers
            | "Together" >> beam.combiners.ToList()
            | "Statistics" >> beam.Map(_store_statistics, self._work).with_output_types(str)
        )
        return numbers | "Weigh" >> beam.Map(
            _weigh_segment, self._work, beam.pvalue.AsSingleton(statistics)
        ).with_output_types(int)


def _store_statistics(numbers: list[int], work: str) -> str:
    """Merge the segments' counts; return the folder with the result. Only terms and counts are held at once."""
    target = storage.join(work, "statistics")
    with timed(work, "index"):
        statistics = merge_statistics(_postings(work, number).counts() for number in sorted(numbers))
        with storage.publishing(target) as scratch:
            for field in fields(statistics):
                np.save(scratch / f"{field.name}.npy", getattr(statistics, field.name), allow_pickle=False)
    return target


def _postings(work: str, number: int) -> Postings:
    return Postings.open(open_segment(work, number).local)


def _statistics(target: str) -> Statistics:
    copy = working_copy(target)
    arrays = {field.name: np.load(copy / f"{field.name}.npy", allow_pickle=False) for field in fields(Statistics)}
    return Statistics(**{name: array if array.ndim else array.item() for name, array in arrays.items()})


def _weigh_segment(number: int, work: str, target: str) -> int:
    with timed(work, "index"):
        segment = Bm25Segment.from_postings(_postings(work, number), _statistics(target))
        with storage.publishing(folder(work, number)) as scratch:
            segment.write(scratch / _WEIGHTED)
    return number


def open_engine(name: str, work: str, segment: Segment) -> Any:
    """Return a segment's BM25 engine: ``numba``, or ``rank-bm25`` for the library itself."""
    if name == "rank-bm25":
        return RankBm25Engine(Postings.open(segment.local), _statistics(storage.join(work, "statistics")))
    return Bm25Segment.open(segment.local / _WEIGHTED)

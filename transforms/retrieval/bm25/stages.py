"""The stages of BM25: each segment's postings, statistics of the whole corpus, then weights, all as files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core.counters import count
from hardneg.transforms.core.progress import record, timed
from hardneg.transforms.core.tokenization import TokenizerSpec, make_tokenizer
from hardneg.transforms.corpus.ingestion import SegmentInfo
from hardneg.transforms.corpus.segments import open_segment
from hardneg.transforms.retrieval.bm25.stored import store_statistics, write_postings, write_weighted


@dataclass(eq=False)
class IndexSegments(beam.PTransform):
    """Index the passages of built segments: postings, then weights from the statistics over all of them.

    In: ``SegmentInfo``. Out: segment numbers.

    Attributes:
        work: the run's work folder.
        name: the retriever's.
        tokens: what cuts passages, and later queries, into terms.
    """

    work: str
    name: str
    tokens: TokenizerSpec

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        index = _IndexSegment(self.work, self.name, self.tokens)
        numbers = segments | "Postings" >> beam.ParDo(index).with_output_types(int)
        statistics = (
            numbers
            | "Together" >> beam.combiners.ToList()
            | "Statistics" >> beam.Map(_merge_statistics, self.work, self.name).with_output_types(str)
        )
        return numbers | "Weigh" >> beam.Map(
            _weigh_segment, self.work, self.name, beam.pvalue.AsSingleton(statistics)
        ).with_output_types(int)


@dataclass(eq=False)
class _IndexSegment(beam.DoFn):
    work: str
    name: str
    tokens: TokenizerSpec

    def setup(self) -> None:
        self._tokenizer = make_tokenizer(self.tokens)

    def process(self, info: SegmentInfo) -> Iterator[int]:
        with timed(self.work, "index"):
            texts = open_segment(self.work, info.number).passages["text"]
            write_postings(self.work, self.name, info.number, (self._tokenizer(text.as_py()) for text in texts))
        record(self.work, "index", done=info.passages)
        count("passages_indexed", info.passages)
        yield info.number


def _merge_statistics(numbers: list[int], work: str, name: str) -> str:
    with timed(work, "index"):
        store_statistics(work, name, sorted(numbers))
    return name


def _weigh_segment(number: int, work: str, name: str, statistics: str) -> int:
    """Weigh a segment; the side input only says that the statistics are there."""
    with timed(work, "index"):
        write_weighted(work, name, number)
    return number

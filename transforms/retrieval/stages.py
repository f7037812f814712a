"""The stages of retrieval: segments and queries made ready, every segment searched for every block, and the merge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core import storage
from hardneg.transforms.core.block import Block
from hardneg.transforms.core.counters import count
from hardneg.transforms.core.progress import timed
from hardneg.transforms.core.schemas import BLOCK_TEXTS, JOINED
from hardneg.transforms.core.source import Source
from hardneg.transforms.corpus.ingestion import SegmentInfo
from hardneg.transforms.corpus.segments import open_segment
from hardneg.transforms.models.loaded import use_threads
from hardneg.transforms.retrieval.merge import merge_segments
from hardneg.transforms.retrieval.retriever import Retriever, Site
from hardneg.transforms.retrieval.search import search_segment


@dataclass(eq=False)
class FromFiles(beam.PTransform):
    """Read what the user brings. In: the pipeline. Out: what ``reader`` makes of the paths."""

    files: Sequence[str]
    reader: beam.PTransform

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return pipeline | "Paths" >> beam.Create(list(self.files), reshuffle=False) | self.reader


@dataclass(eq=False)
class PrepareSegments(beam.PTransform):
    """Let a retriever index each segment by itself. In: ``SegmentInfo``. Out: segment numbers."""

    retriever: Retriever
    site: Site

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        return segments | beam.ParDo(_PrepareSegment(self.retriever, self.site)).with_output_types(int)


@dataclass(eq=False)
class _PrepareSegment(beam.DoFn):
    retriever: Retriever
    site: Site

    def setup(self) -> None:
        use_threads(self.site.threads)

    def process(self, info: SegmentInfo) -> Iterator[int]:
        with timed(self.site.work, f"index ({self.retriever.name})", done=info.passages):
            target = self.retriever.folder_of(self.site.work, info.number)
            with storage.publishing(target) as scratch:
                self.retriever.index_segment(open_segment(self.site.work, info.number), scratch)
        count("passages_indexed", info.passages)
        yield info.number


@dataclass(eq=False)
class PrepareQueries(beam.PTransform):
    """Let a retriever encode each block's queries. In and out: (block, table)."""

    retriever: Retriever
    site: Site

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        encode = _PrepareQueries(self.retriever, self.site)
        return blocks | beam.ParDo(encode).with_output_types(tuple[int, pa.Table])


@dataclass(eq=False)
class _PrepareQueries(beam.DoFn):
    retriever: Retriever
    site: Site

    def setup(self) -> None:
        use_threads(self.site.threads)

    def process(self, element: tuple[int, pa.Table]) -> Iterator[tuple[int, pa.Table]]:
        number, queries = element
        with timed(self.site.work, f"encode queries ({self.retriever.name})", done=len(queries)):
            encoded = self.retriever.encode_queries(queries["text"].to_pylist())
        yield number, queries.append_column(self.retriever.column, encoded)


@dataclass(eq=False)
class SearchSegments(beam.PTransform):
    """Search every segment for every block of queries.

    In: (block, table of queries). Out: (block, table of candidates), one per segment.

    Attributes:
        retrievers: what searches.
        k: candidates of a query, by each retriever and in each segment.
        site: where the run works.
        segments: side input, the numbers of the segments, once all is there that a search needs.
    """

    retrievers: Sequence[Retriever]
    k: int
    site: Site
    segments: beam.pvalue.AsList

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        search = _SearchSegment(list(self.retrievers), self.k, self.site)
        return (
            blocks
            | beam.FlatMap(_cross, self.segments).with_output_types(tuple[int, int, pa.Table])
            | beam.Reshuffle()
            | beam.ParDo(search).with_output_types(tuple[int, pa.Table])
        )


def _cross(element: tuple[int, pa.Table], segments: Sequence[int]) -> Iterator[tuple[int, int, pa.Table]]:
    number, queries = element
    return ((number, segment, queries) for segment in sorted(segments))


@dataclass(eq=False)
class _SearchSegment(beam.DoFn):
    retrievers: list[Retriever]
    k: int
    site: Site

    def setup(self) -> None:
        use_threads(self.site.threads)

    def process(self, element: tuple[int, int, pa.Table]) -> Iterator[tuple[int, pa.Table]]:
        number, segment, queries = element
        with timed(self.site.work, "search", done=len(queries)):
            found = search_segment(queries, open_segment(self.site.work, segment), self.retrievers, self.k)
        count("queries_searched", len(queries))
        count("pairs_found", len(found))
        yield number, found


@dataclass(eq=False)
class MergeCandidates(beam.PTransform):
    """Bring each block's candidates of all segments together.

    In: {"queries": (block, table), "found": (block, table)}. Out: (block, Block).

    Attributes:
        sources: the retrievers' columns, in the order in which their reciprocal ranks are summed.
        k: ranks kept per source and query.
    """

    sources: Sequence[Source]
    k: int

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection:
        return (
            inputs
            | beam.CoGroupByKey()
            | beam.Map(_merge_block, list(self.sources), self.k).with_output_types(tuple[int, Block])
        )


def _merge_block(
    element: tuple[int, dict[str, Iterable[pa.Table]]], sources: Sequence[Source], k: int
) -> tuple[int, Block]:
    number, groups = element
    (queries,) = groups["queries"]
    candidates = merge_segments(list(groups["found"]), sources, k)
    count("pairs_retrieved", len(candidates))
    # What retrievers added to the queries has done its work; what follows needs none of it.
    return number, Block(queries.select(JOINED.names), candidates, BLOCK_TEXTS.empty_table())

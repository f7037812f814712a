"""The stages that encode: a segment's passages in chunks that outlive a kill, and a block's queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core import storage
from hardneg.transforms.core.arrays import vectors_column
from hardneg.transforms.core.counters import count, counting_milliseconds
from hardneg.transforms.core.progress import record, timed
from hardneg.transforms.corpus.ingestion import SegmentInfo
from hardneg.transforms.corpus.segments import folder, open_segment
from hardneg.transforms.models.loaded import bi_encoder, use_threads
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.retrieval.encode import assemble, store_array, texts_digest
from hardneg.transforms.retrieval.retriever import Site

CHUNK = 1024  # passages that a worker encodes at a time: its loss when it is killed, and its progress


@dataclass(eq=False)
class EncodeSegments(beam.PTransform):
    """Encode the passages of built segments into an array in each segment's folder.

    A plain DoFn instead of RunInference: the unit is a file under its content's address, so that a killed run
    goes on where it was; RunInference's batches are cut by timing. In: ``SegmentInfo``. Out: segment numbers.

    Attributes:
        name: the retriever's.
        array: how the segment's array is called.
        spec: the bi-encoder.
        site: where the run works.
    """

    name: str
    array: str
    spec: ModelSpec
    site: Site

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        return (
            segments
            | beam.FlatMap(chunks).with_output_types(tuple[int, int, int])
            | beam.Reshuffle()
            | beam.ParDo(_EncodeChunk(self.name, self.spec, self.site)).with_output_types(tuple[int, tuple[int, str]])
            | beam.GroupByKey()
            | beam.Map(_assemble, self.site.work, self.array).with_output_types(int)
        )


def chunks(info: SegmentInfo) -> Iterator[tuple[int, int, int]]:
    """Yield (segment, first row, row behind the last) of what is encoded at a time."""
    for start in range(0, info.passages, CHUNK):
        yield info.number, start, min(start + CHUNK, info.passages)


@dataclass(eq=False)
class _EncodeChunk(beam.DoFn):
    name: str
    spec: ModelSpec
    site: Site

    def setup(self) -> None:
        use_threads(self.site.threads)

    def process(self, element: tuple[int, int, int]) -> Iterator[tuple[int, tuple[int, str]]]:
        segment, start, stop = element
        work, stage = self.site.work, f"encode passages ({self.name})"
        with timed(work, stage):
            model = bi_encoder(self.spec)
            texts = open_segment(work, segment).texts(np.arange(start, stop))
            path = storage.join(work, "embeddings", texts_digest(model.fingerprint + "passage", texts) + ".npy")
            if storage.exists(path):
                record(work, stage, done=len(texts))
                count("passages_encoded_before", len(texts))
            else:
                with counting_milliseconds(self.name):
                    values = model.encode(texts, "passage", lambda done: record(work, stage, done=done))
                store_array(path, values)
                count("passages_encoded", len(texts))
        yield segment, (start, path)


def _assemble(element: tuple[int, Iterable[tuple[int, str]]], work: str, array: str) -> int:
    segment, parts = element
    rows = len(open_segment(work, segment))
    with storage.publishing(folder(work, segment)) as scratch:
        assemble(parts, rows, scratch / f"{array}.npy")
    return segment


@dataclass(eq=False)
class EncodeQueries(beam.PTransform):
    """Add a bi-encoder's embeddings to blocks of queries. In and out: (block, table).

    Attributes:
        name: the retriever's.
        column: the block's column with the embeddings.
        spec: the bi-encoder.
        site: where the run works.
    """

    name: str
    column: str
    spec: ModelSpec
    site: Site

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        encode = _EncodeQueries(self.name, self.column, self.spec, self.site)
        return blocks | beam.ParDo(encode).with_output_types(tuple[int, pa.Table])


@dataclass(eq=False)
class _EncodeQueries(beam.DoFn):
    name: str
    column: str
    spec: ModelSpec
    site: Site

    def setup(self) -> None:
        use_threads(self.site.threads)

    def process(self, element: tuple[int, pa.Table]) -> Iterator[tuple[int, pa.Table]]:
        number, queries = element
        with (
            timed(self.site.work, f"encode queries ({self.name})", done=len(queries)),
            counting_milliseconds(self.name),
        ):
            values = bi_encoder(self.spec).encode(queries["text"].to_pylist(), "query")
        count("queries_encoded", len(queries))
        yield number, queries.append_column(self.column, vectors_column(values))

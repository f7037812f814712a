"""The stages that encode: a corpus's passages and a block's queries, each text once and never again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

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
from hardneg.transforms.models.loaded import use_threads
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.retrieval.encode import Piece, Wanted, assemble, passage_keys, write_pieces
from hardneg.transforms.retrieval.retriever import Counted, Site
from hardneg.transforms.retrieval.stored_embeddings import StoredEmbeddings
from hardneg.transforms.store.shelf import Shelf


@dataclass(eq=False)
class EncodeSegments(beam.PTransform):
    """Put the embeddings of built segments' passages into an array in each segment's folder.

    Passages meet the store by range of their keys, so no worker reads more of it than one range; what it does not have
    is encoded in chunks, in any worker. A plain DoFn instead of RunInference: the unit is what the store keeps of a
    killed run; RunInference's batches are cut by timing. In: ``SegmentInfo``. Out: segment numbers, and counts.

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

    def expand(self, segments: beam.PCollection) -> Counted:
        stored, work = StoredEmbeddings(self.site.place, self.spec), self.site.work
        found = (
            segments
            | beam.FlatMap(_keys, work, self.site.segments).with_output_types(tuple[int, pa.Table])
            | "By key" >> beam.GroupByKey()
            | beam.ParDo(_FindEmbeddings(self.name, stored, self.site)).with_outputs("missing", "counts", main="pieces")
        )
        encoded = (
            found.missing
            | beam.Reshuffle()
            | beam.ParDo(_EncodeChunk(self.name, stored, self.site)).with_outputs("counts", main="pieces")
        )
        pieces = [
            each.pieces | f"Pieces {name}" >> beam.Map(lambda piece: piece).with_output_types(tuple[int, Piece])
            for name, each in (("found", found), ("encoded", encoded))
        ]
        done = (
            pieces
            | beam.Flatten()
            | "By segment" >> beam.GroupByKey()
            | beam.Map(_assemble, work, self.array).with_output_types(int)
        )
        return Counted(done, (found.counts, encoded.counts) | "Counts" >> beam.Flatten())


def _keys(info: SegmentInfo, work: str, ranges: int) -> Iterator[tuple[int, pa.Table]]:
    texts = open_segment(work, info.number).passages["text"].to_pylist()
    yield from passage_keys(info.number, texts, ranges)


@dataclass(eq=False)
class _EmbedPassages(beam.DoFn):
    name: str
    stored: StoredEmbeddings
    site: Site

    def setup(self) -> None:
        use_threads(self.site.threads)

    @property
    def stage(self) -> str:
        return f"encode passages ({self.name})"

    @property
    def folder(self) -> str:
        return storage.join(self.site.work, "embeddings", self.name)


class _FindEmbeddings(_EmbedPassages):
    def process(self, element: tuple[int, Iterable[pa.Table]]) -> Iterator[Any]:
        wanted = Wanted.of(element[1])
        with timed(self.site.work, self.stage):
            shelf = self.stored.shelf()
            hits = shelf.find(wanted.keys)
            shelf.use(wanted.keys)
            known = int(hits.known.sum())
            record(self.site.work, self.stage, done=known)
            yield from write_pieces(self.folder, wanted.take(hits.known), hits.values[hits.known])
        yield from _counts(shelf, passages_encoded_before=known)
        for chunk in wanted.take(~hits.known).chunks():
            yield beam.pvalue.TaggedOutput("missing", chunk.table())


class _EncodeChunk(_EmbedPassages):
    def process(self, table: pa.Table) -> Iterator[Any]:
        work, wanted = self.site.work, Wanted.of([table])
        keys, first, back = np.unique(wanted.keys, return_index=True, return_inverse=True)
        with timed(work, self.stage):
            shelf = self.stored.shelf()
            # A retry, or another run on the same store, may have stored some of them meanwhile.
            hits = shelf.find(keys)
            new = np.flatnonzero(~hits.known)
            texts = _texts(work, wanted.take(first[new]))
            with counting_milliseconds(self.name):
                values = self.stored.compute(
                    shelf, keys[new], texts, "passage", lambda done: record(work, self.stage, done=done)
                )
            if len(new):
                hits.values[new] = values
            # Passages of one text are encoded once.
            record(work, self.stage, done=len(wanted.keys) - len(new))
            yield from write_pieces(self.folder, wanted, hits.values[back])
        yield from _counts(shelf, passages_encoded=len(new), passages_encoded_before=len(wanted.keys) - len(new))


def _counts(shelf: Shelf, **counts: int) -> Iterator[beam.pvalue.TaggedOutput]:
    for name, number in {**counts, "store_files_damaged": shelf.damaged}.items():
        count(name, number)
        yield beam.pvalue.TaggedOutput("counts", (name, number))


def _texts(work: str, wanted: Wanted) -> list[str]:
    """Return the texts of passages, segment by segment."""
    texts: list[str] = [""] * len(wanted.rows)
    for segment in np.unique(wanted.segments):
        places = np.flatnonzero(wanted.segments == segment)
        for place, text in zip(places, open_segment(work, int(segment)).texts(wanted.rows[places]), strict=True):
            texts[place] = text
    return texts


def _assemble(element: tuple[int, Iterable[Piece]], work: str, array: str) -> int:
    segment, pieces = element
    rows = len(open_segment(work, segment))
    with storage.publishing(folder(work, segment)) as scratch:
        assemble(pieces, rows, scratch / f"{array}.npy")
    return segment


@dataclass(eq=False)
class EncodeQueries(beam.PTransform):
    """Add a bi-encoder's embeddings to blocks of queries. In: (block, table). Out: the same, and counts.

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

    def expand(self, blocks: beam.PCollection) -> Counted:
        encode = _EncodeQueries(self.name, self.column, StoredEmbeddings(self.site.place, self.spec), self.site)
        encoded = blocks | beam.ParDo(encode).with_outputs("counts", main="blocks")
        typed = encoded.blocks | "Blocks" >> beam.Map(lambda block: block).with_output_types(tuple[int, pa.Table])
        return Counted(typed, encoded.counts)


@dataclass(eq=False)
class _EncodeQueries(beam.DoFn):
    name: str
    column: str
    stored: StoredEmbeddings
    site: Site

    def setup(self) -> None:
        use_threads(self.site.threads)

    def process(self, element: tuple[int, pa.Table]) -> Iterator[Any]:
        number, queries = element
        texts = queries["text"].to_pylist()
        with (
            timed(self.site.work, f"encode queries ({self.name})", done=len(queries)),
            counting_milliseconds(self.name),
        ):
            values, computed, shelf = self.stored.encode(texts, "query")
        yield from _counts(shelf, queries_encoded=computed, queries_encoded_before=len(texts) - computed)
        yield number, queries.append_column(self.column, vectors_column(values))

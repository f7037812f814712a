"""The stages of vectors that the user brings: read, tied to passages and queries, checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core import storage
from hardneg.transforms.core.partition import cut, split_by
from hardneg.transforms.corpus.segments import folder, open_segment
from hardneg.transforms.inputs.vectors import read_vectors
from hardneg.transforms.retrieval.placed_vectors import place_vectors, require_vectors
from hardneg.transforms.retrieval.retriever import Site
from hardneg.transforms.retrieval.stages import FromFiles


@dataclass(eq=False)
class ReadVectors(beam.PTransform):
    """Read the user's own vectors (Parquet: id, list of floats). In: paths. Out: (slice of the id, table).

    Attributes:
        id_name: how the column of ids is called in the tables.
        vector_name: how that of vectors is.
        slices: of the ids.
    """

    id_name: str
    vector_name: str
    slices: int

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        return paths | beam.FlatMap(_read_slices, self.id_name, self.vector_name, self.slices).with_output_types(
            tuple[int, pa.Table]
        )


def _read_slices(path: str, id_name: str, vector_name: str, slices: int) -> Iterator[tuple[int, pa.Table]]:
    for table in read_vectors(path, id_name, vector_name):
        yield from split_by(table, cut(table[id_name].to_pylist(), slices))


@dataclass(eq=False)
class RequireVectors(beam.PTransform):
    """Fail where a query of a block has no vector of the user's. In and out: (block, table).

    Attributes:
        name: the retriever's.
        column: the block's column with the vectors.
    """

    name: str
    column: str

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        return blocks | beam.Map(_required, self.name, self.column).with_output_types(tuple[int, pa.Table])


def _required(element: tuple[int, pa.Table], name: str, column: str) -> tuple[int, pa.Table]:
    require_vectors(element[1], name, column)
    return element


@dataclass(eq=False)
class PlaceVectors(beam.PTransform):
    """Put the user's passage vectors into the segments' folders. In: ``SegmentInfo``. Out: segment numbers.

    Attributes:
        name: the retriever's.
        array: how the segment's array is called.
        files: Parquet, each with ids and vectors.
        site: where the run works.
    """

    name: str
    array: str
    files: Sequence[str]
    site: Site

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        vectors = segments.pipeline | FromFiles(self.files, ReadVectors("passage_id", "vector", self.site.segments))
        sizes = segments | beam.Map(lambda info: (info.number, info.passages)).with_output_types(tuple[int, int])
        return (
            {"vectors": vectors, "segments": sizes}
            | beam.CoGroupByKey()
            | beam.FlatMap(_place, self.site.work, self.name, self.array).with_output_types(int)
        )


def _place(element: tuple[int, dict[str, Iterable]], work: str, name: str, array: str) -> Iterator[int]:
    number, groups = element
    if not list(groups["segments"]):
        return
    placed = place_vectors(open_segment(work, number).passages["passage_id"], groups["vectors"], name)
    with storage.publishing(folder(work, number)) as scratch:
        np.save(scratch / f"{array}.npy", placed)
    yield number

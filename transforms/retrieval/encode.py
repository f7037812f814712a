"""Embeddings of segments and blocks: encoded here, or brought by the user."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.errors import HardnegError
from hardneg.transforms.core import storage
from hardneg.transforms.core.arrays import vectors_column
from hardneg.transforms.core.partition import cut, split_by
from hardneg.transforms.core.progress import record, timed
from hardneg.transforms.core.source import Source
from hardneg.transforms.corpus.ingestion import SegmentInfo
from hardneg.transforms.corpus.segments import folder, open_segment
from hardneg.transforms.inputs.vectors import read_vectors
from hardneg.transforms.models.loaded import bi_encoder, use_threads
from hardneg.transforms.models.spec import ModelSpec

CHUNK = 1024  # passages that a worker encodes at a time: its loss when it is killed, and its progress


def texts_digest(fingerprint: str, *texts: Sequence[str]) -> str:
    """Return the address of what a model computes from lists of texts of equal length."""
    digest = hashlib.sha256(fingerprint.encode())
    for group in texts:
        for text in group:
            data = text.encode()
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
    return digest.hexdigest()


def stored_array(path: str) -> np.ndarray | None:
    """Return an array that a former run left under its content's address, or None."""
    if not storage.exists(path):
        return None
    return np.load(io.BytesIO(storage.read_file(path)), allow_pickle=False)


def store_array(path: str, values: np.ndarray) -> None:
    storage.write_file(path, lambda sink: np.save(sink, values, allow_pickle=False))


class EncodeSegments(beam.PTransform):
    """Encode the passages of built segments: ``embedding_NAME.npy`` in each segment's folder.

    A plain DoFn instead of RunInference: the unit is a file under its content's address, so that a killed run
    goes on where it was; RunInference's batches are cut by timing. In: ``SegmentInfo``. Out: segment numbers.
    """

    def __init__(self, work: str, source: Source, spec: ModelSpec, threads: int | None) -> None:
        super().__init__()
        self._encode = _EncodeChunk(work, spec, source.name, threads)
        self._assemble = _Assemble(work, source.embedding)

    def expand(self, segments: beam.PCollection) -> beam.PCollection:
        return (
            segments
            | beam.FlatMap(_chunks).with_output_types(tuple[int, int, int])
            | beam.Reshuffle()
            | beam.ParDo(self._encode)
            | beam.GroupByKey()
            | beam.ParDo(self._assemble)
        )


def _chunks(info: SegmentInfo) -> Iterator[tuple[int, int, int]]:
    for start in range(0, info.passages, CHUNK):
        yield info.number, start, min(start + CHUNK, info.passages)


class _EncodeChunk(beam.DoFn):
    def __init__(self, work: str, spec: ModelSpec, name: str, threads: int | None) -> None:
        self._work = work
        self._spec = spec
        self._stage = f"encode passages ({name})"
        self._threads = threads

    def setup(self) -> None:
        use_threads(self._threads)

    def process(self, element: tuple[int, int, int]) -> Iterator[tuple[int, tuple[int, str]]]:
        segment, start, stop = element
        with timed(self._work, self._stage):
            model = bi_encoder(self._spec)
            texts = open_segment(self._work, segment).texts(np.arange(start, stop))
            path = storage.join(self._work, "embeddings", texts_digest(model.fingerprint + "passage", texts) + ".npy")
            if storage.exists(path):
                record(self._work, self._stage, done=len(texts))
            else:
                values = model.encode(texts, "passage", lambda done: record(self._work, self._stage, done=done))
                store_array(path, values)
        yield segment, (start, path)


class _Assemble(beam.DoFn):
    def __init__(self, work: str, name: str) -> None:
        self._work = work
        self._name = name

    def process(self, element: tuple[int, Iterable[tuple[int, str]]]) -> Iterator[int]:
        segment, chunks = element
        rows = len(open_segment(self._work, segment))
        with storage.publishing(folder(self._work, segment)) as scratch:
            whole: np.ndarray | None = None
            for start, path in sorted(chunks):
                values = stored_array(path)
                if values is None:
                    raise HardnegError(f"{path} vanished while the run was using it; start the run again.")
                if whole is None:
                    whole = np.lib.format.open_memmap(
                        scratch / f"{self._name}.npy", "w+", np.float32, (rows, values.shape[1])
                    )
                whole[start : start + len(values)] = values
            if isinstance(whole, np.memmap):
                whole.flush()
        yield segment


class EncodeQueries(beam.PTransform):
    """Add a bi-encoder's embeddings to blocks of queries. In and out: (block, table)."""

    def __init__(self, work: str, source: Source, spec: ModelSpec, threads: int | None) -> None:
        super().__init__()
        self._do = _EncodeQueries(work, source, spec, threads)

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        return blocks | beam.ParDo(self._do).with_output_types(tuple[int, pa.Table])


class _EncodeQueries(beam.DoFn):
    def __init__(self, work: str, source: Source, spec: ModelSpec, threads: int | None) -> None:
        self._work = work
        self._source = source
        self._spec = spec
        self._threads = threads

    def setup(self) -> None:
        use_threads(self._threads)

    def process(self, element: tuple[int, pa.Table]) -> Iterator[tuple[int, pa.Table]]:
        number, queries = element
        with timed(self._work, f"encode queries ({self._source.name})", done=len(queries)):
            values = bi_encoder(self._spec).encode(queries["text"].to_pylist(), "query")
        yield number, queries.append_column(self._source.embedding, vectors_column(values))


class RequireVectors(beam.PTransform):
    """Fail where a query of a block has no vector of the user's. In and out: (block, table)."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        return blocks | beam.Map(_require_vectors, self._source).with_output_types(tuple[int, pa.Table])


def _require_vectors(element: tuple[int, pa.Table], source: Source) -> tuple[int, pa.Table]:
    _, queries = element
    vectors = queries[source.embedding]
    missing = queries.filter(vectors.is_null())
    if len(missing):
        raise HardnegError(
            f"--query-embeddings {source.name}: the query {missing['query_id'][0].as_py()!r} has no vector; add it to "
            f"the files, or encode queries with --bi-encoder {source.name}=MODEL."
        )
    lengths = sorted(set(pc.list_value_length(vectors).to_pylist()))
    if len(lengths) > 1:
        raise HardnegError(
            f"--query-embeddings {source.name}: vectors have {lengths[0]} and {lengths[1]} dimensions; give those of "
            "one model."
        )
    return element


class ReadVectors(beam.PTransform):
    """Read the user's own vectors (Parquet: id, list of floats). In: paths. Out: (slice of the id, table)."""

    def __init__(self, id_name: str, vector_name: str, slices: int) -> None:
        super().__init__()
        self._names = (id_name, vector_name)
        self._slices = slices

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        return paths | beam.FlatMap(_slices_of_vectors, *self._names, self._slices).with_output_types(
            tuple[int, pa.Table]
        )


def _slices_of_vectors(path: str, id_name: str, vector_name: str, slices: int) -> Iterator[tuple[int, pa.Table]]:
    for table in read_vectors(path, id_name, vector_name):
        yield from split_by(table, cut(table[id_name].to_pylist(), slices))


class StoreVectors(beam.PTransform):
    """Put the user's passage vectors into the segments' folders.

    In: {"vectors": (segment, table), "segments": (segment, passages)}. Out: segment numbers.
    """

    def __init__(self, work: str, source: Source) -> None:
        super().__init__()
        self._do = _StoreVectors(work, source)

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection:
        return inputs | beam.CoGroupByKey() | beam.ParDo(self._do)


class _StoreVectors(beam.DoFn):
    def __init__(self, work: str, source: Source) -> None:
        self._work = work
        self._source = source

    def process(self, element: tuple[int, dict[str, Iterable]]) -> Iterator[int]:
        segment, groups = element
        if not list(groups["segments"]):
            return
        opened = open_segment(self._work, segment)
        filled = np.zeros(len(opened), dtype=bool)
        with storage.publishing(folder(self._work, segment)) as scratch:
            whole: np.ndarray | None = None
            for table in groups["vectors"]:
                rows = opened.find(table["passage_id"].combine_chunks())
                vectors = table["vector"].combine_chunks()
                values = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
                if whole is None:
                    whole = np.zeros((len(opened), values.shape[1]), dtype=np.float32)
                if values.shape[1] != whole.shape[1]:
                    raise HardnegError(
                        f"--embeddings {self._source.name}: vectors have {values.shape[1]} and {whole.shape[1]} "
                        "dimensions; give those of one model."
                    )
                known = rows[rows >= 0]
                if filled[known].any() or len(np.unique(known)) < len(known):
                    raise HardnegError(
                        f"--embeddings {self._source.name}: a passage has two vectors in its files; give each one."
                    )
                whole[known] = values[rows >= 0]
                filled[known] = True
            if whole is None or not filled.all():
                missing = opened.passages["passage_id"][int(np.argmin(filled))].as_py()
                raise HardnegError(
                    f"--embeddings {self._source.name}: {int((~filled).sum()):,} passages have no vector, {missing!r} "
                    "among them; add them to the files, or encode with --bi-encoder."
                )
            np.save(scratch / f"{self._source.embedding}.npy", whole)
        yield segment

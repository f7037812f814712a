"""Stages of reading: every input file once, its passages into segments, its judgements to their passages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.errors import InputError
from hardneg.transforms.core import storage
from hardneg.transforms.core.counters import count
from hardneg.transforms.core.partition import cut, split_by
from hardneg.transforms.core.progress import record, timed
from hardneg.transforms.core.shared_work import require_copy, shared_work
from hardneg.transforms.corpus.ingestion import (
    UNKNOWN_PASSAGE,
    SegmentInfo,
    complaint,
    read_stream,
    rejected_note,
    rejections,
    write_rejected,
)
from hardneg.transforms.corpus.segments import TEXTS, folder, merge_passages, open_segment, write_table
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.rows import read_rows


@dataclass(eq=False)
class ReadInputs(beam.PTransform):
    """Read every input file: queries and judgements as keyed tables, passages into files by segment.

    In: ``InputFile``. Output tags: ``parts`` (segment, path of an Arrow file), ``queries`` (bucket of the query id,
    table), ``qrels`` (segment of the passage id, table), ``rejected`` (file, table), ``counts`` (file, rows).

    Attributes:
        work: the run's work folder.
        segments: slices of the passage ids.
        buckets: slices of the query ids.
    """

    work: str
    segments: int
    buckets: int

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, files: beam.PCollection) -> Any:
        read = beam.ParDo(_ReadFile(self.work, self.segments, self.buckets))
        return files | beam.Reshuffle() | read.with_outputs("parts", "queries", "qrels", "rejected", "counts")


@dataclass(eq=False)
class _ReadFile(beam.DoFn):
    work: str
    segments: int
    buckets: int

    def process(self, file: InputFile) -> Iterator[Any]:
        if file.copy:
            require_copy(self.work, file.copy)
        with timed(self.work, "read"):
            parts = storage.join(self.work, "parts", f"{file.index:05d}")
            writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
            with storage.publishing(parts) as scratch, ExitStack() as stack:
                for kind, table in read_rows(file):
                    if kind == "passages":
                        keys = cut(table["passage_id"].to_pylist(), self.segments)
                        for segment, rows in split_by(table, keys):
                            if segment not in writers:
                                path = str(scratch / f"{segment:05d}.arrow")
                                writers[segment] = stack.enter_context(pa.ipc.new_stream(path, table.schema))
                            writers[segment].write_table(rows)
                    else:
                        yield from self._tables(kind, table)
            for segment in writers:
                path = storage.join(parts, f"{segment:05d}.arrow")
                yield beam.pvalue.TaggedOutput("parts", (segment, path))

    def _tables(self, kind: str, table: pa.Table) -> Iterator[Any]:
        """Yield what does not go into a segment, tagged."""
        if kind == "queries":
            yield from _tagged("queries", split_by(table, cut(table["query_id"].to_pylist(), self.buckets)))
        elif kind == "qrels":
            yield from _tagged("qrels", split_by(table, cut(table["passage_id"].to_pylist(), self.segments)))
        elif kind == "rejected":
            yield from _tagged("rejected", split_by(table, table["file"].to_numpy()))
        else:
            files, rows = table["file"].to_pylist(), table["rows"].to_pylist()
            yield from _tagged("counts", zip(files, rows, strict=True))
            record(self.work, "read", done=sum(rows))
            count("rows_read", sum(rows))


def _tagged(tag: str, elements: Iterable[Any]) -> Iterator[beam.pvalue.TaggedOutput]:
    return (beam.pvalue.TaggedOutput(tag, element) for element in elements)


@dataclass(eq=False)
class BuildSegments(beam.PTransform):
    """Bring each segment's parts together, as a file of texts. In: (segment, path). Out: ``SegmentInfo``.

    Attributes:
        work: the run's work folder.
        file_names: the input files by index, for errors.
    """

    work: str
    file_names: Sequence[str]

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        return (
            parts
            | beam.GroupByKey()
            | beam.Map(_build_segment, self.work, list(self.file_names)).with_output_types(SegmentInfo)
        )


def _build_segment(element: tuple[int, Iterable[str]], work: str, file_names: Sequence[str]) -> SegmentInfo:
    segment, paths = element
    with timed(work, "index"), shared_work(work):
        merged = merge_passages([read_stream(path) for path in sorted(paths)], file_names)
        write_table(storage.join(folder(work, segment), TEXTS), merged.passages)
    count("passages", len(merged.passages))
    return SegmentInfo(segment, len(merged.passages), merged.repeated)


@dataclass(eq=False)
class ResolveQrels(beam.PTransform):
    """Sort judgements by whether their passage exists.

    In: {"qrels": (segment, table), "segments": ``SegmentInfo``}. Output tags: ``qrels`` (bucket of the query id,
    table), ``rejected`` (file, table).

    Attributes:
        work: the run's work folder.
        buckets: slices of the query ids.
    """

    work: str
    buckets: int

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, inputs: dict[str, beam.PCollection]) -> Any:
        built = inputs["segments"] | "KeyBySegment" >> beam.Map(_segment_key).with_output_types(tuple[int, int])
        return (
            {"qrels": inputs["qrels"], "built": built}
            | beam.CoGroupByKey()
            | beam.FlatMap(_resolve_qrels, self.work, self.buckets).with_outputs("qrels", "rejected")
        )


def _segment_key(info: SegmentInfo) -> tuple[int, int]:
    return info.number, info.passages


def _resolve_qrels(
    element: tuple[int, dict[str, Iterable[Any]]], work: str, buckets: int
) -> Iterator[beam.pvalue.TaggedOutput]:
    segment, groups = element
    tables = list(groups["qrels"])
    if not tables:
        return
    qrels = pa.concat_tables(tables).combine_chunks()
    known = np.zeros(len(qrels), dtype=bool)
    if list(groups["built"]):
        known = open_segment(work, segment).find(qrels["passage_id"].combine_chunks()) >= 0
    good = qrels.filter(pa.array(known))
    yield from _tagged("qrels", split_by(good, cut(good["query_id"].to_pylist(), buckets)))
    yield from _tagged("rejected", rejections(qrels.filter(pa.array(~known)), UNKNOWN_PASSAGE))


@dataclass(eq=False)
class CheckRejected(beam.PTransform):
    """Write what was rejected, and fail the run where too much of a file was.

    In: {"rejected": (file, table), "counts": (file, rows)}. Out: (file, rows rejected, a sentence about them or
    nothing), once per file.

    Attributes:
        result: the folder of the output's tables.
        files: the inputs, in the order of their indexes.
        max_rejected: the share of a file's rows that may be broken.
    """

    result: str
    files: Sequence[InputFile]
    max_rejected: float

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection:
        names = [file.path for file in self.files]
        return (
            inputs
            | beam.CoGroupByKey()
            | beam.Map(_check_rejected, self.result, names, self.max_rejected).with_output_types(tuple[int, int, str])
        )


def _check_rejected(
    element: tuple[int, dict[str, Iterable[Any]]], result: str, names: Sequence[str], limit: float
) -> tuple[int, int, str]:
    number, groups = element
    rows, note = sum(groups["counts"]), ""
    tables = list(groups["rejected"])
    rejected = sum(len(table) for table in tables)
    count("rows_rejected", rejected)
    if rejected:
        table = pa.concat_tables(tables).sort_by([("line", "ascending"), ("reason", "ascending")])
        listed = write_rejected(result, number, names[number], table)
        if said := complaint(names[number], table, rows, limit, listed):
            raise InputError(said, path=names[number])
        note = rejected_note(names[number], table, rows)
    return number, rejected, note

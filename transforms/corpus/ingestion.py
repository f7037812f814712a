"""From input files to built segments, joined judgements and a verdict on the input itself.

Texts of passages are written to segment files while they are read; they never enter a PCollection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.errors import HardnegError
from hardneg.transforms.core import storage
from hardneg.transforms.core.partition import cut, split_by
from hardneg.transforms.core.progress import record, timed
from hardneg.transforms.core.schemas import REJECTED
from hardneg.transforms.core.text import cut_digest
from hardneg.transforms.core.tokenization import TokenizerSpec, make_tokenizer
from hardneg.transforms.corpus.segments import TEXTS, folder, merge_passages, open_segment, write_table
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.rows import read_rows
from hardneg.transforms.retrieval.bm25.index import index_passages

SAMPLE = 1000  # passages on which the models' tokenizers are tried

UNKNOWN_PASSAGE = "unknown passage id"
UNKNOWN_QUERY = "unknown query id"


class ReadInputs(beam.PTransform):
    """Read every input file: queries and judgements as keyed tables, passages into files by segment.

    Output tags: ``parts`` (segment, path of an Arrow file), ``queries`` (bucket of the query id, table),
    ``qrels`` (segment of the passage id, table), ``rejected`` (file, table), ``counts`` (file, rows).
    """

    TAGS = ("parts", "queries", "qrels", "rejected", "counts")

    def __init__(self, work: str, segments: int, buckets: int) -> None:
        super().__init__()
        self._do = _ReadFile(work, segments, buckets)

    def expand(self, files: beam.PCollection) -> Any:
        return files | beam.Reshuffle() | beam.ParDo(self._do).with_outputs(*self.TAGS)


class _ReadFile(beam.DoFn):
    def __init__(self, work: str, segments: int, buckets: int) -> None:
        self._work = work
        self._segments = segments
        self._buckets = buckets

    def process(self, file: InputFile) -> Iterator[Any]:
        with timed(self._work, "read"):
            parts = storage.join(self._work, "parts", f"{file.index:05d}")
            writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
            with storage.publishing(parts) as scratch, ExitStack() as stack:
                for kind, table in read_rows(file):
                    if kind == "passages":
                        keys = cut(table["passage_id"].to_pylist(), self._segments)
                        for segment, rows in split_by(table, keys):
                            if segment not in writers:
                                path = str(scratch / f"{segment:05d}.arrow")
                                writers[segment] = stack.enter_context(pa.ipc.new_stream(path, table.schema))
                            writers[segment].write_table(rows)
                    elif kind == "queries":
                        keys = cut(table["query_id"].to_pylist(), self._buckets)
                        yield from _tagged("queries", split_by(table, keys))
                    elif kind == "qrels":
                        keys = cut(table["passage_id"].to_pylist(), self._segments)
                        yield from _tagged("qrels", split_by(table, keys))
                    elif kind == "rejected":
                        yield from _tagged("rejected", split_by(table, table["file"].to_numpy()))
                    else:
                        rows = zip(table["file"].to_pylist(), table["rows"].to_pylist(), strict=True)
                        yield from _tagged("counts", rows)
                        record(self._work, "read", done=sum(table["rows"].to_pylist()))
            for segment in writers:
                path = storage.join(parts, f"{segment:05d}.arrow")
                yield beam.pvalue.TaggedOutput("parts", (segment, path))


def _tagged(tag: str, elements: Iterable[Any]) -> Iterator[beam.pvalue.TaggedOutput]:
    return (beam.pvalue.TaggedOutput(tag, element) for element in elements)


@dataclass(frozen=True)
class SegmentInfo:
    """A segment that was built."""

    number: int
    passages: int
    repeated: int


class BuildSegments(beam.PTransform):
    """Bring each segment's parts together: texts and unweighted postings, as files.

    In: (segment, path). Out: ``SegmentInfo``.
    """

    def __init__(self, work: str, file_names: Sequence[str], tokenizer: TokenizerSpec) -> None:
        super().__init__()
        self._do = _BuildSegment(work, file_names, tokenizer)

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        return parts | beam.GroupByKey() | beam.ParDo(self._do)


class _BuildSegment(beam.DoFn):
    def __init__(self, work: str, file_names: Sequence[str], tokenizer: TokenizerSpec) -> None:
        self._work = work
        self._file_names = list(file_names)
        self._spec = tokenizer

    def setup(self) -> None:
        self._tokenizer = make_tokenizer(self._spec)

    def process(self, element: tuple[int, Iterable[str]]) -> Iterator[SegmentInfo]:
        segment, paths = element
        target = folder(self._work, segment)
        with timed(self._work, "index"):
            merged = merge_passages([_read_stream(path) for path in sorted(paths)], self._file_names)
            write_table(storage.join(target, TEXTS), merged.passages)
            texts = merged.passages["text"]
            with storage.publishing(target) as scratch:
                index_passages(self._tokenizer(text.as_py()) for text in texts).write(scratch)
        record(self._work, "index", done=len(merged.passages))
        yield SegmentInfo(segment, len(merged.passages), merged.repeated)


def _read_stream(path: str) -> pa.Table:
    with pa.ipc.open_stream(pa.py_buffer(storage.read_file(path))) as reader:
        return reader.read_all()


class ResolveQrels(beam.PTransform):
    """Sort judgements by whether their passage exists.

    In: {"qrels": (segment, table), "segments": SegmentInfo}. Output tags: ``qrels`` (bucket of the query
    id, table), ``rejected`` (file, table).
    """

    def __init__(self, work: str, buckets: int) -> None:
        super().__init__()
        self._do = _ResolveQrels(work, buckets)

    def expand(self, inputs: dict[str, beam.PCollection]) -> Any:
        built = inputs["segments"] | "KeyBySegment" >> beam.Map(_segment_key).with_output_types(tuple[int, int])
        return (
            {"qrels": inputs["qrels"], "built": built}
            | beam.CoGroupByKey()
            | beam.ParDo(self._do).with_outputs("qrels", "rejected")
        )


def _segment_key(info: SegmentInfo) -> tuple[int, int]:
    return info.number, info.passages


class _ResolveQrels(beam.DoFn):
    def __init__(self, work: str, buckets: int) -> None:
        self._work = work
        self._buckets = buckets

    def process(self, element: tuple[int, dict[str, Iterable[Any]]]) -> Iterator[beam.pvalue.TaggedOutput]:
        segment, groups = element
        tables = list(groups["qrels"])
        if not tables:
            return
        qrels = pa.concat_tables(tables).combine_chunks()
        known = np.zeros(len(qrels), dtype=bool)
        if list(groups["built"]):
            known = open_segment(self._work, segment).find(qrels["passage_id"].combine_chunks()) >= 0
        good = qrels.filter(pa.array(known))
        yield from _tagged("qrels", split_by(good, cut(good["query_id"].to_pylist(), self._buckets)))
        yield from _tagged("rejected", rejections(qrels.filter(pa.array(~known)), UNKNOWN_PASSAGE))


def rejections(rows: pa.Table, reason: str) -> Iterator[tuple[int, pa.Table]]:
    """Yield (file, REJECTED table) for rows that carry their file and line."""
    reasons = pa.array([reason] * len(rows), pa.string())
    table = pa.table([rows["file"], rows["line"], reasons], schema=REJECTED)
    return iter(split_by(table, table["file"].to_numpy()))


class CheckRejected(beam.PTransform):
    """Write what was rejected, and fail the run where too much of a file was.

    In: {"rejected": (file, table), "counts": (file, rows)}. Out: (file, rows rejected), once per file.
    """

    def __init__(self, result: str, files: Sequence[InputFile], max_rejected: float) -> None:
        super().__init__()
        self._do = _CheckRejected(result, files, max_rejected)

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection:
        return inputs | beam.CoGroupByKey() | beam.ParDo(self._do)


class _CheckRejected(beam.DoFn):
    def __init__(self, result: str, files: Sequence[InputFile], max_rejected: float) -> None:
        self._result = result
        self._names = [file.path for file in files]
        self._limit = max_rejected

    def process(self, element: tuple[int, dict[str, Iterable[Any]]]) -> Iterator[tuple[int, int]]:
        number, groups = element
        rows = sum(groups["counts"])
        tables = list(groups["rejected"])
        rejected = sum(len(table) for table in tables)
        if rejected:
            table = pa.concat_tables(tables).sort_by([("line", "ascending"), ("reason", "ascending")])
            self._write(number, table)
            if rejected > self._limit * rows:
                raise HardnegError(self._complaint(number, table, rows))
        yield number, rejected

    def _write(self, number: int, table: pa.Table) -> None:
        lines = [
            json.dumps(
                {"file": self._names[number], "line": row["line"], "reason": row["reason"]},
                ensure_ascii=False,
            )
            for row in table.select(["line", "reason"]).to_pylist()
        ]
        data = "".join(line + "\n" for line in lines).encode()
        path = storage.join(self._result, "rejected", f"file-{number:05d}.jsonl")
        storage.write_file(path, lambda sink: sink.write(data))

    def _complaint(self, number: int, table: pa.Table, rows: int) -> str:
        reasons = table["reason"].value_counts().to_pylist()
        counted = ", ".join(
            f"{entry['counts']:,} {entry['values']}"
            for entry in sorted(reasons, key=lambda e: (-e["counts"], e["values"]))
        )
        return (
            f"{self._names[number]}: {len(table):,} of {rows:,} rows were rejected ({counted}; the first in line "
            f"{table['line'][0].as_py()}), more than --max-rejected {self._limit:g} allows; mend the file, or raise "
            f"the limit. Every rejected row is listed in {storage.join(self._result, 'rejected')}."
        )


def sample_passages(work: str, segment: int) -> list[tuple[int, str]]:
    """Return a segment's passages of the smallest digests, at most SAMPLE, as (digest, text)."""
    opened = open_segment(work, segment)
    digests = np.array([cut_digest(identifier) for identifier in opened.passages["passage_id"].to_pylist()])
    rows = np.sort(np.argsort(digests, kind="stable")[:SAMPLE])
    return list(zip(digests[rows].tolist(), opened.texts(rows), strict=True))

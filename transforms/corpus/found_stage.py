"""Stages that find how much of what a user brings is in the input, and stop a run where nothing of it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core.partition import cut, split_by
from hardneg.transforms.corpus.found import (
    held_out_note,
    held_out_passages,
    held_out_queries,
    joined,
    joined_run,
    known_passages,
    known_queries,
    run_note,
)
from hardneg.transforms.corpus.ingestion import SegmentInfo
from hardneg.transforms.corpus.segments import open_segment
from hardneg.transforms.inputs.evaluation_sets import Holdout


@dataclass(eq=False)
class FindHeldOut(beam.PTransform):
    """Find evaluation sets in the input.

    In: {"queries": (bucket, table), "segments": ``SegmentInfo``}. Out: one sentence.

    Attributes:
        work: the run's work folder.
        holdout: the evaluation sets.
        after: what is told first, if it is wrong.
    """

    work: str
    holdout: Holdout
    after: beam.pvalue.AsList

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection:
        queries = inputs["queries"] | "Of queries" >> beam.Map(_of_queries, self.holdout)
        passages = inputs["segments"] | "Of passages" >> beam.Map(_of_passages, self.work, self.holdout)
        return (
            (queries, passages)
            | "Parts" >> beam.Flatten()
            | beam.CombineGlobally(joined)
            | "Say" >> beam.Map(_say_held_out, self.holdout, self.after).with_output_types(str)
        )


def _of_queries(element: tuple[int, pa.Table], holdout: Holdout) -> dict[str, np.ndarray]:
    return held_out_queries(element[1], holdout)


def _of_passages(info: SegmentInfo, work: str, holdout: Holdout) -> dict[str, np.ndarray]:
    return held_out_passages(open_segment(work, info.number).passages, holdout)


@dataclass(eq=False)
class FindRun(beam.PTransform):
    """Find the queries and passages of a run of another system in the input.

    In: {"run": (bucket, table of query_id and passage ids), "queries": (bucket, table), "segments": ``SegmentInfo``}.
    Out: a sentence, if some are not there.

    Attributes:
        work: the run's work folder.
        segments: slices of the passage ids.
        name: the retriever's name.
        column: that of the passage ids.
        after: what is told first, if it is wrong.
    """

    work: str
    segments: int
    name: str
    column: str
    after: beam.pvalue.AsList

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection:
        queries = (
            {"run": inputs["run"], "queries": inputs["queries"]}
            | "By query" >> beam.CoGroupByKey()
            | "Queries" >> beam.Map(_count_queries)
        )
        ids = inputs["run"] | "Ids" >> beam.FlatMap(_ids_by_segment, self.column, self.segments).with_output_types(
            tuple[int, pa.Table]
        )
        built = inputs["segments"] | "Numbers" >> beam.Map(_numbered).with_output_types(tuple[int, int])
        passages = (
            {"ids": ids, "built": built}
            | "By segment" >> beam.CoGroupByKey()
            | "Passages" >> beam.Map(_count_passages, self.work)
        )
        return (
            (queries, passages)
            | "Parts" >> beam.Flatten()
            | beam.CombineGlobally(joined_run)
            | "Say" >> beam.FlatMap(_say_run, self.name, self.after).with_output_types(str)
        )


def _count_queries(element: tuple[int, dict[str, Iterable[pa.Table]]]) -> dict[str, int | str]:
    _, groups = element
    return known_queries(groups["run"], groups["queries"])


def _ids_by_segment(element: tuple[int, pa.Table], column: str, segments: int) -> Iterator[tuple[int, pa.Table]]:
    _, table = element
    ids = pa.table({"passage_id": table[column].combine_chunks().flatten().unique()})
    yield from split_by(ids, cut(ids["passage_id"].to_pylist(), segments))


def _numbered(info: SegmentInfo) -> tuple[int, int]:
    return info.number, info.passages


def _count_passages(element: tuple[int, dict[str, Iterable[Any]]], work: str) -> dict[str, int | str]:
    segment, groups = element
    tables = list(groups["ids"])
    ids = pa.concat_tables(tables)["passage_id"].combine_chunks().unique() if tables else pa.array([], pa.string())
    if not list(groups["built"]):
        return known_passages(ids, np.zeros(len(ids), dtype=np.bool_), None)
    opened = open_segment(work, segment)
    return known_passages(ids, opened.find(ids) >= 0, opened.passages["passage_id"])


def _say_held_out(found: dict[str, np.ndarray], holdout: Holdout, _: Iterable[Any]) -> str:
    return held_out_note(found, holdout)


def _say_run(found: dict[str, int | str], name: str, _: Iterable[Any]) -> Iterator[str]:
    if note := run_note(name, found):
        yield note

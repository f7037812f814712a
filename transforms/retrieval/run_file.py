"""Candidates of another system, from a TREC run file: ranks without scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.described import key
from hardneg.transforms.core.source import Source
from hardneg.transforms.corpus.segments import Segment
from hardneg.transforms.retrieval.retriever import Found, PairRows, Retriever, Site
from hardneg.transforms.retrieval.vectors import files_of

if TYPE_CHECKING:
    import apache_beam as beam


@dataclass(frozen=True, kw_only=True)
class RunRetriever(Retriever):
    """A run file, or several with different queries."""

    kind: ClassVar[str] = "run"
    english: ClassVar[str] = "candidates of another system, from a TREC run file"
    chinese: ClassVar[str] = "来自其他系统的候选（TREC run 文件）"

    file: str = key("a path or pattern", "路径或通配符")

    @property
    def source(self) -> Source:
        return Source(self.name)

    @property
    def column(self) -> str:
        """A run's passage ids per query, best first."""
        return f"run_{self.name}"

    def check(self) -> None:
        files_of(self, "file", self.file)

    @property
    def known_type(self) -> pa.DataType:
        return pa.list_(pa.string())

    def known(self, site: Site) -> beam.PTransform:
        from hardneg.transforms.inputs.trec_runs_stage import ReadRun
        from hardneg.transforms.retrieval.stages import FromFiles

        return FromFiles(files_of(self, "file", self.file), ReadRun(self.column, site.buckets))

    def search(self, queries: pa.Table, segment: Segment, k: int, wanted: PairRows) -> Found:
        lists = [(ids or [])[:k] for ids in queries[self.column].to_pylist()]
        counts = np.array([len(ids) for ids in lists], dtype=np.int64)
        rows = segment.find(pa.array([identifier for ids in lists for identifier in ids], pa.string()))
        query_rows = np.repeat(np.arange(len(lists)), counts)
        ranks = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
        here = np.flatnonzero(rows >= 0)
        here = here[np.lexsort((rows[here], query_rows[here]))]  # a run names a passage once
        return Found(PairRows(query_rows[here], rows[here]), ranks=ranks[here].astype(np.int32))

"""Retrieval by vectors that the user brings, of passages and of queries: no model runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from hardneg.errors import InputError
from hardneg.transforms.core import storage
from hardneg.transforms.core.described import key
from hardneg.transforms.retrieval.embeddings import EmbeddingRetriever
from hardneg.transforms.retrieval.retriever import Retriever, Site

if TYPE_CHECKING:
    import apache_beam as beam


@dataclass(frozen=True, kw_only=True)
class VectorsRetriever(EmbeddingRetriever):
    """Vectors of one model, from files."""

    kind: ClassVar[str] = "vectors"
    english: ClassVar[str] = "vectors that you have already, of passages and of queries, so that no model runs"
    chinese: ClassVar[str] = "段落和查询的向量都已经有了，不必运行模型"

    vectors: str = key(
        "a path or pattern of the passages' vectors (Parquet: one column of ids, one list of floats)",
        "段落向量的路径或通配符（Parquet：一列 id，一列浮点数列表）",
    )
    query_vectors: str = key("the same of the queries'", "同上，查询的向量")

    def check(self) -> None:
        for name in ("vectors", "query_vectors"):
            files_of(self, name, getattr(self, name))

    @property
    def known_type(self) -> pa.DataType:
        return pa.list_(pa.float32())

    def known(self, site: Site) -> beam.PTransform:
        from hardneg.transforms.retrieval.stages import FromFiles
        from hardneg.transforms.retrieval.vectors_stage import ReadVectors

        files = files_of(self, "query_vectors", self.query_vectors)
        return FromFiles(files, ReadVectors("query_id", self.column, site.buckets))

    def index(self, site: Site) -> beam.PTransform:
        from hardneg.transforms.retrieval.vectors_stage import PlaceVectors

        return PlaceVectors(self.name, self.array, files_of(self, "vectors", self.vectors), site)

    def encode(self, site: Site) -> beam.PTransform:
        from hardneg.transforms.retrieval.vectors_stage import RequireVectors

        return RequireVectors(self.name, self.column)


def files_of(retriever: Retriever, key: str, pattern: str) -> list[str]:
    """Return the files that a retriever's key names.

    Raises:
        InputError: none.
    """
    files = storage.list_files(pattern)
    if not files:
        raise InputError(
            f"retriever {retriever.name}, {key} = {pattern!r}: no file matches; check the path.", path=pattern
        )
    return files

"""What retrievers by embeddings share: one file of vectors a segment, one column of vectors a block, cosines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hardneg.errors import InputError
from hardneg.transforms.core.source import Source
from hardneg.transforms.corpus.segments import Segment
from hardneg.transforms.retrieval.dense import pair_similarities, search_dense
from hardneg.transforms.retrieval.retriever import Found, PairRows, Retriever


@dataclass(frozen=True, kw_only=True)
class EmbeddingRetriever(Retriever):
    """Finds the passages whose embeddings are most similar to the query's, exactly."""

    @property
    def source(self) -> Source:
        return Source.of_similarity(self.name)

    @property
    def column(self) -> str:
        return f"embedding_{self.name}"

    @property
    def array(self) -> str:
        """The segment's array of the passages' embeddings, float32, shape (passages, dimension)."""
        return f"embedding_{self.name}"

    def search(self, queries: pa.Table, segment: Segment, k: int, wanted: PairRows) -> Found:
        mine, theirs = embeddings_of(queries, self.column), segment.array(self.array)
        if mine.shape[1] != theirs.shape[1]:
            raise InputError(
                f"{self.name}: the queries' vectors have {mine.shape[1]} dimensions and the passages' "
                f"{theirs.shape[1]}; take both from one model."
            )
        hits = PairRows.of(search_dense(mine, theirs, k))
        return Found(hits, lambda pairs: pair_similarities(mine, pairs.queries, theirs, pairs.rows))


def embeddings_of(queries: pa.Table, column: str) -> np.ndarray:
    """Return the embeddings of a block's queries, float32, shape (queries, dimension)."""
    vectors = queries[column].combine_chunks()
    return vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(queries), -1)

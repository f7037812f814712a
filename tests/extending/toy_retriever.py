"""A retriever from outside the package, in one file: passages that share the most characters with the query."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.described import key
from hardneg.transforms.core.source import Source
from hardneg.transforms.corpus.segments import Segment
from hardneg.transforms.retrieval.registry import register
from hardneg.transforms.retrieval.retriever import Found, PairRows, Retriever


@register
@dataclass(frozen=True, kw_only=True)
class CharacterRetriever(Retriever):
    """Counts how many different characters a passage has in common with a query."""

    kind: ClassVar[str] = "characters"
    english: ClassVar[str] = "passages that share characters with the query"
    chinese: ClassVar[str] = "与查询有相同字符的段落"

    alphabet: str = key("the characters that count", "计数的字符", "abcdefghijklmnopqrstuvwxyz")

    @property
    def source(self) -> Source:
        return Source(self.name, signal=f"characters_{self.name}")

    def index_segment(self, segment: Segment, target: Path) -> None:
        np.save(target / "rows.npy", self._rows(segment.texts(np.arange(len(segment)))))

    def encode_queries(self, texts: list[str]) -> pa.Array:
        return pa.array(self._rows(texts).tolist(), pa.list_(pa.float32()))

    def search(self, queries: pa.Table, segment: Segment, k: int, wanted: PairRows) -> Found:
        theirs = segment.hold(self.name, lambda: np.load(self.files_in(segment) / "rows.npy"))
        mine = np.array(queries[self.column].to_pylist(), dtype=np.float32)
        scores = mine @ theirs.T  # counts: exact in any order
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # of equal scores the first, that is, by passage id
        hits = PairRows.of((np.repeat(np.arange(len(mine)), best.shape[1]), best.reshape(-1)))
        return Found(hits, lambda pairs: scores[pairs.queries, pairs.rows])

    def _rows(self, texts: list[str]) -> np.ndarray:
        counts = [[character in text.casefold() for character in self.alphabet] for text in texts]
        return np.array(counts, dtype=np.float32)

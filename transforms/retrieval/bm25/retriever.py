"""Retrieval by BM25, with the weights of the whole corpus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.described import key
from hardneg.transforms.core.source import Source
from hardneg.transforms.core.tokenization import Tokenizer, TokenizerSpec, make_tokenizer
from hardneg.transforms.corpus.segments import Segment
from hardneg.transforms.retrieval.bm25.index import encode_queries
from hardneg.transforms.retrieval.bm25.stored import open_engine
from hardneg.transforms.retrieval.retriever import Found, PairRows, Retriever, Site

if TYPE_CHECKING:
    import apache_beam as beam


@dataclass(frozen=True, kw_only=True)
class Bm25Retriever(Retriever):
    """BM25 with the defaults of rank_bm25, over all segments at once."""

    kind: ClassVar[str] = "bm25"
    english: ClassVar[str] = "BM25; it is there without a table, and can be left out by naming the others only"
    chinese: ClassVar[str] = "BM25；不写表格时默认就有，只列出其他检索器就可以不用它"
    scores_in_passing: ClassVar[bool] = True

    name: str = key("names its columns in `candidates/`", "在 `candidates/` 中的列名", "bm25")
    tokenizer: Literal["unicode", "jieba"] = key(
        "`unicode`: words, and character bigrams for scripts without spaces; `jieba`: Chinese words (extra `chinese`)",
        "`unicode`：按词，没有空格的文字按二元字组（bigram）；`jieba`：中文按词（需要 `chinese` 扩展）",
        "unicode",
    )
    stemmer: str | None = key(
        "`english`, `german`, ...: a Snowball stemmer for inflected languages (extra `stemming`)",
        "`english`、`german` 等：Snowball 词干提取，用于有词形变化的语言（需要 `stemming` 扩展）",
        None,
    )
    engine: Literal["numba", "rank-bm25"] = key(
        "`rank-bm25` runs that library itself: small corpora, to compare",
        "`rank-bm25` 直接运行这个库本身：用于小语料库和对照",
        "numba",
    )

    @property
    def source(self) -> Source:
        return Source(self.name, signal="bm25" if self.name == "bm25" else f"bm25_{self.name}")

    @property
    def tokens(self) -> TokenizerSpec:
        """What cuts passages and queries into terms."""
        return TokenizerSpec(self.tokenizer, self.stemmer)

    def check(self) -> None:
        make_tokenizer(self.tokens)

    def index(self, site: Site) -> beam.PTransform:
        from hardneg.transforms.retrieval.bm25.stages import IndexSegments

        return IndexSegments(site.work, self.name, self.tokens)

    def search(self, queries: pa.Table, segment: Segment, k: int, wanted: PairRows) -> Found:
        size = len(segment)
        engine = segment.hold(f"{self.name} {self.engine}", lambda: open_engine(self.engine, self.name, segment))
        tokenizer = _tokenizer(self.tokens)
        terms = encode_queries([tokenizer(text) for text in queries["text"].to_pylist()])
        bounds = np.arange(len(queries) + 1)
        found = engine.search(terms, k, np.searchsorted(wanted.queries, bounds), wanted.rows)
        hits = np.repeat(np.arange(len(queries)), np.diff(found.offsets)) * size + found.rows
        known, place = np.unique(np.concatenate([wanted.keys(size), hits]), return_index=True)
        scores = np.concatenate([found.extra_scores, found.scores])[place]

        def signal(pairs: PairRows) -> np.ndarray:
            keys = pairs.keys(size)
            if np.isin(keys, known).all():
                return scores[np.searchsorted(known, keys)]
            return engine.search(terms, 0, np.searchsorted(pairs.queries, bounds), pairs.rows).extra_scores

        return Found(PairRows.of((hits // size, hits % size)), signal)


@lru_cache(maxsize=4)
def _tokenizer(spec: TokenizerSpec) -> Tokenizer:
    return make_tokenizer(spec)

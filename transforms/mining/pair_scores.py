"""The logits of a block's pairs: what is known travels with the block, the rest is computed when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.block import Block, TextsOf

Score = Callable[[Sequence[str], Sequence[str]], tuple[np.ndarray, np.ndarray]]


@dataclass
class PairScores:
    """The cross-encoder's logits of a block's pairs, computed when first asked for.

    Attributes:
        candidates: the block's; a column ``logit`` has what was scored before (null elsewhere).
        query_texts: object (queries,).
        texts_of: passage strings by (segment, row).
        score: (query texts, passage strings) to (logits, cut to the maximum length); None: nothing can be scored,
            and what would have to be is counted as missing.
    """

    candidates: pa.Table
    query_texts: npt.NDArray[np.object_]
    texts_of: TextsOf
    score: Score | None
    known: npt.NDArray[np.float32] = field(init=False)
    logits: npt.NDArray[np.float32] = field(init=False)
    missing: int = 0
    cut: int = 0

    def __post_init__(self) -> None:
        self.known = np.full(len(self.candidates), np.nan, dtype=np.float32)
        if "logit" in self.candidates.column_names:
            self.known = self.candidates["logit"].fill_null(np.nan).to_numpy().astype(np.float32)
        self.logits = np.full(len(self.candidates), np.nan, dtype=np.float32)

    def ask(self, rows: IntArray) -> None:
        """Fill in the logits of some rows."""
        rows = rows[np.isnan(self.logits[rows])]
        new = rows[np.isnan(self.known[rows])]
        if len(new) and self.score is None:
            self.missing += len(new)
        elif len(new) and self.score is not None:
            query, segments, places = (self.candidates[name].to_numpy()[new] for name in ("query", "segment", "row"))
            texts = self.texts_of(segments, places)
            self.known[new], cut_pairs = self.score(self.query_texts[query].tolist(), texts)
            self.cut += int(cut_pairs.sum())
        self.logits[rows] = self.known[rows]


def pair_scores(block: Block, texts_of: TextsOf, score: Score | None) -> PairScores:
    """Return a block's pairs, none of them asked for yet."""
    return PairScores(block.candidates, np.array(block.queries["text"].to_pylist(), dtype=object), texts_of, score)

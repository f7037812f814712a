"""The logits of a block's pairs: what is known travels with the block, the rest is computed when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.core.source import LOGIT

# (query texts, passage strings) to (logits, float32; whether each pair was cut to the maximum length, bool).
Score = Callable[[Sequence[str], Sequence[str]], tuple[np.ndarray, np.ndarray]]


@dataclass
class PairScores:
    """The cross-encoder's logits of a block's pairs, computed when first asked for.

    What was scored before counts from when it is asked for, so that a run from stored scores gives what a run from
    nothing gives.

    Attributes:
        candidates: the block's; a column ``logit`` has what was scored before (null elsewhere).
        query_texts: object (queries,).
        texts_of: passage strings by (segment, row).
        score: computes logits; None: nothing can be scored, and what would have to be is counted as missing.
        known: float32 (n,); every logit at hand, NaN elsewhere.
        asked: bool (n,); the rows that were asked for.
        missing: pairs that were asked for and could not be scored.
        stored: pairs that were asked for and known.
        scored: pairs that were scored now.
        cut: pairs that were scored now, and cut to the maximum length.
    """

    candidates: pa.Table
    query_texts: npt.NDArray[np.object_]
    texts_of: TextsOf
    score: Score | None
    known: npt.NDArray[np.float32] = field(init=False)
    asked: BoolArray = field(init=False)
    missing: int = 0
    stored: int = 0
    scored: int = 0
    cut: int = 0

    def __post_init__(self) -> None:
        size = len(self.candidates)
        self.known = np.full(size, np.nan, dtype=np.float32)
        if LOGIT in self.candidates.column_names:
            self.known = self.candidates[LOGIT].fill_null(np.nan).to_numpy().astype(np.float32)
        self.asked = np.zeros(size, dtype=np.bool_)

    @classmethod
    def of(cls, block: Block, texts_of: TextsOf, score: Score | None) -> PairScores:
        """Return a block's pairs, none of them asked for yet."""
        return cls(block.candidates, np.array(block.queries["text"].to_pylist(), dtype=object), texts_of, score)

    @property
    def logits(self) -> npt.NDArray[np.float32]:
        """The logits that were asked for: float32 (n,), NaN elsewhere."""
        return np.where(self.asked, self.known, np.float32(np.nan))

    def ask(self, rows: IntArray) -> None:
        """Make the logits of some rows known, as far as anything can score them."""
        rows = rows[~self.asked[rows] | np.isnan(self.known[rows])]
        new = rows[np.isnan(self.known[rows])]
        self.stored += len(rows) - len(new)
        self.asked[rows] = True
        if not len(new):
            return
        if self.score is None:
            self.missing += len(new)
            return
        query, segments, places = (self.candidates[name].to_numpy()[new] for name in ("query", "segment", "row"))
        texts = self.texts_of(segments, places)
        self.known[new], cut_pairs = self.score(self.query_texts[query].tolist(), texts)
        self.scored += len(new)
        self.cut += int(cut_pairs.sum())

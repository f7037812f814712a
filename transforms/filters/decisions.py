"""The verdicts and reasons of many candidates, as codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.filters.verdicts import Reason, Verdict

Codes = npt.NDArray[np.int8]

_VERDICTS = tuple(Verdict)
_NONE = -1


@dataclass
class Decisions:
    """What was decided about each candidate: codes, and the words that they stand for.

    Attributes:
        verdicts: int8 (n,); the place of each verdict in ``Verdict``, -1 where nothing was decided.
        reasons: int8 (n,); the place of each reason in ``words``, -1 where there is none.
        words: the reasons, in the order in which they were first given.
    """

    verdicts: Codes
    reasons: Codes
    words: list[str] = field(default_factory=lambda: [str(reason) for reason in Reason])

    @classmethod
    def nothing(cls, size: int) -> Decisions:
        """Return those of ``size`` candidates about which nothing was decided."""
        return cls(np.full(size, _NONE, dtype=np.int8), np.full(size, _NONE, dtype=np.int8))

    @classmethod
    def of_words(cls, verdicts: Iterable[str | None], reasons: Iterable[str | None]) -> Decisions:
        """Return those that two columns of words tell of."""
        made = cls.nothing(0)
        codes: dict[str | None, int] = {None: _NONE, **{str(verdict): code for code, verdict in enumerate(_VERDICTS)}}
        made.verdicts = np.array([codes[each] for each in verdicts], np.int8)
        made.reasons = np.array([_NONE if each is None else made.code(each) for each in reasons], np.int8)
        return made

    @property
    def open(self) -> BoolArray:
        """Candidates that nothing has been decided about."""
        return self.verdicts == _NONE

    def code(self, reason: str) -> int:
        """Return a reason's code; a new one is given to a reason that has none."""
        if reason not in self.words:
            self.words.append(str(reason))
        return self.words.index(reason)

    def decide(self, rows: BoolArray | IntArray | int, verdict: Verdict, reason: str | None = None) -> None:
        """Give some rows a verdict and its reason."""
        self.verdicts[rows] = _VERDICTS.index(verdict)
        self.reasons[rows] = _NONE if reason is None else self.code(reason)

    def explain(self, rows: BoolArray | IntArray | int, reason: str) -> None:
        """Give some rows a reason beside the verdict that they have."""
        self.reasons[rows] = self.code(reason)

    def are(self, verdict: Verdict) -> BoolArray:
        """Return which candidates have a verdict."""
        return self.verdicts == _VERDICTS.index(verdict)

    def because(self, reason: str) -> BoolArray:
        """Return which candidates have a reason."""
        return self.reasons == self.code(reason)

    def columns(self) -> tuple[pa.Array, pa.Array]:
        """Return verdicts and reasons as words: two columns of strings, null where there is none."""
        return _words(self.verdicts, [str(verdict) for verdict in _VERDICTS]), _words(self.reasons, self.words)

    def change(self, rows: BoolArray | IntArray, verdict: Verdict) -> None:
        """Give some rows another verdict, for the reason that they have."""
        self.verdicts[rows] = _VERDICTS.index(verdict)

    def taken(self, rows: IntArray) -> Decisions:
        """Return those of some rows."""
        return Decisions(self.verdicts[rows], self.reasons[rows], self.words)

    def put(self, rows: IntArray, other: Decisions) -> None:
        """Take over what was decided about some rows elsewhere; ``other`` has one entry a row."""
        codes = np.array([_NONE, *(self.code(word) for word in other.words)], dtype=np.int8)
        self.verdicts[rows] = other.verdicts
        self.reasons[rows] = codes[other.reasons.astype(np.int64) + 1]


def _words(codes: Codes, words: Sequence[str]) -> pa.Array:
    return pa.array(words, pa.string()).take(pa.array(codes, mask=codes == _NONE))

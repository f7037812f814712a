"""One retriever as the rooms behind retrieval see it: its name, and the columns of its rank and its signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Self

LOGIT = "logit"  # the column of the signal that is computed only where it is needed: the cross-encoder's


@dataclass(frozen=True)
class Source:
    """What a retriever leaves in a table of candidates.

    Attributes:
        name: under which its rank is written.
        signal: the column of its signal (float32, of every candidate); None: it has ranks only.
        similarity: whether the signal is the similarity of a model that could be trained, by which candidates may be
            ordered and hardness is told.
    """

    name: str
    _: KW_ONLY
    signal: str | None = None
    similarity: bool = False

    @classmethod
    def of_similarity(cls, name: str) -> Self:
        """Return the source of a bi-encoder."""
        return cls(name, signal=f"similarity_{name}", similarity=True)

    @property
    def rank(self) -> str:
        """The column of its 1-based ranks."""
        return f"rank_{self.name}"

    @property
    def hit(self) -> str:
        """On the way to the ranks, the column that says what it found in a segment."""
        return f"hit_{self.name}"


def first_similarity(sources: Sequence[Source]) -> str:
    """Return the column of the similarity by the first bi-encoder, the model to be trained."""
    return next(source.signal for source in sources if source.similarity and source.signal)

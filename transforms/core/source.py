"""One retriever as the others see it: its kind, its name, and the columns of its ranks and signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LOGIT = "logit"  # the column of the signal that is computed only where it is needed: the cross-encoder's


@dataclass(frozen=True)
class Source:
    """One retriever: its kind and the name under which its rank and signal are written."""

    kind: Literal["bm25", "dense", "run"]
    name: str

    @property
    def signal(self) -> str | None:
        """The column of its signal; a run file has a rank only."""
        return {"bm25": "bm25", "dense": f"similarity_{self.name}", "run": None}[self.kind]

    @property
    def rank(self) -> str:
        return f"rank_{self.name}"

    @property
    def hit(self) -> str:
        return f"hit_{self.name}"

    @property
    def embedding(self) -> str:
        """The block's column with the queries' embeddings, and the segment's array of them."""
        return f"embedding_{self.name}"

    @property
    def run(self) -> str:
        """The block's column with a run's passage ids per query, best first."""
        return f"run_{self.name}"


def first_similarity(sources: Sequence[Source]) -> str:
    """Return the column of the similarity by the first bi-encoder, the model to be trained."""
    return next(source.signal for source in sources if source.kind == "dense" and source.signal)

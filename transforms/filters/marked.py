"""The guard of marks: what a person found relevant to a query is no negative of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from hardneg.errors import parameter
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.filters.filter import Candidates, Filter


@dataclass(frozen=True)
class MarkedRelevant(Filter):
    """Pairs that a person marked as relevant. Always asked: a run without marks has none.

    A filter and not a grade: a grade would make it a positive of the triplets, or say of it what no annotator said.
    Known positives stay what they are, whatever is marked.
    """

    reason: ClassVar[str] = "marked_relevant"
    stage: ClassVar = "guard"
    sentence: ClassVar[str] = f"a person marked it as relevant, in {parameter('marks')}"

    def applies(self, candidates: Candidates) -> BoolArray:
        return candidates.marked & ~candidates.positive

    @classmethod
    def of_options(cls, given: Mapping[str, Any]) -> Self:
        return cls()

    def describe(self) -> dict[str, Any]:
        """Return nothing: marks are few, and say nothing of a threshold."""
        return {}

    @classmethod
    def absent(cls) -> dict[str, Any]:
        return {}

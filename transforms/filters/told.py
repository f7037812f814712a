"""The guards of what a run is told candidate by candidate: evaluation sets, and marks of a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hardneg.errors import parameter
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.filters.filter import Candidates, Filter
from hardneg.transforms.filters.verdicts import Reason, Verdict


@dataclass(frozen=True)
class HeldOut(Filter):
    """Gold passages of an evaluation set, by id or by text: such are in no triplet. A run without one has none."""

    reason: ClassVar[str] = Reason.HELD_OUT
    stage: ClassVar = "guard"
    sentence: ClassVar[str] = f"a gold passage of a {parameter('holdout')} set"
    beside: ClassVar[Mapping[Verdict, str]] = {
        Verdict.POSITIVE: f"known relevant, but a gold passage of a {parameter('holdout')} set, so it is in no triplet"
    }
    always: ClassVar[bool] = True

    def applies(self, candidates: Candidates) -> BoolArray:
        return candidates.held_out


@dataclass(frozen=True)
class MarkedRelevant(Filter):
    """Pairs that a person marked as relevant: such are no negatives. A run without marks has none.

    A filter and not a grade: a grade would make it a positive of the triplets, or say of it what no annotator said.
    Known positives stay what they are, whatever is marked.
    """

    reason: ClassVar[str] = "marked_relevant"
    stage: ClassVar = "guard"
    sentence: ClassVar[str] = f"a person marked it as relevant, in {parameter('marks')}"
    always: ClassVar[bool] = True

    def applies(self, candidates: Candidates) -> BoolArray:
        return candidates.marked & ~candidates.positive

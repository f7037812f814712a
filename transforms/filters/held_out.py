"""The guard of evaluation sets: what they hold is in no triplet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from hardneg.errors import parameter
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.filters.filter import Candidates, Filter
from hardneg.transforms.filters.verdicts import Reason, Verdict


@dataclass(frozen=True)
class HeldOut(Filter):
    """Gold passages of an evaluation set, by id or by text. Always asked: a run without such a set has none."""

    reason: ClassVar[str] = Reason.HELD_OUT
    stage: ClassVar = "guard"
    sentence: ClassVar[str] = f"a gold passage of a {parameter('holdout')} set"
    beside: ClassVar[Mapping[Verdict, str]] = {
        Verdict.POSITIVE: f"known relevant, but a gold passage of a {parameter('holdout')} set, so it is in no triplet"
    }

    def applies(self, candidates: Candidates) -> BoolArray:
        return candidates.held_out

    @classmethod
    def of_options(cls, given: Mapping[str, Any]) -> Self:
        return cls()

    def describe(self) -> dict[str, Any]:
        """Return nothing: what an evaluation set holds is few passages, and says nothing of a threshold."""
        return {}

    @classmethod
    def absent(cls) -> dict[str, Any]:
        return {}

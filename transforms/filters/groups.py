"""The guard of documents: a part of a document that has a positive may be relevant, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np

from hardneg.errors import parameter
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.filters.filter import Candidates, Filter
from hardneg.transforms.filters.verdicts import Verdict

OfSameGroup = Literal["allow", "forbid", "suspect"]


@dataclass(frozen=True)
class SameGroup(Filter):
    """What has the group of a positive of its query.

    Attributes:
        group_column: a corpus column; passages with one value of it belong together, those without a value to none.
        same_group: what becomes of them.
    """

    reason: ClassVar[str] = "same_group"
    stage: ClassVar = "guard"
    sentence: ClassVar[str] = "from the document of a positive"
    beside: ClassVar[Mapping[Verdict, str]] = {
        Verdict.SUSPECTED_POSITIVE: f"from the document of a positive, with {parameter('group')} COLUMN:suspect",
        Verdict.DROPPED: f"from the document of a positive, with {parameter('group')} COLUMN:forbid",
    }
    options: ClassVar[tuple[str, ...]] = ("group_column", "same_group")
    written_as: ClassVar[tuple[str, ...]] = ("group",)

    group_column: str
    same_group: OfSameGroup = "allow"

    @property
    def verdict(self) -> Verdict:
        return Verdict.SUSPECTED_POSITIVE if self.same_group == "suspect" else Verdict.DROPPED

    def applies(self, candidates: Candidates) -> BoolArray:
        same = np.zeros(len(candidates.query), dtype=np.bool_)
        if self.same_group == "allow":
            return same
        groups = candidates.table[self.group_column].to_pylist()
        owners: dict[tuple[int, object], list[int]] = {}
        for row in np.flatnonzero(candidates.positive).tolist():
            if groups[row] is not None:
                owners.setdefault((int(candidates.query[row]), groups[row]), []).append(row)
        for row, (query, group) in enumerate(zip(candidates.query.tolist(), groups, strict=True)):
            same[row] = any(other != row for other in owners.get((query, group), ()))
        return same

    @classmethod
    def of_options(cls, given: Mapping[str, Any]) -> Self | None:
        return super().of_options(given) if given.get("group_column") else None

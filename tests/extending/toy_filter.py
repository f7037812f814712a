"""A filter of one's own: stubs and lists say so in their text, and teach nothing. This file is all that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.filters.filter import Candidates, Filter
from hardneg.transforms.filters.registry import register_filter


@register_filter
@dataclass(frozen=True)
class MarkedAsStub(Filter):
    """What has the mark of a stub in its text.

    Attributes:
        stub_mark: a word; upper and lower case are one.
    """

    reason: ClassVar[str] = "marked_as_stub"
    stage: ClassVar = "guard"
    sentence: ClassVar[str] = "it says of itself that it is a stub"
    options: ClassVar[tuple[str, ...]] = ("stub_mark",)

    stub_mark: str = "disambiguation"

    def applies(self, candidates: Candidates) -> BoolArray:
        rows = np.flatnonzero(candidates.asked)
        marked = np.zeros(len(candidates.query), dtype=np.bool_)
        marked[rows] = [self.stub_mark.casefold() in text.casefold() for text in candidates.texts(rows)]
        return marked

"""The window on fused ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from hardneg.errors import parameter
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.filters.filter import Candidates, Filter


@dataclass(frozen=True)
class OutsideRanks(Filter):
    """What no retriever found between two ranks of the fused list. Always asked, with a window that may hold all.

    Attributes:
        min_rank: the first rank inside.
        max_rank: the last one; None: there is none.
    """

    reason: ClassVar[str] = "outside_ranks"
    stage: ClassVar = "guard"
    sentence: ClassVar[str] = f"its fused rank is outside {parameter('ranks')}"
    options: ClassVar[tuple[str, ...]] = ("min_rank", "max_rank")
    written_as: ClassVar[tuple[str, ...]] = ("ranks",)

    min_rank: int = 1
    max_rank: int | None = None

    def inside(self, ranks: npt.NDArray[np.integer]) -> BoolArray:
        """Return which fused ranks are inside; 0 stands for what was not retrieved, and is not."""
        return (ranks >= self.min_rank) & (ranks <= (self.max_rank or np.iinfo(np.int32).max))

    def applies(self, candidates: Candidates) -> BoolArray:
        return ~self.inside(candidates.table["fused_rank"].fill_null(0).to_numpy())

    @classmethod
    def of_options(cls, given: Mapping[str, Any]) -> Self:
        return super().of_options(given) or cls()

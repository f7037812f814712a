"""Margins to the positives of a query: a candidate must score so much lower than the lowest of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hardneg.errors import parameter
from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray, lowest_of
from hardneg.transforms.core.source import first_similarity
from hardneg.transforms.filters.filter import Candidates, Filter
from hardneg.transforms.filters.threshold import passes


def below_lowest_positive(
    score: npt.NDArray[np.floating],
    query: IntArray,
    positive: BoolArray,
    *,
    relative: float = 0.0,
    absolute: float = 0.0,
) -> FloatArray:
    """Return each query's lowest positive score, lowered by a margin: float64 (queries,); infinite without one.

    The relative margin is that of NV-Retriever (Moreira et al. 2024), sign-safe: a share of the score's
    magnitude, so that it lowers negative scores too.

    Args:
        score: (n,); NaN where it is not known.
        query: int64 (n,); the query of each row.
        positive: bool (n,); known positives.
        relative: share of the score.
        absolute: on the scale of the score.
    """
    lowest = lowest_of(score[positive], query[positive], int(query.max(initial=-1)) + 1)
    finite = np.where(np.isfinite(lowest), lowest, 0.0)
    return lowest - relative * np.abs(finite) - absolute


@dataclass(frozen=True)
class RelativeMargin(Filter):
    """What the first bi-encoder finds nearly as similar as a positive.

    Attributes:
        relative_margin: share of the similarity of the query's lowest positive.
    """

    reason: ClassVar[str] = "relative_margin"
    stage: ClassVar = "guard"
    sentence: ClassVar[str] = f"its similarity is not {parameter('relative_margin')} below the query's lowest positive"
    options: ClassVar[tuple[str, ...]] = ("relative_margin",)
    of_labels: ClassVar[bool] = True
    instead_of_target: ClassVar[bool] = True

    relative_margin: float

    def applies(self, candidates: Candidates) -> BoolArray:
        similarity = candidates.table[first_similarity(candidates.sources)].to_numpy()
        limits = below_lowest_positive(similarity, candidates.query, candidates.positive, relative=self.relative_margin)
        return ~passes(similarity, limits[candidates.query])


@dataclass(frozen=True)
class AbsoluteMargin(Filter):
    """What the cross-encoder scores nearly as high as a positive.

    Attributes:
        absolute_margin: in logits.
    """

    reason: ClassVar[str] = "absolute_margin"
    stage: ClassVar = "threshold"
    sentence: ClassVar[str] = f"its logit is not {parameter('absolute_margin')} below the query's lowest positive"
    options: ClassVar[tuple[str, ...]] = ("absolute_margin",)
    of_labels: ClassVar[bool] = True
    instead_of_target: ClassVar[bool] = True

    absolute_margin: float

    def applies(self, candidates: Candidates) -> BoolArray:
        limits = below_lowest_positive(
            candidates.logits, candidates.query, candidates.positive, absolute=self.absolute_margin
        )
        return ~passes(candidates.logits, limits[candidates.query])

"""The threshold rule, and the thresholds on the cross-encoder's own score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hardneg.errors import parameter
from hardneg.transforms.core.arrays import BoolArray, sigmoid
from hardneg.transforms.filters.filter import Candidates, Filter


def passes(score: npt.ArrayLike, threshold: npt.ArrayLike) -> BoolArray:
    """Return which scores pass a threshold: those *below* it, compared in float64; NaN does not.

    Every threshold of this package is compared here, of whatever score it is.
    """
    return np.asarray(score, dtype=np.float64) < np.asarray(threshold, dtype=np.float64)


def sigmoid_passes(logits: npt.NDArray[np.float32], threshold: float) -> BoolArray:
    """Return which logits have a sigmoid below a threshold, which is rounded to float32 as sigmoids are."""
    return passes(sigmoid(logits), np.float32(threshold))


@dataclass(frozen=True)
class AboveMaxSigmoid(Filter):
    """What the cross-encoder finds too relevant.

    Attributes:
        max_sigmoid: the sigmoid of the logit must be below this.
    """

    reason: ClassVar[str] = "above_max_sigmoid"
    stage: ClassVar = "threshold"
    sentence: ClassVar[str] = f"the sigmoid of its logit is not below {parameter('max_sigmoid')}, or the fallback's 0.1"
    options: ClassVar[tuple[str, ...]] = ("max_sigmoid",)
    instead_of_target: ClassVar[bool] = True

    max_sigmoid: float

    def applies(self, candidates: Candidates) -> BoolArray:
        return ~sigmoid_passes(candidates.logits, self.max_sigmoid)


@dataclass(frozen=True)
class BelowMinSigmoid(Filter):
    """What the cross-encoder finds so irrelevant that nothing is learned from it.

    Attributes:
        min_sigmoid: the sigmoid of the logit must not be below this.
    """

    reason: ClassVar[str] = "below_min_sigmoid"
    stage: ClassVar = "threshold"
    sentence: ClassVar[str] = f"the sigmoid of its logit is below {parameter('min_sigmoid')}: too easy"
    options: ClassVar[tuple[str, ...]] = ("min_sigmoid",)

    min_sigmoid: float

    def applies(self, candidates: Candidates) -> BoolArray:
        # What is not known is not too easy to learn from: it is not there to learn from at all.
        return sigmoid_passes(candidates.logits, self.min_sigmoid) | np.isnan(candidates.logits)

"""Bounds that need no model of the scores: the leak rate by ranks, a rate among marked pairs by binomial tails."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hardneg.errors import OptionError


def leak_rate_threshold(positive_scores: npt.ArrayLike, alpha: float) -> float:
    """Return the largest threshold that lets at most a share ``alpha`` of relevant passages pass.

    The floor(alpha (n + 1))-th smallest of the n scores (split-conformal prediction: Vovk, Gammerman and
    Shafer 2005; Angelopoulos and Bates 2021). A score passes if it is *below* the threshold. The bound
    holds on average over draws of the positives, for a relevant passage exchangeable with them.

    Args:
        positive_scores: float (n,); judge scores of the known positives that were retrieved.
        alpha: the leak rate asked for, between 0 and 1; read as the decimal number that it prints as.

    Raises:
        OptionError: alpha out of range, or n < 1 / alpha - 1.
        ValueError: a score is NaN.
    """
    if not 0 < alpha < 1:
        raise OptionError(f"the target leak rate is {alpha}; it must lie between 0 and 1")
    scores = np.sort(np.asarray(positive_scores, dtype=np.float64).ravel())
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} of {len(scores)} positive scores are NaN")
    share = Fraction(repr(float(alpha)))  # 0.29 * 100 is 28.999999999999996 in float64
    place = math.floor(share * (len(scores) + 1))
    if place < 1:
        needed = math.ceil(1 / share) - 1
        raise OptionError(
            f"a leak rate of {alpha} needs at least {needed} known positives that were retrieved; "
            f"there are {len(scores)}: give more positives or ask for a leak rate of at least "
            f"{math.ceil(1000 / (len(scores) + 1)) / 1000}"
        )
    return float(scores[place - 1])


def clopper_pearson(relevant: int, marked: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper bound on a rate of which ``relevant`` of ``marked`` were seen.

    The exact binomial bound of Clopper and Pearson (1934): the largest rate under which so few relevant
    have a probability of at least 1 - confidence. 1.0 if everything marked was relevant or nothing marked.

    Raises:
        ValueError: not 0 <= relevant <= marked.
    """
    if not 0 <= relevant <= marked:
        raise ValueError(f"{relevant} relevant of {marked} marked")
    if relevant == marked:
        return 1.0
    from scipy.stats import beta  # here: it takes a second, and most commands draw no bound

    return float(beta.ppf(confidence, relevant + 1, marked - relevant))

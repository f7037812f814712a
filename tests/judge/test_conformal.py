"""The leak rate's guarantee, and the bound on a rate among marked pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hardneg.errors import HardnegError
from hardneg.transforms.judge.leak_rate import clopper_pearson, leak_rate_threshold


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("n", [19, 50, 144])
def test_leak_rate_is_held_on_average_and_not_wasted(alpha, n):
    rng = np.random.default_rng(7)
    leaks = []
    for _ in range(2000):
        scores = rng.standard_normal(n + 50)
        leaks.append((scores[n:] < leak_rate_threshold(scores[:n], alpha)).mean())
    error = np.std(leaks) / math.sqrt(len(leaks))
    place = math.floor(alpha * (n + 1) + 1e-9)
    assert np.mean(leaks) <= alpha + 2 * error
    assert np.mean(leaks) == pytest.approx(place / (n + 1), abs=3 * error)


def test_leak_rate_threshold_is_a_rank_of_the_scores():
    scores = np.arange(99, 0, -1)
    assert leak_rate_threshold(scores, 0.01) == 1
    assert leak_rate_threshold(scores, 0.29) == 29  # 0.29 * 100 is 28.999999999999996
    assert leak_rate_threshold(scores, 0.999) == 99


def test_leak_rate_says_how_many_positives_it_needs():
    with pytest.raises(HardnegError, match=r"0\.01 needs at least 99 .* there are 98"):
        leak_rate_threshold(np.zeros(98), 0.01)
    with pytest.raises(HardnegError, match=r"needs at least 19 .* at least 0\.053"):
        leak_rate_threshold(np.zeros(18), 0.05)
    with pytest.raises(HardnegError, match="at least 1"):
        leak_rate_threshold([], 0.5)
    with pytest.raises(HardnegError, match="between 0 and 1"):
        leak_rate_threshold([1.0], 1.5)
    with pytest.raises(ValueError, match="NaN"):
        leak_rate_threshold([1.0, math.nan], 0.5)


def test_clopper_pearson():
    assert clopper_pearson(0, 59) <= 0.05 < clopper_pearson(0, 58)
    assert clopper_pearson(0, 10) == pytest.approx(1 - 0.05**0.1)
    assert clopper_pearson(4, 4) == clopper_pearson(0, 0) == 1
    with pytest.raises(ValueError, match="5 relevant of 4"):
        clopper_pearson(5, 4)

"""What stands in where no rate can be supported: the stricter of two witnesses, and never nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.transforms.judge.counts import edges
from hardneg.transforms.judge.fallback import (
    FALLBACK_LOCAL_RATE,
    FALLBACK_YIELD,
    ScoredCandidates,
    fall_back,
    local_relevance,
)
from hardneg.transforms.judge.leak_rate import leak_rate_threshold


def drawn(seed: int, queries: int, relevant: float, separation: float = 2.5) -> tuple[np.ndarray, ScoredCandidates]:
    """Return whether each candidate is relevant, and the candidates; 40 a query."""
    rng = np.random.default_rng(seed)
    truth = rng.random((queries, 40)) < relevant
    order = np.argsort(-rng.normal(truth), axis=1)
    truth = np.take_along_axis(truth, order, axis=1).ravel()
    rows = ScoredCandidates(
        np.repeat(np.arange(queries), 40), rng.normal(separation * truth), np.ones(len(truth), dtype=np.int64)
    )
    return truth, rows


@examples(40)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from([0.01, 0.1, 0.4]))
def test_the_threshold_is_the_stricter_or_mines_a_tenth(seed: int, positives: int, relevant: float) -> None:
    _, candidates = drawn(seed, 30, relevant)
    scores = np.random.default_rng(seed).normal(2.5, 1, positives)
    found = fall_back(scores, candidates, 30, 5, "standardised")
    if positives >= 9:
        assert found.leak_threshold == leak_rate_threshold(scores, 0.1)
    else:
        assert found.leak_threshold == scores.min()
    mined = candidates.mined(found.threshold, 5)[1].sum()
    assert mined >= FALLBACK_YIELD * 5 * 30
    assert found.threshold == {
        "leak rate": found.leak_threshold, "local rate": found.local_threshold, "yield": found.floor_threshold
    }[found.decided]  # fmt: skip
    if found.decided != "yield":
        assert found.local_threshold is not None
        assert found.threshold == min(found.leak_threshold, found.local_threshold)
        assert found.expected_rate <= FALLBACK_LOCAL_RATE + 1e-9
    assert f"by {positives} known positives: a guess, not a bound" in found.sentence


@pytest.mark.parametrize("relevant", [0.03, 0.2, 0.4])
def test_the_mean_rate_stays_at_about_what_is_expected(relevant: float) -> None:
    rates = []
    for seed in range(30):
        truth, candidates = drawn(seed, 60, relevant)
        scores = np.random.default_rng([seed, 1]).normal(2.5, 1, 20)
        found = fall_back(scores, candidates, 60, 5, "standardised")
        rows, taken = candidates.mined(found.threshold, 5)
        rates.append((truth[rows] * taken).sum() / taken.sum())
    assert np.mean(rates) <= 0.06  # 0.04 are expected; what 20 positives do not see adds to it


def test_relevance_rises_with_the_score_from_little_to_all() -> None:
    truth, candidates = drawn(1, 400, 0.1)
    scores = np.sort(np.random.default_rng(2).normal(2.5, 1, 300))
    found = local_relevance(scores, candidates, "standardised")
    assert (np.diff(found.rate) >= 0).all()
    assert found.at([-3.0])[0] < 0.02
    assert found.at([6.0])[0] > 0.9
    assert found.share == pytest.approx(truth.mean(), rel=0.5)
    near = np.abs(candidates.score - 1.5) < 0.3
    assert found.at([1.5])[0] == pytest.approx(truth[near].mean(), abs=0.1)


@examples(40)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_what_is_mined_is_the_first_of_each_query_with_weights_as_copies(seed: int, negatives: int) -> None:
    rng = np.random.default_rng(seed)
    query, score, weight = np.sort(rng.integers(0, 4, 30)), rng.normal(size=30), rng.choice([1, 1, 4], 30)
    threshold = float(rng.choice(edges("standardised")[230:290]))
    rows, taken = ScoredCandidates(query, score, weight).mined(threshold, negatives)
    expected = np.zeros(30, dtype=int)
    for number in range(4):
        copies = [row for row in range(30) for _ in range(weight[row]) if query[row] == number]
        for row in [row for row in copies if score[row] < threshold][:negatives]:
            expected[row] += 1
    made = np.zeros(30, dtype=int)
    made[rows] = taken
    assert made.tolist() == expected.tolist()

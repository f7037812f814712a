"""Gamma from the labels: its definition by brute force, and what it says of simulated labels."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.transforms.judge.counts import selection_counts
from hardneg.transforms.judge.false_negative_rate import extract
from hardneg.transforms.judge.gamma import MIN_QUERIES, GammaEstimate, estimate_gamma


def of_lists(queries):
    """Estimate from lists of scores of positives, one list a query."""
    scores = [score for own in queries for score in own]
    numbers = [number for number, own in enumerate(queries) for _ in own]
    return estimate_gamma(scores, numbers, [True] * len(scores))


def shares_below(queries, threshold):
    """The definition's v and u, exactly: each positive is labelled in turn, and unlabelled otherwise."""
    labelled = unlabelled = labelled_below = unlabelled_below = Fraction(0)
    for own in queries:
        for turn in range(len(own)):
            weight = Fraction(1, len(own))
            labelled += weight
            labelled_below += weight * (own[turn] < threshold)
            for other in range(len(own)):
                if other != turn:
                    unlabelled += weight
                    unlabelled_below += weight * (own[other] < threshold)
    return labelled_below / labelled, unlabelled_below / unlabelled


def covers(queries, gamma):
    """Whether raising v covers u, and lowering c stays under its counterpart, wherever there is enough to say."""
    queries = [own for own in queries if len(own) >= 2]
    for threshold in {score for own in queries for score in own}:
        v, u = shares_below(queries, threshold)
        if sum(any(score < threshold for score in own) for own in queries) >= MIN_QUERIES and u > gamma * v:
            return False
        enough_above = sum(any(score >= threshold for score in own) for own in queries) >= MIN_QUERIES
        if enough_above and 1 - u < (1 - v) / gamma:
            return False
    return True


scores_of_a_query = st.lists(st.sampled_from([-3.0, -1.0, 0.0, 0.5, 2.0, 4.0]), max_size=5)


@given(st.lists(scores_of_a_query, min_size=20, max_size=60))
@examples(150)
def test_the_smallest_gamma_that_covers(queries):
    several = [own for own in queries if len(own) >= 2]
    estimate = of_lists(queries)
    if len(several) < 20:
        assert estimate is None
        return
    assert (estimate.queries, estimate.positives) == (len(several), sum(map(len, several)))
    assert estimate.gamma >= 1
    assert covers(queries, Fraction(estimate.gamma) * (1 + Fraction(1, 10**9)))
    if estimate.gamma > 1 + 1e-9:
        assert not covers(queries, Fraction(estimate.gamma) * (1 - Fraction(1, 10**9)))


def test_a_case_by_hand():
    # 30 queries of two positives at 1; 20 of five: one at 1, four at -1. Below 0: v = 20 * 4/5 / 50 = 0.32,
    # u = 20 * 4 * 4/5 / (30 + 80) = 0.5818. The tail: (1 - v) / (1 - u) = 0.68 / 0.4182 = 1.626.
    queries = [[1.0, 1.0]] * 30 + [[1.0, -1.0, -1.0, -1.0, -1.0]] * 20
    estimate = of_lists(queries)
    assert estimate == GammaEstimate(pytest.approx(64 / 110 / 0.32), 50, 160)
    # The same numbers with the signs of the scores changed: what is unlabelled scores higher, which is safe.
    assert of_lists([[-score for score in own] for own in queries]).gamma == 1


def test_what_lies_on_one_side_only_counts_from_20_queries_on():
    def gamma(weak, strong):
        return of_lists([[0.0, 0.0]] * strong + [[0.0, *[-1.0] * 4]] * weak).gamma

    # Below the threshold there is nothing to say, but the tail above it is well filled, and less steep.
    assert gamma(20, 100) == pytest.approx((20 * 16 / 5) / (100 + 80) / (20 * 4 / 5 / 120))
    v, u = 19 * 4 / 5 / 119, 19 * 16 / 5 / (100 + 76)
    assert gamma(19, 100) == pytest.approx((1 - v) / (1 - u))
    assert gamma(19, 100) < gamma(20, 100)

    def mirrored(alone):
        return of_lists([[1.0, 1.0]] * alone + [[-1.0] * 5] * 100).gamma

    v, u = 100 / 120, 400 / 420  # the tail holds 20 queries
    assert mirrored(20) == pytest.approx((1 - v) / (1 - u))
    v, u = 100 / 119, 400 / 419
    assert mirrored(19) == pytest.approx(u / v)
    assert mirrored(19) < mirrored(20)


def test_one_broad_query_does_not_decide():
    # Its 500 weak positives are as many as all others; as queries it is one.
    assert of_lists([[1.0, 2.0]] * 250 + [[-5.0] * 500]).gamma < 3
    assert of_lists([[1.0, 2.0]] * 250 + [[-5.0] * 25] * 20).gamma > 5


@pytest.mark.parametrize(("queries", "known"), [(19, False), (20, True)])
def test_none_below_20_queries_with_two_positives(queries, known):
    estimate = of_lists([[0.0, 1.0]] * queries + [[0.0]] * 100 + [[]])
    assert (estimate is not None) == known
    assert estimate is None or estimate == GammaEstimate(1.0, 20, 40)


def test_nothing_at_all():
    assert estimate_gamma([], [], []) is None
    assert estimate_gamma([1.0], ["a"], [False]) is None


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
@examples(40)
def test_order_names_and_candidates_change_no_bit(seed, largest):
    rng = np.random.default_rng(seed)
    query = np.repeat(np.arange(60), rng.integers(1, largest + 1, 60))
    score = rng.standard_normal(len(query)).astype(np.float32)
    positive = np.ones(len(query), dtype=bool)
    before = estimate_gamma(score, query, positive)
    candidates = rng.integers(0, 60, 100)
    score = np.concatenate([score, np.full(100, np.nan)])  # candidates need no score
    query = np.concatenate([query, candidates])
    positive = np.concatenate([positive, np.zeros(100, dtype=bool)])
    order = rng.permutation(len(query))
    names = np.array([f"q{7 * number % 61}" for number in query])
    assert estimate_gamma(score[order], names[order], positive[order]) == before
    # Only the order of scores counts.
    assert estimate_gamma(np.exp(score), query, positive) == before


@pytest.mark.parametrize("ties", [False, True])
def test_infinite_scores_are_scores(ties):
    queries = [[-math.inf, 0.0, 0.0], [math.inf, 0.0]] * 30
    finite = [[-9.0, 0.0, 0.0], [9.0, 0.0]] * 30
    if ties:
        queries, finite = [own * 2 for own in queries], [own * 2 for own in finite]
    assert of_lists(queries) == of_lists(finite)


def test_refusals():
    with pytest.raises(ValueError, match=r"\(2,\), \(1,\) and \(2,\)"):
        estimate_gamma([0.0, 1.0], [0], [True, True])
    with pytest.raises(ValueError, match="list of rows"):
        estimate_gamma([[0.0]], [[0]], [[True]])
    with pytest.raises(ValueError, match="1 of 2 scores of positives are NaN"):
        estimate_gamma([0.0, math.nan, math.nan], [0, 0, 0], [True, True, False])


# ---------------------------------------------------------------- simulated labels


def simulated(seed, queries, sizes, fall=0.0, within=0.5):
    """Scores of positives; each further positive of a query lowers all of that query's by ``fall``."""
    rng = np.random.default_rng(seed)
    size = rng.choice(sizes, queries)
    query = np.repeat(np.arange(queries), size)
    own = math.sqrt(within) * rng.standard_normal(queries) - fall * (size - min(sizes))
    return own[query] + math.sqrt(1 - within) * rng.standard_normal(len(query)), query


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("within", [0.0, 0.5])
def test_close_to_1_where_all_queries_hold_as_many(size, within):
    for seed in range(10):
        score, query = simulated(seed, 100, [size], within=within)
        assert estimate_gamma(score, query, np.ones(len(query))).gamma == pytest.approx(1, abs=1e-9)


def test_near_1_where_sizes_say_nothing_of_scores():
    gammas = []
    for seed in range(40):
        score, query = simulated(seed, 300, [2, 3, 5, 8])
        gammas.append(estimate_gamma(score, query, np.ones(len(query))).gamma)
    assert np.median(gammas) < 1.25
    assert max(gammas) < 1.7


def test_clearly_above_1_where_broad_queries_hold_weaker_passages():
    weaker, stronger = [], []
    for seed in range(40):
        for fall, gammas in ((0.15, weaker), (-0.15, stronger)):
            score, query = simulated(seed, 300, [2, 3, 5, 8], fall=fall)
            gammas.append(estimate_gamma(score, query, np.ones(len(query))).gamma)
    assert min(weaker) > 1.3
    assert np.median(weaker) > 1.5
    assert max(stronger) < 1.2  # the unlabelled then leak less than is believed


def test_the_estimate_covers_what_one_label_a_query_hides():
    """One label a query is drawn; the leak of all the others stays under what ``extract`` makes of v."""
    believed, covered, places = 0, 0, 0
    for seed in range(20):
        score, query = simulated(seed, 400, [2, 3, 5, 8], fall=0.15)
        gamma = estimate_gamma(score, query, np.ones(len(query))).gamma
        rng = np.random.default_rng(1000 + seed)
        draw = np.lexsort((rng.random(len(query)), query))
        labelled = np.zeros(len(query), dtype=bool)
        labelled[draw[np.unique(query, return_index=True)[1]]] = True
        # One candidate a query, which never stands before a positive: v is the share of labels below.
        ids = [f"q{number}" for number in range(400)]
        counts = selection_counts(ids, np.arange(400), score[labelled], np.ones(400, dtype=bool), 1, copies=3)
        plain, raised = extract(counts, 1.0), extract(counts, gamma)
        hidden = (score[~labelled][:, None] < plain.edges).mean(axis=0)
        enough = (plain.leaked >= MIN_QUERIES) & (400 - plain.leaked >= MIN_QUERIES)
        places += enough.sum()
        believed += (plain.v >= hidden)[enough].sum()
        covered += (raised.v >= hidden)[enough].sum()
    assert believed < 0.1 * places
    assert covered > 0.9 * places  # gamma is for the mean over draws; each draw's v has noise of its own

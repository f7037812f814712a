"""The algebra of the counts, what the estimate and the choice say, and their guarantee by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.errors import HardnegError
from hardneg.transforms.judge.counts import copy_weights, edges, selection_counts
from hardneg.transforms.judge.false_negative_rate import choose, extract

EDGES = edges("standardised")


def columns(queries):
    """The columnar form of lists of (score, is_positive)."""
    query = np.repeat(np.arange(len(queries)), [len(rows) for rows in queries])
    flat = [row for rows in queries for row in rows]
    return query, np.array([s for s, _ in flat], dtype=float), np.array([p for _, p in flat], dtype=bool)


def counted(queries, negatives, ids=None, **options):
    ids = [f"q{i}" for i in range(len(queries))] if ids is None else ids
    return selection_counts(ids, *columns(queries), negatives, **options)


# ---------------------------------------------------------------- counts


@st.composite
def samples(draw):
    score = st.sampled_from([-12.0, -10.0, -1.0, 0.0, 0.02, 3.0, 10.0, 11.0])
    rows = st.lists(st.tuples(score, st.booleans()), max_size=6)
    queries = draw(st.lists(rows, min_size=1, max_size=8))
    return queries, draw(st.integers(1, 4)), draw(st.permutations(range(len(queries))))


@given(samples(), st.integers(0, 8))
@examples(150)
def test_the_counts_of_parts_add_up_to_those_of_the_whole(sample, cut):
    queries, negatives, order = sample
    ids = [f"query {i}" for i in range(len(queries))]
    whole = counted(queries, negatives, ids, copies=7)
    parts = [
        counted([queries[i] for i in part], negatives, [ids[i] for i in part], copies=7)
        for part in (order[:cut], order[cut:])
    ]
    for name in "ARCV":
        assert np.array_equal(getattr(whole, name), sum(getattr(part, name) for part in parts))
        assert getattr(whole, name).dtype == np.int32


def test_shape_and_totals():
    counts = counted([[(0.0, False), (1.0, True)], [], [(2.0, False)]], 3)
    for name in "ARCV":
        assert getattr(counts, name).shape == (101, 513)
    assert counts.A[0].sum() == 2
    assert counts.C[0].sum() == 1


def test_copy_weights_are_stable_and_poisson():
    weights = copy_weights([f"q{i}" for i in range(5000)])
    assert weights.dtype == np.int32
    assert (weights[:, 0] == 1).all()
    drawn = weights[:, 1:]
    for value in range(4):
        share = math.exp(-1) / math.factorial(value)
        assert abs((drawn == value).mean() - share) < 4 * math.sqrt(share / drawn.size)
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.05
    assert np.array_equal(copy_weights(["q17"])[0], weights[17])
    assert np.array_equal(copy_weights(["q17"], copies=5)[0], weights[17, :5])
    # Pinned: another Python, NumPy or processor must draw the same copies.
    assert copy_weights(["q0", "é"], copies=9).tolist() == PINNED_WEIGHTS


PINNED_WEIGHTS = [[1, 1, 1, 0, 1, 2, 2, 1, 1], [1, 3, 1, 1, 1, 4, 2, 1, 0]]


def test_edges_compare_alike_in_float32_and_float64():
    for scale in ("logit", "standardised", "similarity"):
        every = edges(scale)
        assert len(every) == 512
        assert (np.diff(every) > 0).all()
        near = np.concatenate([np.nextafter(every.astype(np.float32), np.float32(s)) for s in (-99, 99)])
        scores = np.concatenate([near, every.astype(np.float32)])
        for threshold in every[::37]:
            assert ((scores < float(threshold)) == (scores.astype(np.float64) < threshold)).all()


@pytest.mark.parametrize(
    ("query", "score", "negatives", "message"),
    [
        ([0, 0], [0.0], 1, "shapes"),
        ([1, 0], [0.0, 0.0], 1, "not sorted"),
        ([0, 5], [0.0, 0.0], 1, "runs from 0 to 5, but there are 2"),
        ([0, 1], [0.0, math.nan], 1, "1 of 2 judge scores are NaN"),
        ([0, 1], [0.0, 0.0], 0, "at least 1"),
    ],
)
def test_count_refuses_rows_it_cannot_count(query, score, negatives, message):
    with pytest.raises(ValueError, match=message):
        selection_counts(["a", "b"], query, score, [False] * len(query), negatives)


# ---------------------------------------------------------------- extraction and choice


def separated(queries=400, candidates=30, weak=0, relevant=0):
    """In selection order: a relevant candidate (some queries), the positive, candidates that are neither.

    Positives and relevant candidates score 4, the others -2; a ``weak`` positive scores -3.
    """
    sample = []
    for i in range(queries):
        rows = [(4.0, False)] if i < relevant else []
        sample.append([*rows, (-3.0 if i < weak else 4.0, True), *[(-2.0, False)] * candidates])
    return sample


def test_storeys_estimate_is_the_same_without_top_n():
    rng = np.random.default_rng(4)
    for _ in range(200):
        n, m = int(rng.integers(3, 40)), int(rng.integers(3, 60))
        values = rng.choice(np.arange(1, 510), n + m, replace=False)  # distinct bins
        scores = (EDGES[values - 1] + EDGES[values]) / 2
        positives, candidates = np.sort(scores[:n]), np.sort(scores[n:])
        rows = [(float(s), True) for s in positives] + [(float(s), False) for s in candidates]
        estimate = extract(counted([rows], negatives=n + m), gamma=1.0)
        k = int(rng.integers(1, n))
        tail = int(np.sum(positives[k - 1] >= EDGES))  # the edge just above the k-th positive
        tail_ratio = (1 + np.sum(candidates >= EDGES[tail])) / estimate.c[tail]
        p = np.array([(1 + np.sum(positives < s)) / (n + 1) for s in candidates])
        null_share = (1 + np.sum(p > k / n)) / (m * (1 - k / n))
        for rank, score in enumerate(candidates, start=1):
            edge = int(np.sum(score >= EDGES))
            ours = tail_ratio * estimate.v[edge] / estimate.mined[edge]
            storey = null_share * m * p[rank - 1] / rank
            assert ours == pytest.approx(storey, rel=1e-12)


def test_gamma_bounds_the_shares_it_touches():
    counts = counted(separated(weak=100, relevant=20), 5)
    plain, allowed = extract(counts, 1.0), extract(counts, 1.5)
    assert (allowed.v >= plain.v).all()
    assert (allowed.v <= 1).all()
    assert (allowed.c <= plain.c).all()
    assert (allowed.c >= 0).all()
    assert allowed.M >= plain.M
    top = plain.c < 1
    assert allowed.c[top & (plain.c > 0)] == pytest.approx(np.maximum(0.75 / 1.5, 1 - 1.5 * 0.25), rel=1e-12)
    with pytest.raises(HardnegError, match=r"gamma is 0\.5"):
        extract(counts, 0.5)


def test_the_bound_is_never_below_poissons():
    estimate = extract(counted(separated(), 5), 1.25)
    known = np.isfinite(estimate.up)
    unseen = known & (estimate.leaked == 0)
    assert unseen.any()
    assert (estimate.up[unseen] >= 2.9957 * estimate.f[unseen]).all()


def test_choice_says_what_it_rests_on():
    counts = counted(separated(weak=8, relevant=200), 5)
    choice = choose(extract(counts, 1.25), 0.05)
    assert choice.status == "estimated"
    assert choice.index == np.sum(EDGES <= 4) - 1  # the last edge below the positives
    assert choice.threshold == EDGES[choice.index]
    assert choice.mined == 400 * 5
    assert choice.expected_rate == pytest.approx(201 / (392 / 400) * 9 / 401 / 2000)
    assert choice.expected_rate < choice.upper_bound <= 0.05
    assert choice.leak_rate == 8 / 400
    assert choice.positives_needed is None
    assert "gamma 1.25" in choice.reason
    for gamma, holds in ((choice.largest_gamma, True), (choice.largest_gamma + 0.01, False)):
        bound = extract(counts, gamma).up[choice.index]
        assert (bound <= 0.05 * choice.mined) == holds


def test_where_nothing_scores_like_a_positive_no_gamma_breaks_it():
    choice = choose(extract(counted(separated(), 5), 1.25), 0.05)
    assert choice.status == "estimated"
    assert choice.largest_gamma == 100


def test_fewer_than_twenty_positives_are_unsupported():
    nineteen = separated(19)
    choice = choose(extract(counted(nineteen, 5), 1.0), 0.5)
    assert (choice.status, choice.index, choice.threshold) == ("unsupported", None, None)
    assert choice.positives_needed == 20
    assert "19 known positives" in choice.reason
    assert choose(extract(counted(separated(200), 5), 1.0), 0.5).status == "estimated"


def test_number_needed_is_three_gamma_squared_m_over_q_mined():
    estimate = extract(counted(separated(100, relevant=80), 5), 1.25)
    choice = choose(estimate, 0.004)
    assert choice.status == "unsupported"
    mined = estimate.mined[(estimate.leaked == 0) & np.isfinite(estimate.up)].max()
    expected = 3 * 1.25 * estimate.M / (0.004 * mined)  # M holds the other gamma
    assert choice.positives_needed == pytest.approx(expected, rel=0.1)
    assert f"about {choice.positives_needed} would be needed" in choice.reason


def test_a_judge_that_cannot_tell_is_told_so():
    sample = [[(-1.0, True), *[(0.0, False)] * 6] for _ in range(300)]
    choice = choose(extract(counted(sample, 5), 1.25), 0.02)
    assert choice.status == "unsupported"
    assert choice.positives_needed is None
    assert "no number of positives would do" in choice.reason


def test_thresholds_with_too_many_empty_copies_are_unusable():
    rows = separated()
    rows[0] = [(-9.0, False), *rows[0]]  # one query alone mines below -2: 37 % of the copies lack it
    estimate = extract(counted(rows, 5), 1.0)
    alone = (estimate.edges > -9) & (estimate.edges <= -2)
    assert (estimate.mined[alone] == 1).all()
    assert np.isnan(estimate.se[alone]).all()
    assert np.isinf(estimate.up[alone]).all()
    assert choose(estimate, 0.05).status == "estimated"


def test_a_bound_that_fails_at_a_stricter_threshold_does_not_end_the_choice():
    rows = [[(5.0, False), (4.0, True), *[(-2.0, False)] * 8] for _ in range(300)]
    for query in rows[:40]:  # 40 queries mine a little at -6, and four positives leak there
        query.append((-6.0, False))
    for query in rows[:4]:
        query[1] = (-7.0, True)
    estimate = extract(counted(rows, 5), 1.25)
    choice = choose(estimate, 0.1)
    holds = (estimate.mined > 0) & (estimate.up <= 0.1 * estimate.mined)
    assert choice.index == np.flatnonzero(holds)[-1] == np.sum(EDGES <= 4) - 1
    stricter = (estimate.edges > -6) & (estimate.edges <= -2)
    assert (estimate.mined[stricter] > 0).all()
    assert not holds[stricter].any()


@given(samples(), st.sampled_from([0.02, 0.1, 0.5]), st.sampled_from([1.0, 1.25]))
@examples(60)
def test_a_higher_target_never_chooses_a_stricter_threshold(sample, target, gamma):
    queries, negatives, _ = sample
    estimate = extract(counted(queries * 20, negatives), gamma)
    found = [choose(estimate, each).index for each in (target / 2, target)]
    assert found[0] is None or found[1] >= found[0]


def test_no_queries_at_all():
    choice = choose(extract(counted([], 5)), 0.05)
    assert choice.status == "unsupported"
    assert choice.positives == 0
    with pytest.raises(HardnegError, match="between 0 and 1"):
        choose(extract(counted([], 5)), 5)


def draw_world(rng, queries=400, candidates=30, relevant_share=0.03):
    """Queries whose truth is known: rows in an order that prefers the relevant, as similarity does."""
    truth = rng.random((queries, candidates + 1)) < relevant_share
    truth[:, 0] = True  # the known positive, a relevant passage like any other
    order = np.argsort(-(1.5 * truth + rng.normal(size=truth.shape)), axis=1)
    scores = rng.normal(3.0 * truth)
    known = np.zeros_like(truth)
    known[:, 0] = True
    return tuple(np.take_along_axis(each, order, axis=1) for each in (truth, scores, known))


def test_true_rate_meets_the_target_over_draws():
    rng = np.random.default_rng(6)
    met, estimated, negatives = 0, 0, 5
    for _ in range(40):
        truth, scores, known = draw_world(rng)
        ids = [f"q{rng.integers(1 << 40)}" for _ in truth]
        query = np.repeat(np.arange(len(truth)), truth.shape[1])
        counts = selection_counts(ids, query, scores.ravel(), known.ravel(), negatives)
        choice = choose(extract(counts, 1.0), 0.05)
        if choice.status == "unsupported":
            continue
        estimated += 1
        passes = (scores < choice.threshold) & ~known
        mined = passes & (np.cumsum(passes, axis=1) <= negatives)
        assert mined.sum() == choice.mined
        met += (mined & truth).sum() <= 0.05 * mined.sum()
    assert estimated >= 38
    assert met >= 0.95 * estimated

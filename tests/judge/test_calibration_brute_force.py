"""The estimator against a brute force (only copy weights and edges shared) on thousands of random cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2

from hardneg.transforms.judge.counts import copy_weights, edges, selection_counts
from hardneg.transforms.judge.false_negative_rate import choose, extract

EDGES = edges("standardised")


def mined_places(rows, threshold, negatives):
    """Places of the candidates that the rule mines: rows of (score, is_positive) in selection order."""
    taken = []
    for place, (score, is_positive) in enumerate(rows):
        if not is_positive and score < threshold and len(taken) < negatives:
            taken.append(place)
    return taken


def unlabelled(rows, place):
    """The query as it would be had that positive not been known; the other positives stay masked."""
    return [(score, is_positive and i != place) for i, (score, is_positive) in enumerate(rows)]


def tally(queries, threshold, negatives):
    """Per query: mined, leaked, positives and candidates at or above the threshold."""
    result = []
    for rows in queries:
        places = [i for i, (_, is_positive) in enumerate(rows) if is_positive]
        result.append(
            (
                len(mined_places(rows, threshold, negatives)),
                sum(p in mined_places(unlabelled(rows, p), threshold, negatives) for p in places),
                sum(rows[p][0] >= threshold for p in places),
                sum(score >= threshold for score, is_positive in rows if not is_positive),
            )
        )
    return np.array(result, dtype=float).reshape(-1, 4)


class BruteForce:
    """The page's ``extract`` and ``choose``, word by word, with scalar arithmetic."""

    def __init__(self, queries, ids, negatives):
        self.weights = copy_weights(ids).astype(float)
        self.candidates = np.array([sum(not p for _, p in rows) for rows in queries]) @ self.weights
        self.n = np.array([sum(p for _, p in rows) for rows in queries]) @ self.weights
        scores = {score for rows in queries for score, _ in rows}
        by_passing = {}
        self.sums = []  # per threshold: 4 x copies; the same object where the same scores pass
        for threshold in EDGES:
            passing = sum(score < threshold for score in scores)
            if passing not in by_passing:
                by_passing[passing] = tally(queries, threshold, negatives).T @ self.weights
            self.sums.append(by_passing[passing])

    def relevant(self, copy, gamma):
        n, best = self.n[copy], math.inf
        for sums in {id(each): each for each in self.sums}.values():
            _, _, above, candidates_above = sums[:, copy]
            if above >= max(20, n / 10):
                c = above / n
                best = min(best, (1 + candidates_above) / max(c / gamma, 1 - gamma * (1 - c)))
        return min(best, self.candidates[copy])

    def choice(self, target, gamma):
        if not any(each[2, 0] >= max(20, self.n[0] / 10) for each in self.sums):
            return None
        relevant = [self.relevant(copy, gamma) for copy in range(101)]
        chosen, known = None, {}
        for k, each in enumerate(self.sums):
            key = id(each)
            if key not in known:
                known[key] = self.meets(each, relevant, target, gamma)
            if known[key]:
                chosen = k
        return chosen

    def meets(self, sums, relevant, target, gamma):
        def v(copy):
            share = (sums[1, copy] + 1) / (self.n[copy] + 1)
            return min(gamma * share, 1 - (1 - share) / gamma)

        logs = [math.log(relevant[w] * v(w) / sums[0, w]) for w in range(1, 101) if sums[0, w] > 0 and relevant[w] > 0]
        if len(logs) < 95 or sums[0, 0] == 0:
            return False
        u = sums[1, 0] + 1
        factor = max(math.exp(1.645 * np.std(logs, ddof=1)), chi2.ppf(0.95, 2 * u) / (2 * u))
        return relevant[0] * v(0) * factor <= target * sums[0, 0]


def columns(queries):
    """The columnar form of lists of (score, is_positive)."""
    query = np.repeat(np.arange(len(queries)), [len(rows) for rows in queries])
    flat = [row for rows in queries for row in rows]
    return query, np.array([s for s, _ in flat], dtype=float), np.array([p for _, p in flat], dtype=bool)


def counted(queries, negatives, ids=None, **options):
    ids = [f"q{i}" for i in range(len(queries))] if ids is None else ids
    return selection_counts(ids, *columns(queries), negatives, **options)


def small_case(rng):
    """A few queries of a few rows, with ties, edges, values outside the scale, pools smaller than N."""
    pool = np.concatenate([rng.choice(EDGES, 3), rng.uniform(-11, 11, 3), [-12.0, 10.0, 13.0]])
    share = rng.choice([0.1, 0.4, 0.8])
    queries = [
        [(float(rng.choice(pool)), bool(rng.random() < share)) for _ in range(rng.integers(0, 9))]
        for _ in range(rng.integers(1, 4))
    ]
    return queries, int(rng.integers(1, 6))


def realistic_case(rng):
    """Queries with hidden relevant candidates; scores in a few distinct values, so that ties abound."""
    queries = []
    separation, relevant_share = rng.uniform(0.5, 5), rng.choice([0.0, 0.02, 0.1, 0.2])
    for _ in range(rng.integers(15, 160)):
        rows = []
        for _ in range(rng.integers(4, 25)):
            relevant = rng.random() < relevant_share
            rows.append((round(float(rng.normal(separation * relevant, 1)) * 2) / 2, False))
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            score = round(float(rng.normal(separation, 1)) * 2) / 2
            rows.insert(rng.integers(0, len(rows) + 1), (score, True))
        queries.append(rows)
    return queries, int(rng.integers(1, 5))


def test_counts_equal_a_brute_force_that_unlabels_each_positive():
    rng = np.random.default_rng(1)
    for _ in range(2000):
        queries, negatives = small_case(rng)
        copies = 4
        counts = counted(queries, negatives, copies=copies)
        weights = copy_weights([f"q{i}" for i in range(len(queries))], copies)
        ours = [np.cumsum(each, axis=1) for each in (counts.R, counts.V, counts.C, counts.A)]
        interesting = {0, 511, *rng.integers(0, 512, 2)}
        for score in {score for rows in queries for score, _ in rows}:
            k = int(np.sum(score >= EDGES))
            interesting |= {min(k, 511), max(k - 1, 0)}
        for k in interesting:
            expected = tally(queries, EDGES[k], negatives).T @ weights
            mined, leaked, above, candidates_above = expected
            assert (ours[0][:, k] == mined).all()
            assert (ours[1][:, k] == leaked).all()
            assert (ours[2][:, -1] - ours[2][:, k] == above).all()
            assert (ours[3][:, -1] - ours[3][:, k] == candidates_above).all()


@pytest.mark.slow
def test_choices_equal_the_brute_force():
    rng = np.random.default_rng(2)
    statuses, permissive = {"estimated": 0, "unsupported": 0}, 0
    for _ in range(50):
        queries, negatives = realistic_case(rng)
        ids = [f"q{rng.integers(1 << 40)}" for _ in queries]
        brute = BruteForce(queries, ids, negatives)
        counts = counted(queries, negatives, ids)
        for gamma in (1.0, 1.25, 2.0):
            estimate = extract(counts, gamma)
            assert math.isclose(estimate.M, brute.relevant(0, gamma), rel_tol=1e-12)
            for target in (0.02, 0.05, 0.1, 0.3):
                choice = choose(estimate, target)
                assert choice.index == brute.choice(target, gamma)
                statuses[choice.status] += 1
                permissive += choice.index == 511
    # The cases must be worth something: all three ends are reached often.
    assert min(permissive, statuses["estimated"] - permissive, statuses["unsupported"]) >= 50


def test_many_queries_are_counted_in_chunks_exactly():
    rng = np.random.default_rng(3)
    queries, negatives = realistic_case(rng)
    whole = counted(queries, negatives)
    chunked = counted(queries, negatives, at_once=7)
    for name in "ARCV":
        assert np.array_equal(getattr(whole, name), getattr(chunked, name))

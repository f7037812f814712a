"""Choose a threshold for a 5 % false-negative rate in four ways, where the truth is known.

    python -m benchmarks.estimator

3,000 queries of 50 candidates of which 3 % are relevant, one known positive a query, 5 negatives asked. In
the selection order (similarity, say) relevant passages come early; the judge's score separates them less
than perfectly. The known positives are like the other relevant passages, so gamma is 1. Benjamini-Hochberg
(BH) on conformal p-values (Bates et al. 2023) and BH with Storey's correction look at all candidates under
the threshold, not at the first five of each query.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import numpy as np

from hardneg.transforms.judge.counts import selection_counts
from hardneg.transforms.judge.false_negative_rate import Estimate, choose, extract

QUERIES, CANDIDATES, NEGATIVES, TARGET, RELEVANT = 3000, 50, 5, 0.05, 0.03
ORDER_SEPARATION, JUDGE_SEPARATION = 3.0, 2.5  # in standard deviations
STOREY_LAMBDA = 0.5


def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return is_relevant, judge score, is_positive: each (queries, candidates + 1), in selection order."""
    relevant = rng.random((QUERIES, CANDIDATES + 1)) < RELEVANT
    relevant[:, 0] = True
    positive = np.zeros_like(relevant)
    positive[:, 0] = True
    order = np.argsort(-rng.normal(ORDER_SEPARATION * relevant), axis=1)
    score = rng.normal(JUDGE_SEPARATION * relevant)
    rows = np.arange(QUERIES)[:, None]
    return relevant[rows, order], score[rows, order], positive[rows, order]


def by_bound(estimate: Estimate) -> float:
    """Return the threshold chosen by the upper bound; -inf, which nothing passes, if there is none."""
    threshold = choose(estimate, TARGET).threshold
    return -np.inf if threshold is None else threshold


def by_point(estimate: Estimate) -> float:
    """Return the threshold that the same rule would choose by the point estimate."""
    return by_bound(dataclasses.replace(estimate, up=estimate.f))


def by_bh(score: np.ndarray, positive: np.ndarray, storey: bool) -> float:
    """Return the threshold of Benjamini-Hochberg at the target; candidates below it pass."""
    positives, candidates = np.sort(score[positive]), np.sort(score[~positive])
    p = (1 + np.searchsorted(positives, candidates)) / (len(positives) + 1)
    share = 1.0
    if storey:
        share = (1 + np.sum(p > STOREY_LAMBDA)) / (len(p) * (1 - STOREY_LAMBDA))
    passing = np.flatnonzero(share * p <= TARGET * np.arange(1, len(p) + 1) / len(p))
    if not len(passing):
        return -np.inf
    return float(np.nextafter(candidates[passing[-1]], np.inf))


def truth(relevant: np.ndarray, score: np.ndarray, positive: np.ndarray, threshold: float) -> tuple[float, float]:
    """Return the false-negative rate and the yield of the whole rule at a threshold."""
    passes = (score < threshold) & ~positive
    mined = passes & (np.cumsum(passes, axis=1) <= NEGATIVES)
    return float((mined & relevant).sum() / max(mined.sum(), 1)), float(mined.sum() / (QUERIES * NEGATIVES))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=20)
    draws = parser.parse_args(argv).draws
    figures: dict[str, list[tuple[float, float]]] = {}
    started = time.perf_counter()
    for seed in range(draws):
        relevant, score, positive = draw(np.random.default_rng(seed))
        query = np.repeat(np.arange(QUERIES), CANDIDATES + 1)
        ids = [f"draw {seed}, query {i}" for i in range(QUERIES)]
        counts = selection_counts(ids, query, score.ravel(), positive.ravel(), NEGATIVES)
        exact, allowing = extract(counts, 1.0), extract(counts, 1.25)
        thresholds = {
            "full rule, point estimate": by_point(exact),
            "full rule, upper bound": by_bound(exact),
            "full rule, upper bound, gamma 1.25": by_bound(allowing),
            "BH": by_bh(score, positive, storey=False),
            "Storey-BH": by_bh(score, positive, storey=True),
        }
        for name, threshold in thresholds.items():
            figures.setdefault(name, []).append(truth(relevant, score, positive, threshold))
    print(f"{draws} draws of {QUERIES} queries x {CANDIDATES} candidates, N = {NEGATIVES}, q = {TARGET:.0%}")
    print(f"{'threshold chosen by':36}{'true rate':>10}{'highest':>9}{'above q':>9}{'yield':>8}")
    for name, pairs in figures.items():
        rate, yielded = np.array(pairs).T
        print(
            f"{name:36}{rate.mean():>10.1%}{rate.max():>9.1%}{(rate > TARGET).sum():>6}/{draws}{yielded.mean():>8.1%}"
        )
    print(f"{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()

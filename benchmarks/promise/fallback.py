"""What stands in where a target is unsupported: true rate, yield and hardness, positives withheld down to a few.

    python -m benchmarks.promise.fallback --data DATA --runs RUNS

Takes the scored runs of ``benchmarks.false_negatives`` and runs no model. In each draw a part of the queries is taken,
and one known positive of some of them; all else that is relevant is hidden. The judge is fitted, and the threshold
chosen, on what a calibration sample scores; what is then mined of these queries is judged by what is hidden. Beside the
fallback stand the thresholds of two leak rates: the lowest known positive, where there are too few for one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.promise.__main__ import NEGATIVES, mine, scored_part
from benchmarks.promise.rows import SIMILARITY, Mask, Rows, read_rows
from benchmarks.withheld import NAMES, read_collection
from hardneg.transforms.judge.fallback import ScoredCandidates, fall_back
from hardneg.transforms.judge.judge import apply_judge, cross_fit, fit_judge

POSITIVES = (5, 10, 20, 37, 80)
LEAKS = (0.05, 0.1)
QUERIES = 30  # at least; otherwise a third more than there are positives


def draw(rows: Rows, positives: int, rng: np.random.Generator) -> tuple[Rows, Mask]:
    """Return some queries, and which of their rows are known: one of a query, of as many queries."""
    size = min(len(rows.query_ids), max(QUERIES, round(positives * 4 / 3)))
    part = rows.of(rng.choice(len(rows.query_ids), size, replace=False).tolist())
    known = np.zeros(len(part.query), dtype=np.bool_)
    having = np.unique(part.query[part.relevant & part.retrieved])
    for query in rng.permutation(having)[:positives]:
        known[rng.choice(np.flatnonzero((part.query == query) & part.relevant & part.retrieved))] = True
    return part, known


def thresholds(rows: Rows, known: Mask) -> tuple[dict[str, float], np.ndarray]:
    """Return the threshold of each rule, and the scores that are compared with it."""
    part = scored_part(rows, known, all_scored=False)
    candidate = rows.retrieved & ~known
    weight = np.where(known, 1, part.weight)
    fitted: dict[str, Any] = {"is_candidate": candidate, "in_window": rows.retrieved, "weight": weight}
    scores = cross_fit(rows.signals, rows.query_ids, rows.query, known, **fitted).astype(np.float64)
    judge = fit_judge(rows.signals, rows.query, known, **fitted)
    published = apply_judge(judge, rows.signals, rows.query, in_window=rows.retrieved)
    here, positives = part.weight > 0, np.sort(scores[known])
    candidates = ScoredCandidates(rows.query[here], scores[here], part.weight[here])
    of_judge = published[here].astype(np.float64)
    found = fall_back(positives, candidates, len(rows.query_ids), NEGATIVES, judge.scale, of_judge)
    leaks = {f"leak {rate:g}": float(positives[max(int(rate * (len(positives) + 1)), 1) - 1]) for rate in LEAKS}
    return {**leaks, "fallback": found.threshold}, published


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the collections")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of the scored runs")
    parser.add_argument("--collections", nargs="+", default=list(NAMES))
    parser.add_argument("--draws", type=int, default=30)
    options = parser.parse_args(argv)
    print(f"{'':18}{'positives':>10}{'relevant':>10}  {'rule':10}{'mean rate':>10}{'upper decile':>14}{'yield':>8}"
          f"{'least':>7}{'hardness':>10}")  # fmt: skip
    for name in options.collections:
        rows = read_rows(str(options.runs / name), read_collection(options.data / name))
        for positives in POSITIVES:
            outcomes: dict[str, list[tuple[float, float, float]]] = {}
            shares = []
            for seed in range(options.draws):
                part, known = draw(rows, positives, np.random.default_rng([seed, positives]))
                shares.append(float(part.relevant[part.retrieved & ~known].mean()))
                found, published = thresholds(part, known)
                for rule, threshold in found.items():
                    mined = mine(part, (published < threshold) & part.retrieved & ~known)
                    rate = part.relevant[mined].mean() if mined.any() else np.nan
                    hardness = part.signals[SIMILARITY][mined].mean() if mined.any() else np.nan
                    yielded = mined.sum() / (NEGATIVES * len(part.query_ids))
                    outcomes.setdefault(rule, []).append((float(rate), float(yielded), float(hardness)))
            for rule, each in outcomes.items():
                rates, yields, hardness = np.array(each).T
                print(
                    f"{name:18}{positives:>10}{np.mean(shares):>10.0%}  {rule:10}{np.nanmean(rates):>10.1%}"
                    f"{np.nanquantile(rates, 0.9):>14.1%}{yields.mean():>8.0%}{yields.min():>7.0%}"
                    f"{np.nanmean(hardness):>10.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

"""How often the promise breaks where the truth is known: by what is chosen, from all candidates and from a part.

    python -m benchmarks.promise.simulated

Three rules: a walk from the strict end to the first failure, which `choose` replaced; `choose`, all candidates of each
query scored; `choose` on the part of them that is scored, `sample_rows`. Each line: draws in which a threshold was
estimated, and, of those, in which more of the mined than was asked are relevant; the mean true rate; what was mined
of what was asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.promise.worlds import WORLDS, Drawn, World, draw
from hardneg.transforms.judge.counts import Counts, selection_counts
from hardneg.transforms.judge.false_negative_rate import DEFAULT_GAMMA, Estimate, choose, extract
from hardneg.transforms.judge.sample_rows import all_rows, sample_rows

NEGATIVES = 5
TARGETS = (0.02, 0.05, 0.1)
Outcomes = list[tuple[float, float]]  # true rate, yield


def by_walk(estimate: Estimate, target: float) -> float | None:
    """Return the last threshold before the first failure, from the first that holds."""
    if not estimate.in_tail.any():
        return None
    holds = (estimate.mined > 0) & (estimate.up <= target * estimate.mined)
    if not holds.any():
        return None
    first = int(holds.argmax())
    failures = np.flatnonzero(~holds[first:])
    return float(estimate.edges[first + failures[0] - 1 if len(failures) else -1])


def chosen(estimate: Estimate, target: float) -> float | None:
    """Return the threshold that hardneg chooses."""
    return choose(estimate, target).threshold


def counts_of(drawn: Drawn, name: str, lots: np.random.Generator | None) -> Counts:
    """Count a drawn collection, all of it scored, or, with lots, the part that a calibration sample scores."""
    queries, width = drawn.score.shape
    ids = [f"{name}, query {number}" for number in range(queries)]
    query, score, known = np.repeat(np.arange(queries), width), drawn.score.ravel(), drawn.known.ravel()
    part = all_rows(~known, known)
    if lots is not None:
        order = -np.arange(len(query)).astype(np.float64)
        part = sample_rows(query, ~known, known, order, lots.permutation(len(query)), NEGATIVES)
    kept = (part.weight > 0) | known
    in_order, weight = part.in_order[kept], part.weight[kept]
    return selection_counts(ids, query[kept], score[kept], known[kept], NEGATIVES, in_order=in_order, weight=weight)


Rule = Callable[[Estimate, float], float | None]
RULES: dict[str, tuple[bool, Rule]] = {
    "walk, all scored": (False, by_walk),
    "laxest, all scored": (False, chosen),
    "laxest, a part scored": (True, chosen),
}


def try_world(world: World, draws: int) -> dict[tuple[float, str], Outcomes]:
    """Return, per target and rule, what came of each draw in which a threshold was estimated."""
    found: dict[tuple[float, str], Outcomes] = {(target, rule): [] for target in TARGETS for rule in RULES}
    for seed in range(draws):
        drawn = draw(world, np.random.default_rng(seed))
        lots = np.random.default_rng([seed, 1])
        whole, part = (extract(counts_of(drawn, f"draw {seed}", each), DEFAULT_GAMMA) for each in (None, lots))
        for (target, rule), outcomes in found.items():
            is_part, choice = RULES[rule]
            threshold = choice(part if is_part else whole, target)
            if threshold is not None:
                mined = drawn.mined(threshold, NEGATIVES)
                asked = NEGATIVES * world.queries
                outcomes.append((float(drawn.relevant[mined].mean()), float(mined.sum() / asked)))
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=60)
    draws = parser.parse_args(argv).draws
    head = f"{'estimated':>11}{'broken':>8}{'mean':>8}{'yield':>7}"
    print(f"{'':36}{'asked':>7}" + "".join(f"   {rule:^34}" for rule in RULES))
    print(f"{'':43}" + f"   {head}" * len(RULES))
    totals: dict[str, list[int]] = {rule: [0, 0] for rule in RULES}
    for world in WORLDS:
        found = try_world(world, draws)
        for target in TARGETS:
            line = f"{world.name:36}{target:>7.0%}"
            for rule in RULES:
                rates, yielded = np.array(found[target, rule]).reshape(-1, 2).T
                broken = int((rates > target).sum())
                totals[rule] = [totals[rule][0] + len(rates), totals[rule][1] + broken]
                figures = f"{rates.mean():>8.1%}{yielded.mean():>7.0%}" if len(rates) else f"{'':15}"
                line += f"   {len(rates):>11}{broken:>8}{figures}"
            print(line, flush=True)
    for rule, (estimated, broken) in totals.items():
        print(f"{rule}: {broken} of {estimated} promises broken ({broken / max(estimated, 1):.1%})")


if __name__ == "__main__":
    main()

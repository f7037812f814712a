"""What became of triplets between two runs, against the plainest way to say it; runs are made by hand."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_run import candidate, write_run

from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.reports.run_difference import drift, shares_of_store
from hardneg.transforms.reports.triplet_changes import EXAMPLES_SHOWN, changes_between

Triplets = dict[tuple[str, str, str], tuple[str, str, str]]


def random_run(folder: Path, seed: int, shards: int) -> tuple[FinishedRun, Triplets, set[str]]:
    """Make a run of a small world, in which texts, positives and negatives differ by the seed; return its triplets."""
    draw = random.Random(seed)
    queries = {
        f"q{n}": f"question {n} {draw.choice('ab') if n % 3 == 0 else ''}" for n in range(12) if draw.random() < 0.8
    }
    # p0 and p1 have one text, whatever the seed.
    texts = {f"p{n}": f"passage {max(n, 1)} {draw.choice('abc') if n > 8 else ''}" for n in range(14)}
    rows: list[dict[str, Any]] = []
    triplets: Triplets = {}
    for query in queries:
        ids = draw.sample(sorted(texts), 6)
        positives, negatives = sorted(ids[: draw.choice([1, 1, 2])]), ids[2:5]
        if draw.random() < 0.3:
            positives = ["p0", "p1"]
            negatives = [each for each in negatives if each not in positives]
        rows += [candidate(query, each, "positive", logit=2.0) for each in positives]
        rows += [
            candidate(query, each, "negative", logit=-1.0, selected=place + 1) for place, each in enumerate(negatives)
        ]
        seen: set[str] = set()
        distinct = [each for each in positives if not (texts[each] in seen or seen.add(texts[each]))]  # type: ignore[func-returns-value]
        for positive, negative in product(distinct, negatives):
            triplets[query, positive, negative] = queries[query], texts[positive], texts[negative]
    write_run(folder, queries, texts, rows, shards=shards)
    return FinishedRun.open(str(folder)), triplets, set(queries)


@pytest.mark.parametrize("seed", range(6))
def test_changes_are_those_that_sets_tell(seed: int, tmp_path: Path) -> None:
    """Also where the runs are cut into other numbers of shards."""
    before, old, old_queries = random_run(tmp_path / "before", seed, 2)
    now, new, new_queries = random_run(tmp_path / "now", seed + 100, 2 if seed % 2 else 3)
    found = changes_between(before, now, (False, False))
    both = old.keys() & new.keys()
    assert found.kept == sum(old[key] == new[key] for key in both)
    assert found.changed.count == sum(old[key] != new[key] for key in both)
    assert found.added.count == len(new.keys() - old.keys())
    assert found.removed.count == len(old.keys() - new.keys())
    assert (found.gained.count, found.lost.count) == (len(new_queries - old_queries), len(old_queries - new_queries))
    examples = {tuple(ids) for _, ids in found.added.examples}
    assert examples <= new.keys() - old.keys()
    assert len(examples) == min(EXAMPLES_SHOWN, found.added.count)
    assert {ids[0] for _, ids in found.lost.examples} == set(sorted(old_queries - new_queries))


def test_a_run_beside_itself_has_not_changed(tmp_path: Path) -> None:
    run, triplets, _ = random_run(tmp_path / "run", 1, 2)
    found = changes_between(run, run, (False, False))
    assert found.kept == len(triplets) > 0
    assert found.added.count + found.removed.count + found.changed.count + found.gained.count + found.lost.count == 0


def test_drift_is_the_largest_distance_of_two_distributions() -> None:
    same = drift(np.arange(100.0), np.arange(100.0))
    assert same is not None
    assert (same["statistic"], same["p_value"]) == (0.0, 1.0)
    moved = drift(np.arange(100.0), np.arange(100.0) + 30)
    assert moved is not None
    assert moved["statistic"] == pytest.approx(0.3)
    assert moved["p_value"] < 0.01
    assert moved["medians"] == [49.5, 79.5]
    assert drift(np.zeros(0), np.arange(3.0)) is None


def test_shares_of_the_store() -> None:
    counts = {"logits_found": 30, "logits_computed": 10, "passages_encoded": 5, "queries_encoded_before": 4}
    assert shares_of_store(counts) == {"pairs": 0.75, "passages": 0.0, "queries": 1.0}
    assert shares_of_store({}) == {"pairs": None, "passages": None, "queries": None}

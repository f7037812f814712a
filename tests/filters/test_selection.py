"""Selection order, the lazy loop and the choice of negatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.transforms.core.source import Source
from hardneg.transforms.filters.order import Order, next_tries, select, selection_order, selection_score, try_lazily

BM25 = Source("bm25", signal="bm25")
FIRST, SECOND = Source.of_similarity("first"), Source.of_similarity("second")


def passes(logits: np.ndarray) -> np.ndarray:
    return logits < 0


@st.composite
def blocks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return query of each candidate, the rows to try in order, and the logit each candidate would get."""
    sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=6))
    query = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = rng.normal(draw(st.sampled_from([-2, 0, 2])), 1, len(query)).astype(np.float32)
    eligible = rng.random(len(query)) < draw(st.sampled_from([0.3, 0.9, 1]))
    rows = np.flatnonzero(eligible)
    return query, rows[np.lexsort((rng.random(len(rows)), query[rows]))], logits


def scored_alone(ordered: list[int], truth: np.ndarray, negatives: int) -> set[int]:
    """Return what one query's candidates need: as many as are lacking, or an eighth of those tried, each time."""
    done = 0
    while done < len(ordered):
        lacking = negatives - int((truth[ordered[:done]] < 0).sum())
        if lacking <= 0:
            break
        done += max(lacking, done // 8)
    return set(ordered[:done])


def tried(query: np.ndarray, ordered: np.ndarray, truth: np.ndarray, negatives: int) -> list[list[int]]:
    calls: list[list[int]] = []

    def passing(rows: np.ndarray) -> np.ndarray:
        calls.append(rows.tolist())
        return passes(truth[rows])

    try_lazily(query, ordered, negatives, passing)
    return calls


@settings(deadline=None)
@given(blocks(), st.integers(1, 7))
def test_what_is_tried_depends_on_each_query_alone(
    block: tuple[np.ndarray, np.ndarray, np.ndarray], negatives: int
) -> None:
    query, ordered, truth = block
    calls = tried(query, ordered, truth, negatives)
    expected = set()
    for number in range(int(query.max(initial=-1)) + 1):
        expected |= scored_alone([row for row in ordered.tolist() if query[row] == number], truth, negatives)
    rows = [row for call in calls for row in call]
    assert set(rows) == expected
    assert len(rows) == len(set(rows)), "nothing is tried twice"
    assert all(calls), "no empty batch goes to the model"


@settings(deadline=None)
@given(blocks(), st.integers(1, 7))
def test_trying_lazily_selects_what_trying_all_does(
    block: tuple[np.ndarray, np.ndarray, np.ndarray], negatives: int
) -> None:
    query, ordered, truth = block
    lazily = np.zeros(len(query), dtype=bool)
    for rows in tried(query, ordered, truth, negatives):
        lazily[rows] = passes(truth[rows])
    everything = np.zeros(len(query), dtype=bool)
    everything[ordered] = passes(truth[ordered])
    np.testing.assert_array_equal(
        select(query, ordered, lazily, negatives), select(query, ordered, everything, negatives)
    )


@settings(deadline=None)
@given(blocks(), st.integers(1, 7))
def test_the_first_that_pass_are_chosen(block: tuple[np.ndarray, np.ndarray, np.ndarray], negatives: int) -> None:
    query, ordered, truth = block
    selected = select(query, ordered, passes(truth), negatives)
    expected = np.zeros(len(query), dtype=int)
    chosen: dict[int, int] = {}
    for row in ordered.tolist():
        number = int(query[row])
        if truth[row] < 0 and chosen.get(number, 0) < negatives:
            chosen[number] = expected[row] = chosen.get(number, 0) + 1
    np.testing.assert_array_equal(selected, expected)
    assert selected.dtype == np.int32


@settings(deadline=None)
@given(blocks(), st.integers(1, 7))
def test_little_is_tried_beyond_the_last_that_is_mined(
    block: tuple[np.ndarray, np.ndarray, np.ndarray], negatives: int
) -> None:
    query, ordered, truth = block
    rows = {row for call in tried(query, ordered, truth, negatives) for row in call}
    selected = select(query, ordered, passes(truth), negatives)
    for number in np.unique(query[ordered]):
        own = ordered[query[ordered] == number]
        done = sum(row in rows for row in own.tolist())
        if (selected[own] == negatives).any():
            needed = int(np.flatnonzero(selected[own] == negatives)[0]) + 1
            assert needed <= done < needed + max(1, done / 8)
        else:
            assert done == len(own)


def test_the_schedule_does_not_change() -> None:
    """Another schedule scores other candidates, so that candidates/ differs."""
    lacking, done = np.array([5, 5, 2, 1, 1, 0]), np.array([0, 5, 8, 80, 7, 80])
    assert next_tries(lacking, done).tolist() == [5, 5, 2, 10, 1, 0]


def test_nothing_to_try() -> None:
    query, none = np.array([0, 0, 3], dtype=np.int32), np.empty(0, dtype=np.int64)
    for some in (query, query[:0]):
        assert tried(some, none, np.zeros(len(some)), 5) == []
        assert select(some, none, np.zeros(len(some), dtype=bool), 5).tolist() == [0] * len(some)


CANDIDATES = pa.table(
    {
        "query": pa.array([0, 0, 0, 1, 1, 1], pa.int32()),
        "passage_id": ["a", "b", "c", "a", "b", "c"],
        "similarity_first": pa.array([0.5, 0.7, 0.7, 0.1, 0.2, 0.3], pa.float32()),
        "similarity_second": pa.array([0.9, 0.1, 0.2, 0.3, 0.2, 0.1], pa.float32()),
        "fused_rank": pa.array([1, 3, 2, 3, None, 1], pa.int32()),
    }
)


IDS = pa.chunked_array([["q", "q", "q", "r", "r", "r"]])


def order_of(order: Order, sources: list[Source], eligible: np.ndarray, **more: Any) -> list[int]:
    score = selection_score(CANDIDATES, IDS, order, sources, **more)
    return selection_order(CANDIDATES["query"].to_numpy(), eligible, score).tolist()


@pytest.mark.parametrize(
    ("order", "sources", "expected"),
    [
        # The tie of b and c in query 0 is broken by passage id.
        ("similarity", [BM25, FIRST, SECOND], [1, 2, 0, 5, 4, 3]),
        ("similarity", [SECOND, BM25, FIRST], [0, 2, 1, 3, 4, 5]),
        ("fused", [BM25, FIRST, SECOND], [0, 2, 1, 5, 3, 4]),
    ],
)
def test_selection_order(order: Order, sources: list[Source], expected: list[int]) -> None:
    assert order_of(order, sources, np.ones(6, dtype=bool)) == expected
    some = np.array([True, False, True, False, True, True])
    assert order_of(order, sources, some) == [row for row in expected if some[row]]


def test_the_judge_orders_by_its_scores() -> None:
    scores = np.array([0.1, np.nan, 0.3, 2, 2, -5], dtype=np.float32)
    assert order_of("judge", [FIRST], np.ones(6, dtype=bool), judge_scores=scores) == [2, 0, 1, 3, 4, 5]


def test_lots_depend_on_the_pair_and_the_seed_alone() -> None:
    everything = np.ones(6, dtype=bool)
    orders = {tuple(order_of("random", [FIRST], everything, seed=seed)) for seed in range(30)}
    assert len(orders) > 10
    alone = CANDIDATES.slice(2, 1)
    for seed in (0, 7):
        whole = selection_score(CANDIDATES, IDS, "random", [FIRST], seed)
        assert selection_score(alone, IDS.slice(2, 1), "random", [FIRST], seed) == whole[2]
        assert whole[1] != whole[4], "another query, another lot"

"""Selection order, the lazy loop and the choice of negatives."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.transforms.fusion import Source
from hardneg.transforms.masking import Reason, Verdict
from hardneg.transforms.selection import judge_candidates, score_lazily, selection_order, steps

BM25, FIRST, SECOND = Source("bm25", "bm25"), Source("dense", "first"), Source("dense", "second")


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


def scorer(truth: np.ndarray, calls: list[list[int]]) -> Callable[[np.ndarray], np.ndarray]:
    def score(rows: np.ndarray) -> np.ndarray:
        calls.append(rows.tolist())
        return truth[rows]

    return score


def scored_alone(ordered: list[int], truth: np.ndarray, negatives: int) -> set[int]:
    """Return what one query's candidates need: the smallest step after which there are enough negatives."""
    for upto in steps(negatives):
        if upto >= len(ordered) or (truth[ordered[:upto]] < 0).sum() >= negatives:
            return set(ordered[:upto])
    raise AssertionError


@settings(deadline=None)
@given(blocks(), st.integers(1, 7))
def test_what_is_scored_depends_on_each_query_alone(
    block: tuple[np.ndarray, np.ndarray, np.ndarray], negatives: int
) -> None:
    query, ordered, truth = block
    calls: list[list[int]] = []
    logits = score_lazily(query, ordered, negatives, scorer(truth, calls), passes)
    expected = set()
    for number in range(int(query.max(initial=-1)) + 1):
        expected |= scored_alone([row for row in ordered.tolist() if query[row] == number], truth, negatives)
    assert set(np.flatnonzero(~np.isnan(logits)).tolist()) == expected
    scored = [row for call in calls for row in call]
    assert len(scored) == len(set(scored)), "nothing is scored twice"
    assert all(calls), "no empty batch goes to the model"
    np.testing.assert_array_equal(logits[scored], truth[scored])
    assert logits.dtype == np.float32


def judge(query: np.ndarray, ordered: np.ndarray, logits: np.ndarray, negatives: int) -> tuple[np.ndarray, ...]:
    verdicts, reasons = (np.full(len(query), None, dtype=object) for _ in range(2))
    selected = judge_candidates(query, ordered, logits, passes(logits), negatives, verdicts, reasons)
    return selected, verdicts, reasons


@settings(deadline=None)
@given(blocks(), st.integers(1, 7))
def test_lazy_and_full_scoring_select_the_same(
    block: tuple[np.ndarray, np.ndarray, np.ndarray], negatives: int
) -> None:
    query, ordered, truth = block
    full = score_lazily(query, ordered, None, lambda rows: truth[rows], passes)
    lazy = score_lazily(query, ordered, negatives, lambda rows: truth[rows], passes)
    assert set(np.flatnonzero(~np.isnan(full)).tolist()) == set(ordered.tolist())
    selected, verdicts, reasons = judge(query, ordered, full, negatives)
    lazily, lazy_verdicts, lazy_reasons = judge(query, ordered, lazy, negatives)
    np.testing.assert_array_equal(selected, lazily)
    scored = ~np.isnan(lazy)
    assert (lazy_verdicts[scored] == verdicts[scored]).all()
    assert (lazy_reasons[scored] == reasons[scored]).all()
    assert (lazy_verdicts[ordered[~scored[ordered]]] == Verdict.UNSCORED).all()


@settings(deadline=None)
@given(blocks(), st.integers(1, 7))
def test_the_first_that_pass_are_chosen(block: tuple[np.ndarray, np.ndarray, np.ndarray], negatives: int) -> None:
    query, ordered, truth = block
    logits = np.full(len(query), np.nan, dtype=np.float32)
    logits[ordered] = truth[ordered]
    selected, verdicts, reasons = judge(query, ordered, logits, negatives)
    expected = np.zeros(len(query), dtype=int)
    chosen: dict[int, int] = {}
    for row in ordered.tolist():
        number = int(query[row])
        if truth[row] < 0 and chosen.get(number, 0) < negatives:
            chosen[number] = expected[row] = chosen.get(number, 0) + 1
    np.testing.assert_array_equal(selected, expected)
    assert selected.dtype == np.int32
    for row in range(len(query)):
        if row not in ordered:
            assert (verdicts[row], reasons[row]) == (None, None)
        elif truth[row] < 0:
            assert (verdicts[row], reasons[row]) == (Verdict.NEGATIVE, None)
        else:
            assert (verdicts[row], reasons[row]) == (Verdict.SUSPECTED_POSITIVE, Reason.ABOVE_MAX_SIGMOID)


def test_verdicts_that_stand_are_not_touched() -> None:
    query = np.zeros(3, dtype=np.int32)
    verdicts = np.array([Verdict.POSITIVE, Verdict.DROPPED, None], dtype=object)
    reasons = np.array([None, Reason.DUPLICATE, None], dtype=object)
    logits = np.array([-9, np.nan, -1], dtype=np.float32)
    selected = judge_candidates(query, np.array([2]), logits, passes(logits), 5, verdicts, reasons)
    assert selected.tolist() == [0, 0, 1]
    assert verdicts.tolist() == [Verdict.POSITIVE, Verdict.DROPPED, Verdict.NEGATIVE]
    assert reasons.tolist() == [None, Reason.DUPLICATE, None]


@pytest.mark.parametrize(
    ("negatives", "expected"), [(1, [2, 3, 4, 6]), (2, [3, 4, 6, 9]), (5, [8, 12, 18, 27]), (10, [15, 22, 33, 49])]
)
def test_the_schedule_does_not_change(negatives: int, expected: list[int]) -> None:
    """Another schedule scores other candidates, so that candidates/ differs."""
    assert list(islice(steps(negatives), 4)) == expected


def test_nothing_to_try() -> None:
    query, none = np.array([0, 0, 3], dtype=np.int32), np.empty(0, dtype=np.int64)
    for negatives in (5, None):
        logits = score_lazily(query, none, negatives, lambda rows: np.zeros(len(rows), np.float32), passes)
        assert np.isnan(logits).all()
        assert judge(query, none, logits, 5)[0].tolist() == [0, 0, 0]
    empty = query[:0]
    assert len(score_lazily(empty, none, 5, lambda rows: np.zeros(len(rows), np.float32), passes)) == 0
    assert len(judge(empty, none, np.empty(0, np.float32), 5)[0]) == 0


CANDIDATES = pa.table(
    {
        "query": pa.array([0, 0, 0, 1, 1, 1], pa.int32()),
        "passage_id": ["a", "b", "c", "a", "b", "c"],
        "similarity_first": pa.array([0.5, 0.7, 0.7, 0.1, 0.2, 0.3], pa.float32()),
        "similarity_second": pa.array([0.9, 0.1, 0.2, 0.3, 0.2, 0.1], pa.float32()),
        "fused_rank": pa.array([1, 3, 2, 3, None, 1], pa.int32()),
    }
)


@pytest.mark.parametrize(
    ("order", "sources", "expected"),
    [
        # The tie of b and c in query 0 is broken by passage id.
        ("similarity", [BM25, FIRST, SECOND], [1, 2, 0, 5, 4, 3]),
        ("similarity", [SECOND, BM25, FIRST], [0, 2, 1, 3, 4, 5]),
        ("fused", [BM25, FIRST, SECOND], [0, 2, 1, 5, 3, 4]),
        ("similarity", [BM25], [0, 2, 1, 5, 3, 4]),
    ],
)
def test_selection_order(order: str, sources: list[Source], expected: list[int]) -> None:
    everything = np.ones(6, dtype=bool)
    assert selection_order(CANDIDATES, everything, order, sources).tolist() == expected  # type: ignore[arg-type]
    some = np.array([True, False, True, False, True, True])
    kept = [row for row in expected if some[row]]
    assert selection_order(CANDIDATES, some, order, sources).tolist() == kept  # type: ignore[arg-type]


def test_selection_order_of_nothing() -> None:
    for order in ("similarity", "fused"):
        empty = CANDIDATES.slice(0, 0)
        assert len(selection_order(empty, np.zeros(0, bool), order, [BM25, FIRST])) == 0  # type: ignore[arg-type]

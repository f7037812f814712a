"""Which candidates of a calibration sample are scored, and what is counted of such a part."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.transforms.judge.counts import selection_counts
from hardneg.transforms.judge.judge import apply_judge, cross_fit, fit_judge
from hardneg.transforms.judge.sample_rows import DEPTH, DRAWN, SampleRows, all_rows, sample_rows


@st.composite
def blocks(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Return the rows of a few queries, in any order within each."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=5))
    query = np.repeat(np.arange(len(sizes)), sizes)
    kind = rng.choice(3, len(query), p=draw(st.sampled_from([[0.8, 0.1, 0.1], [1, 0, 0], [0.3, 0.2, 0.5]])))
    order = rng.choice(5, len(query)) if draw(st.booleans()) else rng.normal(size=len(query))
    lots = rng.permutation(len(query))
    scores = rng.normal(size=len(query)).astype(np.float32)
    return {"query": query, "candidate": kind == 0, "countable": kind == 1, "order": order.astype(float),
            "lots": lots, "scores": scores}  # fmt: skip


def chosen(block: dict[str, np.ndarray], negatives: int, rows: np.ndarray | None = None) -> SampleRows:
    names = ("query", "candidate", "countable", "order", "lots")
    return sample_rows(*(block[name] if rows is None else block[name][rows] for name in names), negatives)


@examples(80)
@given(blocks(), st.integers(1, 3))
def test_the_first_in_order_and_a_draw_of_the_rest(block: dict[str, np.ndarray], negatives: int) -> None:
    found = chosen(block, negatives)
    for number in np.unique(block["query"]):
        own = np.flatnonzero(block["query"] == number)
        own = own[np.lexsort((own, -block["order"][own]))]
        candidates = own[block["candidate"][own]]
        counted = own[block["countable"][own]]
        deepest = own.tolist().index(counted[-1]) if len(counted) else -1
        first = {*candidates[: DEPTH * negatives].tolist(), *own[: deepest + 1][block["candidate"][own[: deepest + 1]]]}
        rest = sorted(set(candidates.tolist()) - first, key=lambda row: block["lots"][row])
        drawn = rest[: DRAWN * negatives]
        is_whole = len(rest) == len(drawn)
        in_order = first | set(drawn) if is_whole else first
        assert set(np.flatnonzero(found.in_order & block["candidate"])) & set(own) == in_order
        assert found.in_order[counted].all()
        assert set(own[found.weight[own] > 0]) == first | set(drawn)
        assert found.weight[own].sum() == len(candidates), "they stand for all"
        if drawn:
            weights = found.weight[drawn]
            assert weights.max() - weights.min() <= 1


@examples(40)
@given(blocks(), st.integers(1, 3))
def test_it_depends_on_the_query_alone(block: dict[str, np.ndarray], negatives: int) -> None:
    whole = chosen(block, negatives)
    for number in np.unique(block["query"]):
        rows = np.flatnonzero(block["query"] == number)
        alone = chosen(block, negatives, rows)
        assert (alone.weight == whole.weight[rows]).all()
        assert (alone.in_order == whole.in_order[rows]).all()


@examples(60)
@given(blocks(), st.integers(1, 3))
def test_what_leaks_is_counted_exactly(block: dict[str, np.ndarray], negatives: int) -> None:
    everything = all_rows(block["candidate"], block["countable"])
    whole, part = (counted(block, each, negatives) for each in (everything, chosen(block, negatives)))
    assert (part.V == whole.V).all()
    assert (part.C == whole.C).all()
    assert part.A.sum(axis=1).tolist() == whole.A.sum(axis=1).tolist(), "the weights stand for all candidates"
    assert part.R.sum(axis=1).tolist() == whole.R.sum(axis=1).tolist(), "at the laxest threshold, all that is asked"


def test_draws_show_all_candidates_and_no_more_mined_on_average() -> None:
    rng = np.random.default_rng(5)
    query = np.repeat(np.arange(6), 50)
    block = {
        "query": query, "candidate": np.ones(300, dtype=bool), "countable": np.zeros(300, dtype=bool),
        "order": rng.normal(size=300), "scores": rng.normal(size=300).astype(np.float32),
    }  # fmt: skip
    whole = counted(block, all_rows(block["candidate"], block["countable"]), 2)
    sums = np.zeros((2, 513))
    for _ in range(400):
        part = counted(block, chosen({**block, "lots": rng.permutation(300)}, 2), 2)
        sums += np.cumsum([part.A[0], part.R[0]], axis=1)
    candidates, mined = sums / 400
    np.testing.assert_allclose(candidates, np.cumsum(whole.A[0]), atol=4)
    assert (mined <= np.cumsum(whole.R[0]) + 0.3).all()
    assert mined.sum() > 0.5 * np.cumsum(whole.R[0]).sum()


def counted(block: dict[str, np.ndarray], rows: SampleRows, negatives: int):
    kept = np.flatnonzero((rows.weight > 0) | block["countable"])
    kept = kept[np.lexsort((kept, -block["order"][kept], block["query"][kept]))]
    ids = [f"q{number}" for number in range(int(block["query"].max(initial=0)) + 1)]
    return selection_counts(
        ids,
        block["query"][kept],
        block["scores"][kept],
        block["countable"][kept],
        negatives,
        copies=5,
        in_order=rows.in_order[kept],
        weight=rows.weight[kept],
    )


def test_a_drawn_row_weighs_like_its_copies() -> None:
    rng = np.random.default_rng(3)
    query = np.repeat(np.arange(12), 10)
    positive = np.tile(np.arange(10) == 0, 12)
    signals = {name: rng.normal(2.0 * positive, 1).astype(np.float32) for name in ("logit", "bm25")}
    weight = np.where(positive, 1, rng.choice([0, 1, 3], len(query)))
    signals["logit"][weight == 0] = np.nan
    judge = fit_judge(signals, query, positive, weight=weight)
    scored = np.repeat(np.flatnonzero(weight), weight[weight > 0])
    copied = fit_judge({"logit": signals["logit"][scored]}, query[scored], positive[scored])
    (logit,), (same,) = ([part for part in each.parts if part.name == "logit"] for each in (judge, copied))
    assert (logit.mean, logit.separation) == (same.mean, same.separation)
    np.testing.assert_allclose(logit.deviation, same.deviation, rtol=1e-12)
    plain = fit_judge({"bm25": signals["bm25"]}, query, positive)
    assert next(part for part in judge.parts if part.name == "bm25").separation == plain.parts[0].separation
    known = weight > 0
    crossed = cross_fit(signals, [f"q{number}" for number in range(12)], query, positive, weight=weight)
    filled = {**signals, "logit": np.nan_to_num(signals["logit"])}
    assert np.corrcoef(crossed[known], apply_judge(judge, filled, query)[known])[0, 1] > 0.98


def test_nothing_scored_at_all() -> None:
    none = np.zeros(0, dtype=np.int64)
    found = sample_rows(none, none.astype(bool), none.astype(bool), none.astype(float), none, 5)
    assert len(found.in_order) == len(found.weight) == 0
    query = np.zeros(3, dtype=np.int64)
    judge = fit_judge({"logit": np.full(3, np.nan)}, query, np.zeros(3, dtype=bool), weight=np.zeros(3, dtype=int))
    assert judge.parts[0].deviation == 0

"""The judge against a plain-Python computation, and what it must not depend on."""

from __future__ import annotations

import json
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.errors import HardnegError
from hardneg.transforms.judge.judge import (
    WEIGHT_FLOOR,
    Judge,
    apply_judge,
    cheap_scores,
    complete_scores,
    cross_fit,
    fit_judge,
    fold_of,
    single_signal_judge,
)


def sample(seed, queries=30, rows=12):
    """Signals of several strengths, in float32 as they are stored; one or two positives a query."""
    rng = np.random.default_rng(seed)
    query = np.repeat(np.arange(queries), rows)
    positive = np.zeros(len(query), dtype=bool)
    positive[::rows] = True
    positive[1 :: 3 * rows] = True
    hardness = rng.normal(size=queries)[query]
    signals = {
        "logit": rng.normal(3.0 * positive + hardness, 1.5).astype(np.float32),
        "similarity_a": rng.normal(0.2 * positive + 0.1 * hardness + 0.4, 0.1).astype(np.float32),
        "bm25": np.round(rng.gamma(2.0, 5.0, len(query)) + 3 * positive, 0).astype(np.float32),  # ties
    }
    return signals, query, positive


def plain_judge(signals, query, positive, global_only):
    """Scores by the formulas of the method page, with statistics and loops."""
    weights, parts = {}, {}
    for name, column in signals.items():
        values = [float(x) for x in column]
        mean, deviation = statistics.fmean(values), statistics.pstdev(values)
        wins = comparisons = 0.0
        for p in np.flatnonzero(positive):
            for c in np.flatnonzero(~positive & (query == query[p])):
                wins += 1.0 if values[p] > values[c] else 0.5 if values[p] == values[c] else 0.0
                comparisons += 1
        s = (wins + 0.5) / (comparisons + 1)
        weights[name] = max(math.log(s / (1 - s)), WEIGHT_FLOOR)
        parts[name] = []
        for i, value in enumerate(values):
            own = [values[j] for j in np.flatnonzero(query == query[i])]
            spread = statistics.pstdev(own)
            within = 0.0 if name in global_only or spread == 0 else (value - statistics.fmean(own)) / spread
            parts[name].append((value - mean) / deviation + within)
    total = sum(weights.values())
    scores = [sum(weights[n] / total * parts[n][i] for n in signals) for i in range(len(query))]
    return np.clip(scores, -10, 10), {name: weight / total for name, weight in weights.items()}


@pytest.mark.parametrize("global_only", [("logit",), (), ("logit", "bm25")])
def test_scores_and_weights_follow_the_formulas(global_only):
    signals, query, positive = sample(1)
    judge = fit_judge(signals, query, positive, global_only)
    scores = apply_judge(judge, signals, query)
    expected, weights = plain_judge(signals, query, positive, global_only)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    assert {part.name: part.weight for part in judge.parts} == pytest.approx(weights)
    assert {part.name for part in judge.parts if not part.within_query} == set(global_only)


@given(st.integers(0, 2**32 - 1))
@examples(40)
def test_neither_order_of_rows_nor_of_signals_changes_a_bit(seed):
    signals, query, positive = sample(2, queries=9)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(query))
    names = rng.permutation(sorted(signals))
    shuffled = {str(name): signals[name][order] for name in names}
    labels = rng.permutation(100)[: query.max() + 1]  # other names of the queries, in another order
    judge, again = (
        fit_judge(signals, query, positive),
        fit_judge(shuffled, labels[query][order], positive[order]),
    )
    assert judge == again
    assert judge.fingerprint == again.fingerprint
    scores = apply_judge(judge, signals, query)
    assert (scores[order].view("i4") == apply_judge(again, shuffled, labels[query][order]).view("i4")).all()


def test_scores_do_not_depend_on_the_block():
    signals, query, positive = sample(3)
    judge = fit_judge(signals, query, positive)
    together = apply_judge(judge, signals, query)
    for each in np.unique(query):
        rows = query == each
        alone = apply_judge(judge, {k: v[rows] for k, v in signals.items()}, query[rows])
        assert (alone.view("i4") == together[rows].view("i4")).all()


def test_a_lazily_scored_signal_is_needed_only_where_it_is_judged():
    signals, query, positive = sample(4)
    judge = fit_judge(signals, query, positive)
    everything = apply_judge(judge, signals, query)
    unscored = {**signals, "logit": np.full(len(query), np.nan, dtype=np.float32)}
    cheap = cheap_scores(judge, unscored, query)
    rows = np.arange(len(query)) % 3 == 0
    some = complete_scores(judge, cheap[rows], {"logit": signals["logit"][rows]})
    assert (some.view("i4") == everything[rows].view("i4")).all()
    with pytest.raises(HardnegError, match=r"'logit' is missing, NaN or infinite in 360 of 360 rows"):
        apply_judge(judge, unscored, query)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_missing_values_are_errors(bad):
    signals, query, positive = sample(5)
    judge = fit_judge(signals, query, positive)
    signals["bm25"][7] = bad
    with pytest.raises(HardnegError, match=r"'bm25' .* in 1 of 360 rows"):
        fit_judge(signals, query, positive)
    with pytest.raises(HardnegError, match="'bm25'"):
        apply_judge(judge, signals, query)
    del signals["bm25"]
    with pytest.raises(HardnegError, match=r"needs the signal 'bm25'; there are \['logit', 'similarity_a'\]"):
        apply_judge(judge, signals, query)


def test_errors_about_the_rows():
    signals, query, positive = sample(6)
    with pytest.raises(HardnegError, match="at least one signal"):
        fit_judge({}, query, positive)
    with pytest.raises(HardnegError, match="nothing was retrieved"):
        fit_judge(signals, query, positive, in_window=np.zeros(len(query), dtype=bool))
    with pytest.raises(ValueError, match=r"'bm25' has shape \(360,\), query has \(359,\)"):
        fit_judge(signals, query[1:], positive)
    with pytest.raises(ValueError, match=r"mask has shape \(359,\)"):
        fit_judge(signals, query, positive[1:])


def test_a_signal_without_variance_says_nothing():
    signals, query, positive = sample(7)
    plain = apply_judge(fit_judge(signals, query, positive), signals, query)
    # 0.1 is not exact in binary: the mean of equal values differs from them in the last bit.
    signals["constant"] = np.full(len(query), 0.1)
    judge = fit_judge(signals, query, positive)
    part = next(part for part in judge.parts if part.name == "constant")
    assert part.deviation == 0
    assert part.separation == 0.5
    share = 1 - part.weight
    np.testing.assert_allclose(apply_judge(judge, signals, query), plain * share, rtol=1e-5, atol=1e-6)
    only = {"constant": signals["constant"]}
    assert (apply_judge(fit_judge(only, query, positive), only, query) == 0).all()
    # Constant within each query only, and queries of one row.
    per_query = {"logit": np.arange(4.0), "bm25": np.array([0.1, 0.1, 0.1, 0.7])}
    scores = apply_judge(fit_judge(per_query, [0, 0, 0, 1], [True, False, False, False]), per_query, [0, 0, 0, 1])
    assert np.isfinite(scores).all()


def test_weights_of_signals_no_better_than_chance_are_floored():
    query = np.repeat(np.arange(50), 4)
    positive = np.arange(200) % 4 == 0
    good = np.where(positive, 1.0, np.arange(200) / 1000)
    judge = fit_judge({"good": good, "worse": -good}, query, positive)
    s = 150.5 / 151
    good_weight = math.log(s / (1 - s))
    assert [part.separation for part in judge.parts] == [s, pytest.approx(1 - s)]
    assert judge.parts[1].weight == pytest.approx(WEIGHT_FLOOR / (good_weight + WEIGHT_FLOOR))
    assert math.fsum(part.weight for part in judge.parts) == pytest.approx(1)


def test_without_positives_all_signals_weigh_the_same():
    signals, query, positive = sample(8)
    judge = fit_judge(signals, query, np.zeros_like(positive))
    assert [part.weight for part in judge.parts] == pytest.approx([1 / 3] * 3)


def test_scores_are_clamped_to_the_scale():
    query = np.zeros(1000, dtype=int)
    values = np.zeros(1000)
    values[0] = 1.0  # 31 deviations from the mean, twice
    judge = fit_judge({"bm25": values}, query, values > 0)
    assert apply_judge(judge, {"bm25": values}, query).max() == 10
    raw = single_signal_judge("logit", "logit")
    assert apply_judge(raw, {"logit": [-25.0, 0.1, 25.0]}, [0, 0, 0]).tolist() == [
        -20.0,
        np.float32(0.1),
        20.0,
    ]
    assert raw.signals == ("logit",)


def test_rows_outside_the_window_are_scored_but_change_nothing():
    signals, query, positive = sample(9)
    rng = np.random.default_rng(9)
    window = np.ones(len(query), dtype=bool)
    window[rng.choice(np.flatnonzero(positive), 10, replace=False)] = False
    inside = {name: values[window] for name, values in signals.items()}
    judge = fit_judge(signals, query, positive, in_window=window)
    assert judge == fit_judge(inside, query[window], positive[window])
    scores = apply_judge(judge, signals, query, in_window=window)
    assert np.isfinite(scores).all()
    assert (scores[window] == apply_judge(judge, inside, query[window])).all()


def test_masked_rows_are_not_compared_with_but_belong_to_the_query():
    signals, query, positive = sample(10)
    masked = np.arange(len(query)) % 12 == 5
    judge = fit_judge(signals, query, positive, is_candidate=~positive & ~masked)
    plain = fit_judge(signals, query, positive)
    assert [part.mean for part in judge.parts] == [part.mean for part in plain.parts]
    others = {name: values[~masked] for name, values in signals.items()}
    fewer = fit_judge(others, query[~masked], positive[~masked])
    assert [part.separation for part in judge.parts] == [part.separation for part in fewer.parts]


def test_a_querys_own_labels_do_not_change_its_cross_fitted_scores():
    """Otherwise a positive, un-labelled, would score differently from what its leak was counted by."""
    signals, query, positive = sample(11)
    scores = cross_fit(signals, [f"q{i}" for i in range(30)], query, positive)
    fewer = positive.copy()
    fewer[query == 4] = False  # only that query's own labels
    again = cross_fit(signals, [f"q{i}" for i in range(30)], query, fewer)
    own_fold = [fold_of(f"q{i}") == fold_of("q4") for i in query]
    assert (scores[own_fold] == again[own_fold]).all()
    assert (scores != again).any()


def test_cross_fitting_judges_each_fold_by_the_others():
    signals, query, positive = sample(12)
    ids = [f"query {i}" for i in range(30)]
    folds = np.array([fold_of(name) for name in ids])
    assert set(folds) == set(range(5))
    scores = cross_fit(signals, ids, query, positive)
    for fold in range(5):
        inside, outside = folds[query] == fold, folds[query] != fold
        judge = fit_judge({k: v[outside] for k, v in signals.items()}, query[outside], positive[outside])
        expected = apply_judge(judge, {k: v[inside] for k, v in signals.items()}, query[inside])
        assert (scores[inside] == expected).all()


def test_one_query_alone_is_judged_by_itself():
    signals, query, positive = sample(13, queries=1)
    alone = cross_fit(signals, ["only"], query, positive)
    assert (alone == apply_judge(fit_judge(signals, query, positive), signals, query)).all()


def test_a_judge_survives_json_bit_for_bit():
    signals, query, positive = sample(14)
    judge = fit_judge(signals, query, positive)
    again = Judge.from_dict(json.loads(json.dumps(judge.to_dict())))
    assert again == judge
    assert again.fingerprint == judge.fingerprint
    assert len(judge.fingerprint) == 32
    other = fit_judge(signals, query, positive, global_only=())
    assert other.fingerprint != judge.fingerprint


def test_a_damaged_description_is_refused():
    good = single_signal_judge("similarity_a", "similarity").to_dict()
    assert Judge.from_dict(good) == single_signal_judge("similarity_a", "similarity")
    with pytest.raises(HardnegError, match="version 99, this program reads 1"):
        Judge.from_dict({**good, "version": 99})
    with pytest.raises(HardnegError, match="scale 'stars'"):
        Judge.from_dict({**good, "scale": "stars"})
    with pytest.raises(HardnegError, match="damaged"):
        Judge.from_dict({**good, "signals": [{"name": "logit"}]})
    with pytest.raises(HardnegError, match="damaged"):
        Judge.from_dict({"version": 1, "scale": "logit"})


def test_folds_are_even_and_stable():
    counts = np.bincount([fold_of(f"query {i}") for i in range(5000)], minlength=5)
    assert counts.min() > 900
    assert [fold_of(name) for name in ("a", "b", "é")] == PINNED_FOLDS


PINNED_FOLDS = [2, 2, 4]

"""Calibration on a sample: the judge, its threshold, what stands in where nothing can be promised, the artefact."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hand_made import SOURCES, Case, filters
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.errors import HardnegError
from hardneg.transforms.filters.policy import Policy, Rules
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, Target, conditions_of, difficulty
from hardneg.transforms.judge.calibration import calibrate, check_judge, make_judge
from hardneg.transforms.judge.false_negative_rate import choose, extract
from hardneg.transforms.judge.leak_rate import leak_rate_threshold
from hardneg.transforms.judge.sample import SAMPLE, SampleScores, score_sample
from hardneg.transforms.mining.judging import judge_block
from hardneg.transforms.mining.sampling import sample_block

SIGNALS = ("logit", "bm25", "similarity_dense")
DENSE = SOURCES[:2]
PLAIN = Policy(negatives=3, order="similarity")
COMBINED = Target("combined", 0.2)


def sample(queries: int, seed: int = 0, positives: int = 1, spread: float = 2.0) -> pa.Table:
    """Return a sample of 20 candidates a query, in which positives score ``spread`` deviations higher."""
    rng = np.random.default_rng(seed)
    rows = []
    for query in range(queries):
        for passage in range(20):
            positive = passage < positives
            signals = rng.normal(spread * positive, 1, 3).astype(np.float32)
            rows.append(
                {
                    "query_id": f"q{query:03d}",
                    "passage_id": f"p{passage:02d}",
                    "order": float(signals[2]),
                    "in_window": True,
                    "is_positive": positive,
                    "countable": positive,
                    "is_candidate": not positive,
                    "in_order": True,
                    "weight": 1,
                    **dict(zip(SIGNALS, (float(signal) for signal in signals), strict=True)),
                }
            )
    return pa.Table.from_pylist(rows, pa.schema([*SAMPLE, *((name, pa.float32()) for name in SIGNALS)]))


def ids(table: pa.Table) -> list[str]:
    return sorted(set(table["query_id"].to_pylist()))


def scored(table: pa.Table, judge: Any = "combined", policy: Policy = PLAIN) -> SampleScores:
    return score_sample(table, ids(table), DENSE, policy, judge)


def test_a_supported_target_is_the_estimators_choice() -> None:
    made = scored(sample(200))
    denoising = calibrate(made, PLAIN, COMBINED)
    chosen = choose(extract(made.counts(3), 1.25), 0.2)
    assert denoising.status == chosen.status == "estimated"
    assert denoising.threshold == chosen.threshold
    assert denoising.choice["upper_bound"] <= 0.2
    assert denoising.judge.signals == tuple(sorted(SIGNALS))
    figures = denoising.figures
    assert figures["mined"] == chosen.mined
    assert 0 < figures["yield"] <= 1
    assert figures["hardness"] is not None


def test_counting_uses_scores_from_other_queries_and_mining_the_refitted_judge() -> None:
    made = scored(sample(60))
    assert not np.array_equal(made.scores, made.published)
    assert np.corrcoef(made.scores, made.published)[0, 1] > 0.99


def test_the_parts_of_a_sample_may_come_in_any_order() -> None:
    table = sample(40)
    whole = make_judge([table], [queries_of(table)], 0, DENSE, PLAIN, COMBINED, 9, {})
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(len(table))))
    parts = [shuffled.slice(start, 170) for start in range(0, len(table), 170)]
    names = queries_of(table)
    again = make_judge(parts, [names.slice(25), names.slice(0, 25)], 0, DENSE, PLAIN, COMBINED, 9, {})
    assert again.to_json() == whole.to_json()


def queries_of(table: pa.Table) -> pa.Table:
    return pa.table({"query_id": ids(table)})


def test_missing_scores_are_counted() -> None:
    table = sample(3)
    with pytest.raises(HardnegError, match=r"^12 pairs of the calibration sample are not scored in this run: add"):
        make_judge([table], [queries_of(table)], 12, DENSE, PLAIN, COMBINED, 9, {})


def test_an_unsupported_target_falls_back_on_the_stricter_of_two_witnesses() -> None:
    made = scored(sample(25))
    denoising = calibrate(made, PLAIN, replace(COMBINED, false_negative_rate=0.01))
    assert denoising.status == "unsupported"
    assert "at least about" in denoising.reason
    assert denoising.reason.endswith("by 25 known positives: a guess, not a bound")
    fallback = denoising.fallback
    assert fallback["leak_threshold"] == leak_rate_threshold(made.scores[made.countable], 0.1)
    assert denoising.threshold == fallback["threshold"] <= fallback["leak_threshold"]
    assert denoising.choice["positives_needed"] > 25
    assert denoising.max_sigmoid is None
    assert denoising.leak == {}
    entry = denoising.manifest_entry()
    assert entry["status"] == "unsupported"
    assert entry["fallback"]["positives"] == 25
    assert CalibratedJudge.from_json(denoising.to_json()) == denoising


@pytest.mark.parametrize("judge", ["combined", "cross-encoder", "bi-encoder"])
@pytest.mark.parametrize("positives", [1, 5, 18])
def test_a_few_positives_are_enough_for_triplets(positives: int, judge: Any) -> None:
    table = sample(20)
    row = pa.array(range(len(table)))
    known = pa.array([place % 20 == 0 and place // 20 < positives for place in row.to_pylist()])
    kept = table.filter(pa.array([place % 20 != 0 or place // 20 < positives for place in row.to_pylist()]))
    assert sum(known.to_pylist()) == positives
    denoising = calibrate(scored(kept, judge), PLAIN, Target(judge, 0.05))
    assert denoising.status == "unsupported"
    assert f"by {positives} known positives: a guess, not a bound" in denoising.reason
    assert denoising.threshold is not None
    assert denoising.figures["mined"] > 0


def test_without_any_positive_the_sigmoid_decides_and_what_is_missing_is_said() -> None:
    table = sample(18, positives=0)
    denoising = calibrate(scored(table), PLAIN, COMBINED)
    assert (denoising.status, denoising.threshold, denoising.max_sigmoid) == ("unsupported", None, 0.1)
    assert "nothing says how a relevant passage scores" in denoising.reason
    assert "see that queries and positives belong together" in denoising.reason
    assert denoising.figures["yield"] > 0, "yield and hardness stand beside every status"
    with pytest.raises(HardnegError, match=r"^0 known positives .* no sigmoid to fall back on"):
        calibrate(scored(table, "bi-encoder"), PLAIN, Target("bi-encoder", 0.05))


def test_a_leak_rate_is_split_conformal_and_demands_its_positives() -> None:
    made = scored(sample(99), "cross-encoder")
    denoising = calibrate(made, PLAIN, Target("cross-encoder", None, 0.01))
    lowest = made.scores[made.countable].min()
    assert denoising.threshold == lowest
    assert denoising.figures["leak_rate"] == 0
    with pytest.raises(HardnegError, match="needs at least 99 known positives that were retrieved; there are 98"):
        calibrate(scored(sample(98), "cross-encoder"), PLAIN, Target("cross-encoder", None, 0.01))


def test_of_two_targets_the_stricter_decides() -> None:
    made = scored(sample(200))
    one, other = calibrate(made, PLAIN, COMBINED), calibrate(made, PLAIN, Target("combined", None, 0.02))
    both = calibrate(made, PLAIN, replace(COMBINED, leak_rate=0.02))
    assert both.threshold == min(one.threshold or 0, other.threshold or 0)


@pytest.mark.parametrize("policy", [{"relative_margin": 0.05}, {"absolute_margin": 3.0}])
def test_what_depends_on_labels_supports_no_rate(policy: dict[str, Any]) -> None:
    of_labels = filters(PLAIN, **policy)
    denoising = calibrate(scored(sample(200)), of_labels, COMBINED)
    assert denoising.status == "unsupported"
    assert denoising.reason.startswith(f"{next(iter(policy))} drops candidates by what is labelled")
    assert denoising.choice["upper_bound"] is None
    assert denoising.threshold is not None, "the fallback stands in"


def test_thresholds_on_the_score_leave_out_candidates_and_positives_alike() -> None:
    names = [f"p{number:02d}" for number in range(20)]
    logits = {f"text {name}": number / 4 - 3 for number, name in enumerate(names)}
    queries = {f"q{number}": {"grades": dict.fromkeys(names[number::6], 1.0)} for number in range(4)}
    case = Case(queries, {name: f"text {name}" for name in names}, logits)
    rules = Rules(tuple(SOURCES), filters(PLAIN, max_sigmoid=0.7))
    everyone = np.ones(len(queries), dtype=np.bool_)
    rows = sample_block(case.block(list(queries)), rules, COMBINED, everyone, case.texts_of(), case.score).rows
    for row in rows.to_pylist():
        below = row["logit"] < np.log(0.7 / 0.3)
        assert row["countable"] == (row["is_positive"] and below)
        assert row["is_candidate"] == (not row["is_positive"] and below)


def test_the_judges_own_order_is_that_of_its_scores() -> None:
    made = scored(sample(30), policy=replace(PLAIN, order="judge"))
    rows = made.entering
    scores = made.scores[rows]
    same = made.query[rows][1:] == made.query[rows][:-1]
    assert (np.diff(scores)[same] <= 0).all()


def test_difficulty_is_a_share() -> None:
    quantiles = calibrate(scored(sample(50)), PLAIN, COMBINED).gap_quantiles
    assert len(quantiles) == 101
    found = difficulty(np.array([-100.0, quantiles[50], 100.0, np.inf]), quantiles)
    np.testing.assert_allclose(found[:3], [1, 0.5, 0])
    assert np.isnan(found[3]), "no positive"
    assert np.isnan(difficulty(np.array([1.0]), ())).all()


def test_the_artefact_comes_back_bit_for_bit() -> None:
    table = sample(40)
    models = {"dense": json.dumps({"model": "m", "files": "f", "max_length": 9, "prompts": {}, "fingerprint": "x"})}
    made = make_judge([table], [queries_of(table)], 0, DENSE, PLAIN, COMBINED, 9, models)
    again = CalibratedJudge.from_json(made.to_json())
    assert again == made
    assert again.to_json() == made.to_json()
    assert again.judge.fingerprint == made.judge.fingerprint


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "hardneg": "x", "judge": {}}'])
def test_no_artefact(text: str) -> None:
    with pytest.raises(HardnegError, match=r"^it\.json is no judge\.json|^the judge has version"):
        CalibratedJudge.from_json(text, "it.json")
    with pytest.raises(HardnegError, match="of another version of hardneg"):
        CalibratedJudge.from_json('{"format": 99}', "it.json")


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": "abc"},
        {"threshold": float("nan")},
        {"gap_quantiles": ["x"]},
        {"conditions": [1]},
        {"models": {"dense": 3}},
        {"more": 1},
        {"judge": {"version": 1, "scale": "logit", "signals": [{"name": "logit", "mean": "x"}]}},
    ],
    ids=str,
)
def test_an_artefact_that_was_edited_badly(change: dict[str, Any]) -> None:
    table = sample(40)
    good = make_judge([table], [queries_of(table)], 0, DENSE, PLAIN, COMBINED, 9, {}).to_json()
    with pytest.raises(HardnegError, match=r"^it\.json is no judge\.json|^the judge's description is damaged"):
        CalibratedJudge.from_json(json.dumps({**json.loads(good), **change}), "it.json")


def test_a_judge_is_refused_where_its_threshold_says_nothing() -> None:
    table = sample(40)
    described = {"model": "m", "files": "f", "max_length": 9, "prompts": {}}
    models = [("dense", json.dumps({**described, "device": "cpu"}))]
    judge = make_judge([table], [queries_of(table)], 0, DENSE, PLAIN, COMBINED, 9, dict(models)).to_json()
    conditions = conditions_of(PLAIN, COMBINED, DENSE, 9)
    assert check_judge(judge, conditions, "j.json", [("dense", json.dumps({**described, "device": "cuda"}))]) == judge
    with pytest.raises(HardnegError, match=r"^j\.json was calibrated with negatives = 3, and this run has 4: its"):
        check_judge(judge, {**conditions, "negatives": 4}, "j.json", models)
    with pytest.raises(HardnegError, match=r"^j\.json was calibrated with another model as dense"):
        check_judge(judge, conditions, "j.json", [("dense", json.dumps({**described, "files": "g"}))])


@examples(40, few=6)  # each mines a dozen times
@given(st.integers(0, 2**32), st.integers(1, 3), st.booleans())
def test_a_known_positive_is_counted_as_mined_where_it_would_be(seed: int, negatives: int, window: bool) -> None:
    """Un-label each positive and mine again, the judge held fixed: the same positives are mined as V counts."""
    rng = np.random.default_rng(seed)
    names = [f"p{number:02d}" for number in range(14)]
    queries = {}
    for number in range(5):
        order = rng.permutation(names).tolist()
        grades = dict.fromkeys(order[:: int(rng.integers(3, 9))], 1.0)
        queries[f"q{number}"] = {"grades": grades, "retrieved": order[: int(rng.integers(3, 14))]}
    case = Case(queries, {name: f"text {name}" for name in names}, {f"text {n}": float(rng.normal()) for n in names})
    policy = filters(Policy(negatives, "fused"), min_rank=2 if window else 1)
    rules = Rules(tuple(SOURCES), policy)
    target = Target("cross-encoder", 0.5)
    block = case.block(list(queries))
    everyone = np.ones(len(queries), dtype=np.bool_)
    done = sample_block(block, rules, target, everyone, case.texts_of(), case.score)
    made = score_sample(done.rows, list(queries), SOURCES, policy, "cross-encoder")
    counts = made.counts(negatives)
    mined_at = np.cumsum(counts.V[0])
    for edge in (150, 250, 262, 300):
        threshold = float(np.float32(np.linspace(-20, 20, 512)[edge]))
        judge = CalibratedJudge("cross-encoder", made.judge, threshold=threshold)
        expected = 0
        for name, query in queries.items():
            for positive in query["grades"]:
                others = {other: grade for other, grade in query["grades"].items() if other != positive}
                again = Case({name: {**query, "grades": others}}, case.passages, case.logits)
                judged = judge_block(again.block([name]), rules, judge, case.texts_of(), case.score)
                rows = again.block([name]).candidates["passage_id"].to_pylist()
                if positive in rows:
                    place = rows.index(positive)
                    assert not judged.screened.positive[place]
                    expected += int(judged.selected[place] > 0)
        assert mined_at[edge] == expected

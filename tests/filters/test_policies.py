"""Every policy alone and together: which candidates it removes, with which reason, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hand_made import LAZY, LOGIT, SOURCES, Case, by_pair, filters

from hardneg.transforms.core.hashing import id_keys, text_keys
from hardneg.transforms.filters.margins import below_lowest_positive
from hardneg.transforms.filters.policy import Policy, Rules
from hardneg.transforms.filters.screening import screen
from hardneg.transforms.inputs.evaluation_sets import Holdout
from hardneg.transforms.judge.judge import single_signal_judge

PLAIN = Policy(negatives=2, order="similarity")
LONG = "the quick brown fox jumps over the lazy dog while seven wise owls watch from an old oak tree"
WORDS = LONG.split()


@pytest.fixture
def case() -> Case:
    """One query with two positives, one of them not retrieved, and eight candidates in the order of their names."""
    names = [f"n{number}" for number in range(1, 9)]
    return Case(
        {"q": {"grades": {"own": 1, "far": 1}, "retrieved": ["n1", "own", *names[1:]]}},
        {"own": "own", "far": "far", **{name: f"text {name}" for name in names}},
        {"own": 3.0, "far": 1.0, **{f"text {name}": 2.0 - number for number, name in enumerate(names)}},
    )  # n1: 2, n2: 1, n3: 0, n4: -1, ... n8: -5


def reasons(case: Case, policy: Policy, **more: Any) -> dict[str, tuple[str, str | None, int | None]]:
    rows = by_pair(case.mine(policy, **more))
    return {name: (row["verdict"], row["reason"], row["selected"]) for (_, name), row in rows.items()}


def mined(case: Case, policy: Policy, **more: Any) -> list[str]:
    found = {name: selected for name, (_, _, selected) in reasons(case, policy, **more).items() if selected}
    return sorted(found, key=lambda name: found[name])


def test_without_any_threshold_everything_passes_and_nothing_is_scored_for_it(case: Case) -> None:
    bi_encoder = replace(LOGIT, judge=single_signal_judge("similarity_dense", "similarity"))
    assert mined(case, PLAIN, denoising=bi_encoder) == ["n1", "n2"]
    assert case.calls == []


def test_the_judges_threshold(case: Case) -> None:
    found = reasons(case, PLAIN, denoising=replace(LOGIT, threshold=0.0, positive_median=2.0))
    # n1 scores like half of all positives, n2 like the lowest of its query (far: 1.0); n3 is on the threshold.
    assert found["n1"] == ("suspected_positive", "above_threshold", None)
    assert found["n2"] == ("suspected_positive", "above_threshold", None)
    assert found["n3"] == ("dropped", "above_threshold", None)
    assert found["n4"] == ("negative", None, 1)
    assert found["n5"] == ("negative", None, 2)
    assert found["own"][0] == found["far"][0] == "positive"


def test_sigmoids(case: Case) -> None:
    assert mined(case, filters(PLAIN, max_sigmoid=0.5)) == ["n4", "n5"]  # sigmoid(0) is not below 0.5
    found = reasons(case, filters(PLAIN, max_sigmoid=0.5, min_sigmoid=0.1))
    assert found["n5"] == ("negative", None, 2)  # 0.119
    easy = reasons(case, filters(replace(PLAIN, negatives=8), min_sigmoid=0.1))
    assert easy["n6"] == ("dropped", "below_min_sigmoid", None)
    # What the calibration fell back on is a threshold like one that was asked for.
    assert mined(case, PLAIN, denoising=replace(LOGIT, max_sigmoid=0.5)) == ["n4", "n5"]
    assert mined(case, filters(PLAIN, max_sigmoid=0.2), denoising=replace(LOGIT, max_sigmoid=0.5)) == ["n5", "n6"]


def test_the_absolute_margin_is_below_the_lowest_positive(case: Case) -> None:
    found = reasons(case, filters(PLAIN, absolute_margin=2.0))  # below 1 - 2
    assert found["n4"] == ("dropped", "absolute_margin", None)
    assert found["n5"] == ("negative", None, 1)


def test_the_relative_margin_is_decided_before_scoring(case: Case) -> None:
    # far was not retrieved, similarity 0.01; own stands second, 0.98.
    del case.queries["q"]["grades"]["far"]
    found = reasons(case, filters(LAZY, max_sigmoid=1.0, relative_margin=0.03))  # below 0.98 * 0.97 = 0.9506
    assert {name for name, row in found.items() if row[1] == "relative_margin"} == {"n1", "n2", "n3"}
    assert mined(case, filters(LAZY, max_sigmoid=1.0, relative_margin=0.03)) == ["n4", "n5"]
    assert not {passage for call in case.calls for _, passage in call} & {"text n1", "text n2", "text n3"}


def test_a_margin_lowers_negative_scores_too(case: Case) -> None:
    screened = screen(
        case.block(["q"]).queries, case.block(["q"]).candidates, Rules(tuple(SOURCES), PLAIN), case.texts_of()
    )
    score = np.where(screened.positive, -0.4, 0.9)
    of = screened.query, screened.positive
    assert below_lowest_positive(score, *of, relative=0.25).tolist() == [-0.5]
    assert below_lowest_positive(np.full(len(score), np.nan), *of).tolist() == [np.inf]


def test_the_window_on_fused_ranks(case: Case) -> None:
    found = reasons(case, filters(LAZY, max_sigmoid=1.0, min_rank=3, max_rank=5))
    assert {name for name, row in found.items() if row[1] == "outside_ranks"} == {"n1", "n5", "n6", "n7", "n8"}
    assert [name for name, row in found.items() if row[2]] == ["n2", "n3"]
    scored = {passage for call in case.calls for _, passage in call}
    assert scored == {"own", "far", "text n2", "text n3"}, "outside the window nothing is scored"


def test_near_duplicates_of_a_positive(case: Case) -> None:
    case.passages |= {"own": LONG, "n2": f"{LONG} This page is part of the manual.", "n3": " ".join(WORDS[:11])}
    case.logits |= {case.passages[name]: -3.0 for name in ("own", "n2", "n3")}
    guarded = filters(replace(PLAIN, negatives=8), near_duplicates=0.8)
    found = reasons(case, guarded)
    assert found["n2"] == ("dropped", "near_duplicate", None)
    assert found["n3"][:2] == ("dropped", "near_duplicate")
    assert found["n1"][0] == found["n4"][0] == "negative"
    assert reasons(case, replace(PLAIN, negatives=8))["n2"][0] == "negative"


@pytest.mark.parametrize(
    ("same_group", "verdict"), [("allow", "negative"), ("forbid", "dropped"), ("suspect", "suspected_positive")]
)
def test_passages_of_a_positives_document(case: Case, same_group: Any, verdict: str) -> None:
    policy = filters(replace(PLAIN, negatives=8), group_column="group", same_group=same_group)
    groups = {"own": "d1", "n1": "d1", "n2": "d2", "far": None, "n3": None}
    block = case.block(["q"])
    column = pa.array([groups.get(name) for name in block.candidates["passage_id"].to_pylist()], pa.string())
    candidates = block.candidates.append_column("group", column)
    screened = screen(block.queries, candidates, Rules(tuple(SOURCES), policy), case.texts_of())
    ids = candidates["passage_id"].to_pylist()
    verdicts, _ = screened.decisions.columns()
    decided = dict(zip(ids, verdicts.to_pylist(), strict=True))
    assert decided["n1"] == (None if same_group == "allow" else verdict)
    assert decided["n2"] is None
    assert decided["n3"] is None, "no group is not a group"
    assert decided["own"] == "positive", "a positive is not in the way of itself"


def test_what_is_held_out_is_in_no_triplet(case: Case) -> None:
    holdout = Holdout(
        passage_ids=id_keys(pa.array(["n2"])), passage_texts=np.sort(text_keys(pa.array(["TEXT  n3", "own"])))
    )
    result = case.mine(filters(LAZY, max_sigmoid=1.0), holdout=holdout)
    rows = by_pair(result)
    assert [name for (_, name), row in rows.items() if row["reason"] == "held_out"] == ["n2", "n3", "own"]
    assert {row["positive"] for row in result.triplets.to_pylist()} == {"far"}
    assert {row["negative"] for row in result.triplets.to_pylist()} == {"text n1", "text n4"}
    assert rows["q", "own"]["verdict"] == "positive"
    assert result.counts["positives_held_out"] == 1


def test_the_first_policy_that_fires_is_the_reason(case: Case) -> None:
    strict = filters(PLAIN, max_sigmoid=0.5, absolute_margin=9.0, min_sigmoid=0.4)
    assert reasons(case, strict, denoising=replace(LOGIT, threshold=1.5))["n1"][1] == "above_threshold"
    assert reasons(case, strict, denoising=replace(LOGIT, threshold=9.0))["n1"][1] == "above_max_sigmoid"
    assert reasons(case, strict)["n4"][1] == "absolute_margin"
    outside = filters(PLAIN, max_sigmoid=0.5, absolute_margin=9.0, min_sigmoid=0.4, min_rank=5, relative_margin=0.5)
    assert reasons(case, outside)["n1"][1] == "outside_ranks"


def test_weak_positives_and_suspected_ones(case: Case) -> None:
    case.logits["far"] = -4.0
    judge = replace(LOGIT, threshold=0.0, positive_median=1.5)
    plain = case.mine(PLAIN, denoising=judge)
    pairs = {row["passage_id"]: row["kind"] for row in plain.suspect_pairs.to_pylist()}
    # What scores above far (-4) does not pass at the threshold 0 anyway: n1 to n3 are suspected.
    assert pairs == {"far": "weak_positive", **dict.fromkeys(["n1", "n2", "n3"], "suspected_positive")}
    (row,) = [row for row in plain.suspect_pairs.to_pylist() if row["passage_id"] == "n1"]
    assert (row["query"], row["passage"], row["reason"], row["logit"]) == ("query q", "text n1", "above_threshold", 2.0)
    assert plain.counts["weak_positives"] == 1
    assert {row["positive"] for row in plain.triplets.to_pylist()} == {"own", "far"}

    dropped = case.mine(replace(PLAIN, drop_weak_positives=True), denoising=judge)
    assert {row["positive"] for row in dropped.triplets.to_pylist()} == {"own"}
    assert by_pair(dropped)["q", "far"]["reason"] == "weak_positive"
    assert by_pair(dropped)["q", "far"]["verdict"] == "positive"

    relabelled = case.mine(replace(PLAIN, relabel_suspected=True), denoising=judge)
    positives = {row["positive"] for row in relabelled.triplets.to_pylist()}
    assert positives == {"own", "far", "text n1", "text n2", "text n3"}
    assert by_pair(relabelled)["q", "n1"]["verdict"] == "suspected_positive"


def test_difficulty_is_nearness_to_the_lowest_positive(case: Case) -> None:
    del case.queries["q"]["grades"]["far"]
    quantiles = tuple(np.linspace(-0.02, 0.08, 101).tolist())
    rows = by_pair(case.mine(replace(PLAIN, negatives=8), denoising=replace(LOGIT, gap_quantiles=quantiles)))
    own = rows["q", "own"]["similarity_dense"]
    for (_, name), row in rows.items():
        if name == "own":
            assert row["difficulty"] is None
            continue
        gap = own - row["similarity_dense"]
        assert row["difficulty"] == pytest.approx(np.clip((0.08 - gap) / 0.1, 0, 1), abs=1e-6)


def test_positives_that_stand_for_unlabelled_ones(case: Case) -> None:
    """A positive is judged against the query's other positives by what removes candidates."""

    def countable(policy: Policy, **groups: str) -> set[str]:
        block = case.block(["q"])
        ids = block.candidates["passage_id"].to_pylist()
        column = pa.array([groups.get(name) for name in ids], pa.string())
        candidates = block.candidates.append_column("group", column)
        screened = screen(block.queries, candidates, Rules(tuple(SOURCES), policy), case.texts_of())
        return {ids[row] for row in np.flatnonzero(screened.countable)}

    case.queries["q"]["grades"] = {"own": 1, "n3": 1, "far": 1}
    assert countable(PLAIN) == {"own", "n3"}, "far was not retrieved"
    assert countable(filters(PLAIN, max_rank=3)) == {"own"}
    forbid = filters(PLAIN, group_column="group", same_group="forbid")
    assert countable(forbid, own="d", n3="d") == set()
    assert countable(forbid, own="d", n1="d") == {"own", "n3"}
    case.passages |= {"own": LONG, "n3": LONG + " And one sentence more."}
    assert countable(filters(PLAIN, near_duplicates=0.8)) == set()
    case.passages["n3"] = LONG.upper()
    assert countable(PLAIN) == set(), "equal texts would mask each other"

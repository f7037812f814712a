"""A block's part of the calibration sample: which pairs are scored, and that mining them again asks for no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hand_made import SOURCES, Case, filters
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.transforms.filters.order import selection_order
from hardneg.transforms.filters.policy import Policy, Rules
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, Target
from hardneg.transforms.judge.judge import single_signal_judge
from hardneg.transforms.judge.sample import score_sample
from hardneg.transforms.judge.sample_rows import pairs_per_query
from hardneg.transforms.mining.rows import mine_block
from hardneg.transforms.mining.sampling import sample_block
from hardneg.transforms.output.layout import TRIPLETS

POLICY = filters(Policy(negatives=2, order="similarity"))
TARGET = Target("cross-encoder", 0.1)


def case(positive_at: int = 0, queries: int = 3) -> Case:
    """Queries that retrieve forty passages in the same order, one of them their positive."""
    names = [f"p{number:02d}" for number in range(40)]
    logits = {f"text {name}": float((number * 7) % 11 - 6) for number, name in enumerate(names)}
    known = {f"q{n}": {"grades": {names[positive_at]: 1}, "retrieved": names} for n in range(queries)}
    return Case(known, {name: f"text {name}" for name in names}, logits)


def sampled(made: Case, policy: Policy, names: list[str] | None = None):
    made.calls = []
    names = names or list(made.queries)
    everyone = np.ones(len(names), dtype=np.bool_)
    return sample_block(made.block(names), Rules(tuple(SOURCES), policy), TARGET, everyone, made.texts_of(), made.score)


def asked(made: Case) -> list[tuple[str, str]]:
    return sorted(pair for call in made.calls for pair in call)


def test_the_first_in_order_and_a_few_more_are_scored() -> None:
    made = case()
    done = sampled(made, POLICY)
    assert done.pairs.scored == 3 * (1 + pairs_per_query(2))
    first = {f"text p{number:02d}" for number in range(1, 9)}
    for query in ("q0", "q1", "q2"):
        assert first <= {text for name, text in asked(made) if name == f"query {query}"}
    weights = np.array(done.rows["weight"].to_pylist())[~np.array(done.rows["is_positive"].to_pylist())]
    assert weights.sum() == 3 * 39, "they stand for all candidates"
    deep = sampled(case(positive_at=25), POLICY)
    assert deep.pairs.scored == 3 * (25 + 1 + 4), "all that stand before a positive, and four of the rest"


def test_every_query_draws_its_own() -> None:
    made = case()
    sampled(made, POLICY)
    drawn = {query: {text for name, text in asked(made) if name == f"query {query}"} for query in made.queries}
    assert len({frozenset(each) for each in drawn.values()}) > 1
    for query, texts in drawn.items():
        sampled(made, POLICY, [query])
        assert {text for _, text in asked(made)} == texts, "a function of the query alone"


@pytest.mark.parametrize("order", ["similarity", "fused", "random"])
def test_mining_asks_for_the_same_and_what_it_needs(order: str) -> None:
    made = case(positive_at=5)
    policy = replace(POLICY, order=order)
    done = sampled(made, policy)
    before = set(asked(made))
    rules = Rules(tuple(SOURCES), policy)
    judge = CalibratedJudge("cross-encoder", single_signal_judge("logit", "logit"), threshold=-4.5)
    everyone = np.ones(3, dtype=np.bool_)
    made.calls = []
    mined = mine_block(made.block(list(made.queries)), rules, judge, made.texts_of(), made.score, everyone)
    assert before <= set(asked(made))
    made.calls = []
    again = mine_block(done.block, rules, judge, made.texts_of(), made.score, everyone)
    assert again.candidates.equals(mined.candidates)
    assert again.triplets.equals(mined.triplets)
    assert not before & set(asked(made)), "nothing is scored twice"
    whole = mine_block(
        made.block(list(made.queries)),
        replace(rules, policy=replace(policy, score_all=True)),
        judge,
        made.texts_of(),
        made.score,
    )
    # What a row's batch has to avoid is known of what was scored.
    assert again.triplets.select(TRIPLETS.names).equals(whole.triplets.select(TRIPLETS.names))


def test_another_number_of_negatives_lacks_pairs_and_says_how_many() -> None:
    made = case()
    done = sampled(made, POLICY)
    more = replace(POLICY, negatives=4)
    rules, everyone = Rules(tuple(SOURCES), more), np.ones(3, dtype=np.bool_)
    block = replace(done.block, candidates=done.block.candidates.drop_columns(["screened"]))
    stored = sample_block(block, rules, TARGET, everyone, made.texts_of(), None)
    assert stored.pairs.missing > 0
    assert stored.pairs.missing + stored.pairs.stored == 3 * (1 + pairs_per_query(4))
    made.calls = []
    scored = sample_block(block, rules, TARGET, everyone, made.texts_of(), made.score)
    assert scored.pairs.scored == stored.pairs.missing == len(asked(made))
    assert scored.rows.equals(sampled(made, more).rows)


@examples(20)
@given(st.integers(0, 39))
def test_where_all_is_scored_all_is_in_order(positive_at: int) -> None:
    made = case(positive_at, queries=1)
    rows = sampled(made, replace(POLICY, negatives=7)).rows
    scored = score_sample(rows, ["q0"], SOURCES, POLICY, "cross-encoder")
    assert scored.scored_candidate.sum() == 39
    rows, taken = scored.mined(np.ones(len(rows), dtype=np.bool_), 39)
    assert (len(rows), taken.sum()) == (39, 39)


@examples(30)
@given(st.integers(0, 39), st.integers(1, 7), st.integers(0, 2**39 - 1))
def test_how_many_candidates_a_query_tries(positive_at: int, negatives: int, passing_bits: int) -> None:
    """Counted one by one, where all is scored."""
    made = case(positive_at, queries=1)
    rows = sampled(made, replace(POLICY, negatives=7)).rows
    scored = score_sample(rows, ["q0"], SOURCES, POLICY, "cross-encoder")
    passing = np.zeros(len(rows), dtype=np.bool_)
    ordered = selection_order(scored.query, scored.scored_candidate, scored.order)
    passing[ordered] = [bool(passing_bits >> place & 1) for place in range(39)]
    tried = found = 0
    for row in ordered:
        if found == negatives:
            break
        tried, found = tried + 1, found + int(passing[row])
    assert scored.tried(passing, negatives) == tried

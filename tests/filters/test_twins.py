"""The masks of bare texts on blocks: a positive, or the query, in other wrapping is in no triplet as a negative."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hand_made import LOGIT, SOURCES, Case, by_pair
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.transforms.filters.bare_texts import bare_units, repeats
from hardneg.transforms.filters.policy import Policy, Rules
from hardneg.transforms.filters.screening import screen
from hardneg.transforms.filters.twins import may_stand_in

PLAIN = Policy(negatives=9, order="fused")
SWIFTS = "Swifts sleep in the air and land only to breed."


def reasons(case: Case, policy: Policy = PLAIN, **more: float) -> dict[str, str | None]:
    rows = by_pair(case.mine(policy, denoising=replace(LOGIT, **more)))
    return {name: row["reason"] for (_, name), row in rows.items()}


def case_of(query: str, positive: str, /, name: str = "q", **passages: str) -> Case:
    texts = {"own": positive, **passages}
    asked = {name: {"text": query, "grades": {"own": 1}, "retrieved": list(texts)}}
    return Case(asked, texts, {text: -1.0 - place for place, text in enumerate(texts.values())})


@pytest.mark.parametrize(
    ("positive", "twin", "other"),
    [
        (SWIFTS, f"Swifts {SWIFTS}", "Owls hear mice under the snow."),
        ("十九乘十九路。", "围棋棋盘多大 十九乘十九路", "八乘八格。"),
        ("雨燕在空中睡觉。", "雨燕在空中睡覺．", "雨燕在树上睡觉。"),
        ("The 2007 final was in Rome", "Finals: The 2007 final was in Rome.", "The 2011 final was in Rome"),
        ("Paris", "Which? Paris.", "Paris Hilton"),
    ],
)
def test_a_positive_in_other_wrapping_is_no_negative(positive: str, twin: str, other: str) -> None:
    case = case_of("which?", positive, twin=twin, other=other)
    assert reasons(case) == {"own": None, "twin": "equal_to_positive", "other": None}
    assert {row["negative"] for row in case.mine(PLAIN).triplets.to_pylist()} == {other}


def test_a_positive_of_an_equal_query_counts_too() -> None:
    case = case_of("which?", "Owls hear mice under the snow.", theirs=SWIFTS, twin=f"Swifts {SWIFTS}")
    case.queries["q"]["shared"] = ["theirs"]
    assert reasons(case) == {"own": None, "theirs": "positive_of_equal_query", "twin": "equal_to_positive"}


def test_the_query_s_own_document_is_neither_negative_nor_a_further_positive() -> None:
    query = "Does the moon cause the tides of the sea"
    case = case_of(query, "Yes it does", titled=f"Tides {query}?", other="No one knows why")
    high = {f"Tides {query}?": 9.0}
    case.logits |= high
    policy = replace(PLAIN, relabel_suspected=True)
    result = case.mine(policy, denoising=replace(LOGIT, threshold=0.0))
    assert by_pair(result)["q", "titled"]["reason"] == "equal_to_query"
    assert not any(query in text for row in result.triplets.to_pylist() for text in (row["positive"], row["negative"]))


def test_an_id_that_queries_and_corpus_share() -> None:
    body = "I have a list of pairs and want them in the order of their second members, the largest first."
    case = case_of(
        "How do I sort pairs?", "Use a key", name="d7", d7=f"How do I sort pairs? {body}", d8=f"Sorting {body}"
    )
    assert reasons(case) == {"own": None, "d7": "equal_to_query", "d8": None}
    by_accident = case_of("Where do storks fly?", "To Africa", name="d7", d7=body)
    assert reasons(by_accident) == {"own": None, "d7": None}


def test_positives_that_are_one_text_do_not_count() -> None:
    case = case_of("which?", SWIFTS, again=f"Swifts {SWIFTS}", third="Owls hear mice under the snow.")
    case.queries["q"]["grades"] = {"own": 1, "again": 1, "third": 1}
    block = case.block(["q"])
    screened = screen(block.queries, block.candidates, Rules(tuple(SOURCES), PLAIN), case.texts_of())
    ids = block.candidates["passage_id"].to_pylist()
    assert [ids[row] for row in np.flatnonzero(screened.countable)] == ["third"]
    assert screened.positive.all()


WORDS = st.sampled_from(
    ["Rain", "rain", "1,000", "1000", "C#", "20%", "-5", "it's", "&amp;", "&", "$", "ÄRGER", "雨", "a.b"]
)
SENTENCES = st.lists(WORDS, max_size=8).map(" ".join)


@examples(300)
@given(SENTENCES, SENTENCES, SENTENCES)
def test_what_stands_in_a_text_is_always_looked_at(part: str, before: str, after: str) -> None:
    """The quick look may only spare comparisons that would find nothing."""
    whole = f"{before}, {part}! {after}"
    assert may_stand_in(part, whole)
    units, others = bare_units(part), bare_units(after)
    if repeats(units, others) or repeats(others, units):
        assert may_stand_in(part, after) or may_stand_in(after, part)


def test_most_texts_are_seen_to_say_something_else() -> None:
    assert not may_stand_in("Rain falls.", "It is raining: the rain came.")
    assert may_stand_in("Rain falls.", "It is raining: the rain falls again.")

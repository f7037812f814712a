"""Texts in other wrapping: what is taken off, what is the same then, and what is another text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardneg.transforms.filters.bare_texts import bare_units, is_query, repeats, same_document

SWIFTS = "Swifts sleep in the air and land only to breed."


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SWIFTS, "swifts sleep in the air, and land only to breed"),
        ("Baker's yeast turns sugar into gas.", "Baker’s yeast turns sugar into gas!"),
        ("多喝水，注意休息。", "多喝水，注意休息．"),
        ("多喝水，注意休息。", "多喝水 注意休息"),
        ("長江全長六千三百公里。", "长江全长六千三百公里"),
        ("ＤＥＢＩＡＮ　ＧＮＵ／Ｌｉｎｕｘ", "Debian GNU/Linux"),
        ("« Où est la gare ? »", "où est la gare"),
        ("**Yes**, within 30 days.", "Yes - within 30 days"),
        ("ราคา: ๕ บาท", "ราคา ๕ บาท"),
        ("Tom &amp; Jerry run 1,000 miles", "Tom & Jerry run 1000 miles"),
        ("swifts\u200bleep in the\ufeff air", "Swiftsleep in the air\u00ad"),
    ],
)
def test_wrapping_is_taken_off(one: str, other: str) -> None:
    assert bare_units(one) == bare_units(other)
    assert repeats(bare_units(one), bare_units(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The -5 degree day", "The 5 degree day"),
        ("It grew by 20% in May", "It grew by 20 in May"),
        ("C# is a language of Microsoft", "C is a language of Microsoft"),
        ("C++ has classes and templates", "C has classes and templates"),
        ("It costs $5 a month", "It costs €5 a month"),
        ("हिन्दी में लिखा है", "हिन्दू में लिखा है"),
        ("The 2007 final was in Rome", "The 2011 final was in Rome"),
        ("Anna Berg won the race", "Anna Burg won the race"),
        ("长江全长六千三百公里", "黄河全长五千四百公里"),
        ("二〇〇七年决赛在罗马", "二〇一一年决赛在罗马"),
    ],
)
def test_what_says_something_stays(one: str, other: str) -> None:
    assert not repeats(bare_units(one), bare_units(other))
    assert not repeats(bare_units(other), bare_units(one))


@pytest.mark.parametrize(
    ("candidate", "positive"),
    [
        (f"Swifts {SWIFTS}", SWIFTS),  # under its title
        ("围棋棋盘多大 十九乘十九路。", "十九乘十九路。"),
        ("圍棋棋盤多大 十九乘十九路。", "十九乘十九路"),
        ("Q: Can I send it back? A: Yes, within thirty days.", "Yes, within thirty days"),
        ("Definition. Osmosis: movement of a solvent through a membrane", "movement of a solvent through a membrane"),
        ("Acme (2 l) - stainless steel kettle, cordless", "Stainless steel kettle, cordless"),
        (SWIFTS, f"Common swift. {SWIFTS}"),  # the positive has the title
        (
            "Yes, within thirty days.",
            "Can I send back what I have ordered? Yes, within thirty days.",
        ),
        ("白鹭是一种鸟。雨燕在空中睡觉，只在繁殖时落地。", "雨燕在空中睡觉，只在繁殖时落地"),
    ],
)
def test_a_short_text_in_another(candidate: str, positive: str) -> None:
    assert repeats(bare_units(candidate), bare_units(positive))


@pytest.mark.parametrize(
    ("candidate", "positive"),
    [
        ("Paris Hilton was born in New York City", "Paris"),  # a name recurs
        ("iPhone 12 Pro", "iPhone 12"),
        ("北京大学在海淀区", "北京"),
        (
            "Swifts sleep in the air.",
            f"{SWIFTS} Storks fly to Africa. Owls hear mice under the snow.",
        ),
        (" ".join(["Many words about other things"] * 9) + " go to the market", "go to the market"),
        ("", SWIFTS),
        (SWIFTS, ""),
        ("", ""),
    ],
)
def test_what_recurs_is_no_twin(candidate: str, positive: str) -> None:
    assert not repeats(bare_units(candidate), bare_units(positive))


@pytest.mark.parametrize(
    ("query", "positive", "candidate", "expected"),
    [
        ("What is the capital of France?", "Paris", "Capital of France Paris.", True),
        ("Can I send it back?", "Yes, 30 days.", "Send it back: Yes, 30 days", True),
        ("围棋棋盘有多大？", "十九路", "圍棋棋盤 十九路。", True),
        ("What is the capital of France?", "Capital of France Paris", "Paris", True),
        ("What is the capital of France?", "Paris", "Paris Hilton was born in New York City", False),
        ("Which phone has an A14?", "iPhone 12", "A case for the iPhone 12", False),
        ("围棋棋盘有多大？", "十九路", "中国象棋 八路", False),
    ],
)
def test_a_name_under_a_title_that_the_query_asks_for(
    query: str, positive: str, candidate: str, expected: bool
) -> None:
    units = bare_units(candidate), bare_units(positive)
    assert repeats(*units, bare_units(query)) is expected
    assert not repeats(*units)


LONG = " ".join(f"word{number}" for number in range(60))


def test_long_texts_are_equal_or_not() -> None:
    assert repeats(bare_units(f"{LONG}."), bare_units(LONG))
    assert not repeats(bare_units(f"A title {LONG}"), bare_units(LONG)), "the near-duplicate guard looks there"


@pytest.mark.parametrize(
    ("candidate", "query", "expected"),
    [
        (f"Debate: a title {LONG}", f"{LONG}!", True),  # ArguAna
        ("How do I learn Python?", "how do i learn python", True),  # Quora
        ("Programming How do I learn Python?", "How do I learn Python", True),
        ("怎樣做麵包", "怎样做面包？", True),
        ("How do I learn Python? Read its tutorial.", "How do I learn Python?", False),  # a question and its answer
        ("感冒了怎么办 多喝水，注意休息。", "感冒了怎么办", False),
        ("All about Python", "Python", False),
        ("How do I learn Java?", "How do I learn Python?", False),
    ],
)
def test_the_query_itself(candidate: str, query: str, expected: bool) -> None:
    assert is_query(bare_units(candidate), bare_units(query)) is expected


def test_the_query_s_document() -> None:
    title, body = "How do I sort a list?", "I have a list of pairs and want the second of each in order."
    assert same_document(bare_units(f"{title} {body}"), bare_units(title))
    assert same_document(bare_units(body), bare_units(f"{title} {body}")), "cut off"
    assert not same_document(bare_units(body), bare_units("Where do storks fly?")), "two id spaces that happen to meet"
    edited = "I've a list of pairs, and I want the second one of each in order!"
    assert same_document(bare_units(f"{title} {edited}"), bare_units(f"{title} {body}")), "edited since"
    assert same_document(bare_units("怎样用鸡蛋和面粉做蛋糕？"), bare_units("怎么用鸡蛋和面粉做蛋糕")), "edited since"
    assert not same_document(bare_units("what is the height of a tree"), bare_units("what is the depth of the sea"))
    assert not same_document(bare_units(""), bare_units(title))


WORDS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "7", "2007", "围", "棋", "多", "大", "ü"]), max_size=24)


@given(WORDS, WORDS, st.sampled_from(["", ".", "。", " !"]), st.sampled_from(["", "Title ", "A: "]))
def test_wrapping_changes_nothing(one: list[str], other: list[str], end: str, start: str) -> None:
    positive = " ".join(one)
    wrapped = bare_units(f"{start}{positive}{end}".upper())
    if len(bare_units(positive)) >= 5 and not start:
        assert repeats(wrapped, bare_units(positive))
    if 5 <= len(bare_units(positive)) < 16:
        assert repeats(wrapped, bare_units(positive))
        assert repeats(bare_units(positive), wrapped)
    candidate = bare_units(" ".join(other))
    if repeats(candidate, bare_units(positive)):
        shorter, longer = sorted((candidate, bare_units(positive)), key=len)
        assert any(longer[place : place + len(shorter)] == shorter for place in range(len(longer)))

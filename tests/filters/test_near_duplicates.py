"""The guard against near-duplicates: what counts as one, for whom, in which scripts, and at what cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.errors import HardnegError
from hardneg.transforms.core.tokenization import TokenizerSpec, make_tokenizer
from hardneg.transforms.filters.near_duplicates import (
    DEFAULT_CONTAINMENT,
    MIN_SHINGLES,
    SHINGLE_WIDTH,
    containment,
    near_duplicates,
    shingles,
)

VOCABULARY = [f"term{i}" for i in range(14)]
LIBRARY = (
    "Libbrasero is a simple library to burn, copy and erase CD and DVD media on every drive that the "
    "kernel knows of, from the desktop or from a terminal."
)
MEDAL = (
    "The {} Brownlow Medal was the {} year the award was presented to the player adjudged the fairest and best "
    "player during the Australian Football League home and away season. {} won the medal by polling {} votes "
    "during the {} AFL season."
)


def words(count, start=0):
    return " ".join(f"w{i}" for i in range(start, start + count))


def one(candidate, positive, threshold=DEFAULT_CONTAINMENT, **options):
    return bool(near_duplicates([0], [candidate], [0], [positive], threshold, **options)[0])


# ---------------------------------------------------------------- what a near-duplicate is


def test_same_text_but_for_a_sentence():
    development = LIBRARY + " This package contains the development headers."
    documentation = "In short: " + LIBRARY + " This package contains the documentation."
    assert one(development, documentation)
    assert one(documentation, development)
    assert one(LIBRARY, development)
    assert one(development, LIBRARY)


def test_one_form_filled_in_for_another_subject_is_a_good_negative():
    first = MEDAL.format(2007, "80th", "Jimmy Bartel of the Geelong Football Club", "twenty-nine", 2007)
    second = MEDAL.format(2015, "88th", "Nat Fyfe of the Fremantle Football Club", "thirty-one", 2015)
    assert 0.4 < containment(shingles(first), shingles(second)) < DEFAULT_CONTAINMENT
    assert not one(first, second)


def test_order_of_words_counts():
    text = words(40)
    assert one(text, text)
    assert not one(text, " ".join(reversed(text.split())))


def test_writing_does_not_count():
    assert one(LIBRARY, LIBRARY.upper().replace(",", " ;").replace(" ", "\n\u3000 "))
    assert one(LIBRARY, LIBRARY.replace("simple", "ｓｉｍｐｌｅ").replace("library", "li\u00adbrary"))


@pytest.mark.parametrize("width", [1, 3, 4, 5])
def test_short_texts_say_nothing(width):
    enough = MIN_SHINGLES + width - 1
    long = words(100)
    assert not one(words(3), long, width=width)
    assert not one(long, words(3), width=width)
    assert not one(words(enough - 1), words(enough - 1), width=width)
    assert one(words(enough), long, width=width)
    assert one(long, words(enough), width=width)


def test_threshold_is_met_exactly():
    # 10 shingles each, of which the first 7 are the same; 7 / 10 must count as 0.7
    shared, other = words(SHINGLE_WIDTH + 9), words(SHINGLE_WIDTH + 6) + " x y z"
    assert containment(shingles(shared), shingles(other)) == 0.7
    assert one(shared, other, 0.7)
    assert not one(shared, other, np.nextafter(0.7, 1))


def test_repetition_adds_no_shingles():
    assert len(shingles("buffalo " * 1000)) == 1
    assert not one("buffalo " * 1000, "buffalo " * 1000)


TOWN = "江背镇位于湖南省长沙县东南部，为长沙县第二大乡镇，全镇总面积175平方公里，政府驻江背社区。"
OTHER_TOWN = "路口镇位于湖南省长沙县东北部，为长沙县第三大乡镇，全镇总面积89平方公里，政府驻路口社区。"
JAPANESE = "東京都は日本の首都であり、人口が最も多い都道府県である。多くの企業の本社が集まっている。"
THAI = "กรุงเทพมหานครเป็นเมืองหลวงและนครที่มีประชากรมากที่สุดของประเทศไทย"
KOREAN = "서울특별시는 대한민국의 수도이자 최대 도시이다 한강을 끼고 있으며 많은 사람이 살고 있다"


@pytest.mark.parametrize("text", [TOWN, JAPANESE, THAI, KOREAN])
def test_scripts_without_spaces(text):
    assert one(text, "。" + text + " 2024 updated")
    characters = list(text)
    np.random.default_rng(1).shuffle(characters)
    assert not one(text, "".join(characters))


def test_chinese_forms_and_titles():
    assert not one(TOWN, OTHER_TOWN)
    assert one(TOWN + "本条目需要补充更多来源。", "长沙县乡镇列表：" + TOWN)
    assert not one("长沙县江背镇", TOWN)
    assert not one("江背镇位于湖南省", TOWN)


# ---------------------------------------------------------------- for whom


def test_only_positives_of_the_own_query_count():
    copy = LIBRARY + " More."
    result = near_duplicates([5, 9, 7], [copy, copy, copy], [9, 5, 9], [LIBRARY, words(50), words(60)])
    assert result.dtype == np.bool_
    assert result.tolist() == [False, True, False]


def test_a_positive_meets_the_other_positives_of_its_query():
    twin = LIBRARY + " This package contains the headers."
    positives = [LIBRARY, words(50), twin, LIBRARY]
    owner = [0, 0, 0, 1]
    alone = near_duplicates(owner, positives, owner, positives, left_out=[0, 1, 2, 3])
    assert alone.tolist() == [True, False, True, False]
    itself = near_duplicates(owner, positives, owner, positives, left_out=[-1, -1, -1, -1])
    assert itself.tolist() == [True, True, True, True]
    # One place left out, not one text: the same text known twice is a near-duplicate of its copy.
    assert near_duplicates([0, 0], [LIBRARY] * 2, [0, 0], [LIBRARY] * 2, left_out=[0, 1]).all()
    # The text may be that of a candidate elsewhere: what is left out belongs to the row.
    assert near_duplicates([1, 1], [twin] * 2, [1], [LIBRARY], left_out=[0, -1]).tolist() == [False, True]


def test_nothing_to_compare():
    assert near_duplicates([], [], [], []).tolist() == []
    assert near_duplicates([], [], [0], [LIBRARY]).shape == (0,)
    assert near_duplicates([0, 0], [LIBRARY, ""], [], []).tolist() == [False, False]
    assert near_duplicates([0], [""], [0], [""]).tolist() == [False]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threshold": 0}, HardnegError, "threshold is 0"),
        ({"threshold": 1.01}, HardnegError, r"threshold is 1\.01"),
        ({"threshold": float("nan")}, HardnegError, "threshold is nan"),
        ({"width": 0}, HardnegError, "0 terms"),
        ({"owner": [0]}, ValueError, r"owner has shape \(1,\), but there are 2 texts"),
        ({"positive_owner": [0, 0]}, ValueError, r"positive_owner has shape \(2,\), but there are 1 positive_texts"),
        ({"left_out": [0]}, ValueError, r"left_out has shape \(1,\), but there are 2 texts"),
        ({"left_out": [0, 1]}, ValueError, "left_out holds 1, but there are 1 positives"),
        ({"left_out": [-2, 0]}, ValueError, "left_out holds -2"),
    ],
)
def test_refusals(options, error, message):
    arguments = {"owner": [0, 0], "texts": ["a", "b"], "positive_owner": [0], "positive_texts": ["c"]}
    with pytest.raises(error, match=message):
        near_duplicates(**{**arguments, **options})


# ---------------------------------------------------------------- the definition, by brute force


def defined(owner, texts, positive_owner, positive_texts, threshold, left_out, width):
    def runs(text):
        terms = text.split()
        return {tuple(terms[i : i + width]) for i in range(len(terms) - width + 1)}

    result = []
    for query, text, out in zip(owner, texts, left_out, strict=True):
        flagged = False
        for place, (other, positive) in enumerate(zip(positive_owner, positive_texts, strict=True)):
            a, b = runs(text), runs(positive)
            shorter = min(len(a), len(b))
            if other == query and place != out and shorter >= MIN_SHINGLES:
                flagged |= len(a & b) / shorter >= threshold
        result.append(flagged)
    return result


@st.composite
def cases(draw):
    # Pieces of one pool of sentences, so that containments of every size occur.
    sentences = [" ".join(draw(st.permutations(VOCABULARY))[: draw(st.integers(3, 14))]) for _ in range(4)]
    text = st.lists(st.sampled_from(sentences), max_size=4).map(" ".join)
    texts, positives = draw(st.lists(text, max_size=6)), draw(st.lists(text, max_size=5))
    query = st.integers(-1, 2)
    return (
        [draw(query) for _ in texts],
        texts,
        [draw(query) for _ in positives],
        positives,
        draw(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.8, 1.0])),
        [draw(st.integers(-1, len(positives) - 1)) for _ in texts],
        draw(st.integers(1, 5)),
    )


@given(cases())
@examples(300)
def test_definition(case):
    owner, texts, positive_owner, positives, threshold, left_out, width = case
    found = near_duplicates(owner, texts, positive_owner, positives, threshold, left_out=left_out, width=width)
    assert found.tolist() == defined(*case)


@given(cases(), st.randoms(use_true_random=False))
@examples(100)
def test_rows_do_not_depend_on_their_order_nor_on_the_block(case, random):
    owner, texts, positive_owner, positives, threshold, left_out, width = case
    whole = near_duplicates(owner, texts, positive_owner, positives, threshold, left_out=left_out, width=width)
    for row in random.sample(range(len(texts)), len(texts)):
        alone = near_duplicates(
            [owner[row]], [texts[row]], positive_owner, positives, threshold, left_out=[left_out[row]], width=width
        )
        assert alone[0] == whole[row]


@given(st.text(max_size=60), st.text(max_size=60), st.integers(1, 5))
@examples(200)
def test_any_text(one_text, other_text, width):
    a, b = shingles(one_text, width), shingles(other_text, width)
    assert containment(a, b) == containment(b, a)
    assert containment(a, a) in (0.0, 1.0)
    assert 0 <= containment(a, b) <= 1
    assert one(one_text, other_text, 0.5, width=width) == (containment(a, b) >= 0.5)


def test_the_same_in_every_process():
    program = (
        "import sys\n"
        "from hardneg.transforms.filters.near_duplicates import near_duplicates\n"
        "texts = [' '.join(f'w{i * j % 31}' for i in range(60)) for j in range(1, 30)]\n"
        "found = near_duplicates([0] * 29, texts, [0, 0], [' '.join(t.split()[:40]) for t in texts[3:5]], 0.4)\n"
        "print(''.join(str(int(x)) for x in found))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1
    assert "1" in outputs.pop()


# ---------------------------------------------------------------- hostile texts, and cost


@pytest.mark.parametrize(
    "text",
    [
        "\0" * 100_000,
        "a" + "\u0301\u0316" * 100_000,
        "\u0301\u0316" * 100_000,
        "\ud800" * 1000,
        "\ufdfa" * 20_000,  # NFKC makes 18 characters of each
        "漢" * 200_000,
        "x" * 1_000_000,
        "a b " * 200_000,
        "🎉" * 100_000,
    ],
    ids=["nul", "marks", "bare marks", "surrogates", "ligatures", "ideographs", "one word", "two words", "symbols"],
)
def test_hostile_texts_end_in_time(text):
    start = time.process_time()
    near_duplicates([0, 0], [text, LIBRARY], [0, 0], [LIBRARY, text + LIBRARY])
    assert time.process_time() - start < 10


def test_nul_parts_words_and_hides_nothing():
    assert one(LIBRARY.replace(" ", "\0"), LIBRARY)


def test_each_distinct_text_is_cut_once_by_the_tokenizer_of_the_run():
    seen = []

    def counting(text):
        seen.append(text)
        return text.split()

    popular, other = words(50), words(50, start=100)
    owner, texts = [*range(20), 99], [popular] * 20 + [other]
    near_duplicates(owner, texts, [*range(20)], [popular] * 10 + [words(30)] * 10, terms=counting)
    assert sorted(seen) == sorted([popular, words(30)])  # and no text of a query without positives


def test_a_stemmer_makes_near_duplicates_of_inflections():
    positive = " ".join(f"walks{number} jumping" for number in range(12))
    candidate = positive.replace("jumping", "jumped")
    assert not one(candidate, positive)
    assert one(candidate, positive, terms=make_tokenizer(TokenizerSpec("unicode", "english")))

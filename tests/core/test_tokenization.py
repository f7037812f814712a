"""Tokenisation: words where there are spaces, pairs of characters where there are none, and hostile texts."""

from __future__ import annotations

import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardneg.errors import HardnegError
from hardneg.transforms.core.tokenization import TokenizerSpec, make_tokenizer

tokenize = make_tokenizer()


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("Hello World's C++ 3.14, snake_case", ["hello", "world", "s", "c", "3", "14", "snake", "case"]),
        ("Straße ΣΊΣΥΦΟΣ ﬁn ｆｕｌｌ", ["strasse", "σίσυφοσ", "fin", "full"]),
        ("Cafe\u0301 Café", ["café", "café"]),
        ("co\u00adoperate \u202bmarks\u202c", ["cooperate", "marks"]),
        ("范廷颂枢机，河内", ["范廷", "廷颂", "颂枢", "枢机", "河内"]),
        ("1963年被任", ["1963", "年被", "被任"]),
        ("3月iPhone手机A", ["3", "月", "iphone", "手机", "a"]),
        ("𠮷野家", ["𠮷野", "野家"]),
        ("食べる・ﾃｽﾄか\u3099", ["食べ", "べる", "テス", "スト", "トが"]),
        ("한국어 책", ["한국", "국어", "책"]),
        ("ไทยน่ารัก ๑๒", ["ไท", "ทย", "ยน่", "น่า", "ารั", "รัก", "๑๒"]),
        ("ខ្ញុំស្រលាញ់", ["ខ្ញុំ", "ញុំស្", "ស្រ", "រលា", "លាញ់"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("a\0b 👍🏽 \u0301\u0301", ["a", "b"]),
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert tokenize(text) == [unicodedata.normalize("NFKC", term) for term in terms]


@given(st.text())
def test_terms_hold_letters_or_digits_and_no_spaces(text: str) -> None:
    for term in tokenize(text):
        # or an ideograph that is younger than the character database of this Python
        assert any(character.isalnum() or 0x20000 <= ord(character) < 0x3FFFE for character in term)
        assert not any(character.isspace() or character == "\0" for character in term)


@given(st.text(st.characters(codec="ascii")))
def test_ascii_gives_what_any_other_text_gives(text: str) -> None:
    assert [*tokenize(text), "é"] == tokenize(text + " é")


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301\u0316" * 500_000,
        "\0" * 2_000_000,
        "é" * 1_000_000,
        "𠮷" * 500_000,
        "👍🏽" * 250_000,
        "a一" * 500_000,
    ],
    ids=["marks", "nul", "word", "run", "emoji", "changes"],
)
def test_two_megabytes_take_seconds_not_hours(text: str) -> None:
    # Plain NFKC puts combining marks in order in quadratic time: an hour for the first of these.
    start = time.process_time()
    tokenize(text)
    assert time.process_time() - start < 20


def test_jieba_cuts_chinese_and_leaves_the_rest() -> None:
    pytest.importorskip("rjieba")
    cut = make_tokenizer(TokenizerSpec("jieba"))
    assert cut("我来到北京清华大学")[-1] == "清华大学"
    assert cut("食べる iPhone") == ["食べ", "べる", "iphone"]


def test_stemmer() -> None:
    pytest.importorskip("Stemmer")
    assert make_tokenizer(TokenizerSpec(stemmer="english"))("Running dogs") == ["run", "dog"]


@pytest.mark.parametrize(
    ("spec", "missing", "sentence"),
    [
        (TokenizerSpec("words"), None, r"no tokenizer 'words'.*unicode, jieba"),
        (TokenizerSpec("jieba"), "rjieba", r"pip install rjieba"),
        (TokenizerSpec(stemmer="english"), "Stemmer", r"pip install PyStemmer"),
    ],
)
def test_what_cannot_be_made(
    spec: TokenizerSpec, missing: str | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(HardnegError, match=sentence):
        make_tokenizer(spec)


def test_an_unknown_stemmer() -> None:
    pytest.importorskip("Stemmer")
    with pytest.raises(HardnegError, match=r"no stemmer 'klingon'.*english"):
        make_tokenizer(TokenizerSpec(stemmer="klingon"))

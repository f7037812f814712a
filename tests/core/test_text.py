"""The passage string, the normalised form, and digests that must never change unnoticed."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.transforms.core.text import cut_digest, normalise, passage_string, text_digest, text_id

# What UTF-8 can carry: lone surrogates are rejected while reading.
texts = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("title", "text", "expected"),
    [
        ("Otter", "It swims.", "Otter It swims."),
        ("", "It swims.", "It swims."),
        (None, "It swims.", "It swims."),
        ("Otter", "", "Otter "),  # the contract has no exception for it
        ("Otter", None, "Otter "),
        (None, None, ""),
        (" ", "x", "  x"),
        ("標題", "正文。", "標題 正文。"),
    ],
)
def test_passage_string(title: str | None, text: str | None, expected: str) -> None:
    assert passage_string(title, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  The\tOTTER\n\n swims ", "the otter swims"),
        ("Straße", "strasse"),
        ("ﬁne №1", "fine no1"),
        ("ＡＢＣ　１２３", "abc 123"),  # full width, and the ideographic space
        ("cafe\u0301", "café"),  # composed
        ("a\u00a0b\u2003c\u2028d", "a b c d"),
        ("Σίσυφος", "σίσυφοσ"),  # the final sigma folds too
        ("", ""),
        (" \n ", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@settings(deadline=None)
@given(texts)
def test_normalise_is_the_contract(text: str) -> None:
    """NFKC, casefold, white space to one space: for anything but long runs of combining marks."""
    text = text.replace("\u034f", "")
    expected = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    # str.split also cuts at four separators that the pattern \s knows too; both agree on what is white space.
    assert normalise(text) == expected


@settings(deadline=None)
@given(texts)
def test_white_space_around_a_text_does_not_count(text: str) -> None:
    assert text_digest(f"  {text}\n") == text_digest(text)


def test_long_runs_of_symbols_compare_by_what_they_are() -> None:
    """Long runs are broken while they are normalised; the breaks must not tell texts apart."""
    assert normalise("…" * 40) == "." * 120
    assert normalise("-" * 100) == "-" * 100
    assert text_digest("＝" * 61) == text_digest("=" * 61)


def test_a_long_run_of_combining_marks_takes_no_quadratic_time() -> None:
    # Two marks of different classes in turn: 200,000 of them took minutes when they were ordered as one run.
    assert len(normalise("a" + "\u0316\u0301" * 100_000)) > 100_000


def test_digests_do_not_change() -> None:
    """Literal values: another digest cuts other segments, blocks and shards, and orders other rows."""
    assert cut_digest("q1") == 8341156147024183348
    assert cut_digest("") == 8238016292129134938
    assert cut_digest("文-1") == 3206775963556225564
    assert text_id("The otter swims.") == "002fd51d7a8106b9"
    assert text_digest("The  OTTER swims.").hex() == "679ddc5ecd70478fd6a8d7ab9fe9f9d2"


@settings(deadline=None)
@given(texts)
def test_cut_digest_fits_an_int64(identifier: str) -> None:
    assert 0 <= cut_digest(identifier) < 2**63


def test_digests_are_the_same_in_another_process() -> None:
    """Python's hash is not, which is why it is not used."""
    code = (
        "from hardneg.transforms.core.text import *; print(cut_digest('a b'), text_id('a b'), text_digest('a b').hex())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "77"}, capture_output=True, text=True, check=True
    ).stdout.split()
    assert printed == [str(cut_digest("a b")), text_id("a b"), text_digest("a b").hex()]


@settings(deadline=None)
@given(st.lists(texts, min_size=2, max_size=2, unique_by=normalise))
def test_different_texts_have_different_digests(pair: list[str]) -> None:
    assert text_digest(pair[0]) != text_digest(pair[1])

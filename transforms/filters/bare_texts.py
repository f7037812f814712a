"""Texts without what they are wrapped in: title, prefix, punctuation, width, case, and the kind of Chinese characters.

The same answer stands in a collection under a title, and in a list of pairs without; with "。" here and "." there; in
traditional characters here and in simplified ones there. The guard against near-duplicates looks away where texts are
short, so these rules look there.
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
import unicodedata
from collections.abc import Callable
from html import unescape

from hardneg.transforms.core.text import normalise
from hardneg.transforms.core.tokenization import words_and_characters

# Words; single characters in scripts that put no spaces between words.
Units = tuple[str, ...]

# Shorter texts may have too few shingles for ``near_duplicates``: it takes 11 words, or 12 characters in one run.
SHORT = 16
_TITLE = 16  # units that a title or a prefix has at most
# What is contained must be more than a name, which recurs in texts about other things: so many units.
_LEAST = {"words": 4, "characters": 5}
# A run of so many is no accident in a text of any length; fewer must stand in one that is hardly longer.
_SURE = {"words": 6, "characters": 8}

_PAIRS = 3  # of neighbours, in a text that is compared by them

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_ASCII_SIGNS = re.compile("[-%#+<=>|~$]")
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")  # what is left in texts of web pages


def bare_units(text: str) -> Units:
    """Return what is left of a text when everything is taken off that does not change what it says.

    Symbols stay (a currency, a plus), and of punctuation what belongs to a number or a name: ``-5``, ``20%``, ``C#``.
    """
    text = _THOUSANDS.sub("", normalise(unescape(text) if "&" in text else text))
    if not text.isascii():
        text = _UNSEEN.sub("", text)
        if _HAN.search(text):
            text = _simplifier()(text)
        text = text.translate(_other_symbols())
    return tuple(words_and_characters(_ASCII_SIGNS.sub(_as_word, text)))


def _as_word(match: re.Match[str]) -> str:
    """Return a sign as a word of its own; a blank where it is mere punctuation."""
    text, place, sign = match.string, match.start(), match[0]
    before = text[place - 1 : place]
    if sign == "-" and not (text[place + 1 : place + 2].isdigit() and not before.isalnum()):
        return " "
    if sign == "%" and not text[max(0, place - 2) : place].rstrip()[-1:].isdigit():
        return " "
    if sign == "#" and not before.isalpha():
        return " "
    return f" symbol{ord(sign):x} "


def repeats(candidate: Units, positive: Units, query: Units = ()) -> bool:
    """Return whether a candidate says what a positive says, but for what the one or the other is wrapped in.

    That is so if they are equal, or if one of them is short and stands in the other as a whole. A year or a name that
    differs makes two texts of it. What is no more than a name may recur in texts about other things; it is the same
    answer only under a title that is about what the query is about.
    """
    if candidate == positive:
        return bool(positive)
    shorter, longer = sorted((candidate, positive), key=len)
    if query and _is_titled(shorter, longer, query):
        return True
    if len(positive) < len(candidate):
        return len(positive) < SHORT and _stands_in(positive, candidate, anywhere=True)
    # A sentence of a positive is no positive: what is shorter must be most of it, or all but a title before it.
    return len(candidate) < SHORT and _stands_in(candidate, positive, anywhere=3 * len(candidate) >= 2 * len(positive))


def is_query(candidate: Units, query: Units) -> bool:
    """Return whether a candidate is the query's own text, as it is or under a title.

    A passage that begins with the query is none: a question and its answer stand together like that.
    """
    rest = len(candidate) - len(query)
    return bool(query) and (
        candidate == query or (0 < rest <= _TITLE and _enough(query, _LEAST) and candidate[rest:] == query)
    )


def same_document(candidate: Units, query: Units) -> bool:
    """Return whether a candidate under the query's own id is the query's document.

    One has the other in it, or half of what stands side by side in the shorter one: a document is edited, or cut where
    the query is not. Of two id spaces that happen to meet, hardly anything stands side by side in both.
    """
    shorter, longer = sorted((candidate, query), key=len)
    if not shorter or _place(shorter, longer) is not None:
        return bool(shorter)
    pairs, others = set(itertools.pairwise(shorter)), set(itertools.pairwise(longer))
    return len(pairs) >= _PAIRS and 2 * len(pairs & others) >= len(pairs)


def _is_titled(text: Units, whole: Units, query: Units) -> bool:
    """Return whether one text is another under a title, half of which stands in the query, too."""
    rest = len(whole) - len(text)
    if not text or not 0 < rest <= _TITLE or whole[rest:] != text:
        return False
    asked = set(query)
    return 2 * sum(1 for unit in whole[:rest] if unit in asked) >= rest


def _stands_in(part: Units, whole: Units, anywhere: bool) -> bool:
    if not _enough(part, _LEAST):
        return False
    rest = len(whole) - len(part)
    if not anywhere:
        return rest <= _TITLE and whole[rest:] == part
    return (rest <= _TITLE or _enough(part, _SURE)) and _place(part, whole) is not None


def _enough(units: Units, least: dict[str, int]) -> bool:
    characters = sum(1 for unit in units if len(unit) == 1 and not unit.isascii())
    return (len(units) - characters) / least["words"] + characters / least["characters"] >= 1


def _place(part: Units, whole: Units) -> int | None:
    """Return where a run of units begins in another; None if it does not stand there."""
    size = len(part)
    starts = (start for start in range(len(whole) - size + 1) if whole[start] == part[0])
    return next((start for start in starts if whole[start : start + size] == part), None)


@functools.cache
def _simplifier() -> Callable[[str], str]:
    """Return the function from any Chinese characters to simplified ones, as OpenCC maps them."""
    from opencc import OpenCC

    convert: Callable[[str], str] = OpenCC("t2s").convert
    return convert


@functools.cache
def _other_symbols() -> dict[int, str]:
    """Return a word for each symbol beyond ASCII: mathematical, of a currency, or any but a modifier of letters."""
    words = {
        code: f" symbol{code:x} "
        for code in range(128, sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Sm", "Sc", "So")
    }
    return {**words, ord("\N{MINUS SIGN}"): "-"}

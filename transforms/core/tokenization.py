"""Words for BM25: text in any language to a list of terms, the same for passages and for queries.

Scripts that put spaces between words give words. Scripts that do not (Chinese, Japanese, Thai, ...), and
Korean, whose space-separated units carry their particles with them, give overlapping pairs of characters:
the usual dictionary-free choice, which needs no language detection. Characters are what Unicode says they
are: a base and the marks that combine with it, so that a Thai consonant is never parted from its vowel.
"""

from __future__ import annotations

import functools
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hardneg.errors import OptionError

METHODS = ("unicode", "jieba")

Tokenizer = Callable[[str], list[str]]

# Blocks of the scripts that are cut into character pairs. Han without the ideographs beyond the BMP, which
# lie in planes of their own (below). Of the others only letters are taken: their digits are words.
_HAN = (
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3038, 0x303B),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
)
_HAN_PLANES = ((0x20000, 0x3FFFD),)
_KANA_BOPOMOFO_HANGUL = (
    (0x1100, 0x11FF),
    (0x3031, 0x3035),
    (0x3041, 0x318E),
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0xA960, 0xA97F),
    (0xAC00, 0xD7FF),
    (0x1AFF0, 0x1B16F),
)
# The line-breaking class SA of Unicode (UAX 14, "South East Asian"): no spaces between words.
_SOUTH_EAST_ASIAN = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0xA9E0, 0xA9FF),  # Myanmar Extended-B
    (0xAA60, 0xAADF),  # Myanmar Extended-A, Tai Viet
    (0x11700, 0x1174F),  # Ahom
)
# Invisible characters that stand inside words (soft hyphen, joiners, direction and variation marks):
# Default_Ignorable_Code_Point, less U+200B, which is there to part words.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
_ASCII_WORD = re.compile("[0-9a-z]+")
_LONG_NON_WORD = re.compile(r"\W{30}")  # a cheap look for what may be a long run of marks
_LAST_SCANNED = 0x1FFFF  # beyond it there are only ideographs and variation selectors


@dataclass(frozen=True)
class TokenizerSpec:
    """Which tokenizer to make.

    Attributes:
        method: ``unicode`` (character pairs where words are not parted by spaces) or ``jieba`` (the same,
            but runs of Chinese characters are cut by rjieba's dictionary, in its mode for search engines).
        stemmer: a Snowball algorithm that PyStemmer knows, such as ``english``; ``None`` for none.
    """

    method: str = "unicode"
    stemmer: str | None = None


@dataclass(frozen=True)
class _Patterns:
    """The compiled expressions that every tokenizer shares."""

    terms: re.Pattern[str]  # group 1: a run to be cut; otherwise a word
    words: re.Pattern[str]
    run: re.Pattern[str]
    mark: re.Pattern[str]
    character: re.Pattern[str]  # a base and its marks
    long_marks: re.Pattern[str]
    han: re.Pattern[str]


def make_tokenizer(spec: TokenizerSpec | None = None) -> Tokenizer:
    """Return the function from a text to its terms, in the order of the text.

    The function is a closure and cannot be pickled: make it where it is used. It keeps no state.

    Raises:
        OptionError: the method or the stemmer is unknown, or the package that it needs is not installed.
    """
    spec = spec or TokenizerSpec()
    if spec.method not in METHODS:
        raise OptionError(f"There is no tokenizer {spec.method!r}: choose one of {', '.join(METHODS)}.")
    cut_run = _character_pairs if spec.method == "unicode" else _dictionary_cut()
    if spec.stemmer is None:
        return functools.partial(_tokenize, cut_run=cut_run)
    stem = _stemmer(spec.stemmer)
    return lambda text: stem(_tokenize(text, cut_run))


def words_and_characters(text: str) -> list[str]:
    """Return the words of a text, and the single characters of scripts that put no spaces between words."""
    return _tokenize(text, _characters)


def _characters(run: str) -> Iterable[str]:
    return _patterns().character.findall(run)


def _tokenize(text: str, cut_run: Callable[[str], Iterable[str]]) -> list[str]:
    if text.isascii():  # the same result, several times faster
        return _ASCII_WORD.findall(text.lower())
    patterns = _patterns()
    # Putting a long run of combining marks in canonical order takes quadratic time. Breaking it every 30
    # is Unicode's remedy (UAX 15, Stream-Safe Text Format); the break is an ignorable character.
    if _LONG_NON_WORD.search(text):
        text = patterns.long_marks.sub("\\g<0>\u034f", text)
    text = _IGNORABLE.sub("", unicodedata.normalize("NFKC", text).casefold())
    if not patterns.run.search(text):
        return patterns.words.findall(text)
    terms: list[str] = []
    for match in patterns.terms.finditer(text):
        if match.lastindex:
            terms.extend(cut_run(match[0]))
        else:
            terms.append(match[0])
    return terms


def _character_pairs(run: str) -> Iterable[str]:
    """Return the overlapping pairs of characters of a run; a run of one character is its own term."""
    patterns = _patterns()
    characters = patterns.character.findall(run) if patterns.mark.search(run) else run
    if len(characters) == 1:
        return (run,)
    return map(operator.add, characters, characters[1:])


def _dictionary_cut() -> Callable[[str], Iterable[str]]:
    try:
        import rjieba
    except ImportError:
        raise OptionError(
            "The tokenizer 'jieba' needs the package rjieba: install it with `pip install rjieba`."
        ) from None
    cut = rjieba.cut_for_search
    han = _patterns().han

    def cut_run(run: str) -> Iterable[str]:
        # Its dictionary is Chinese: Japanese, Korean and Thai would fall apart into single characters.
        return cut(run) if han.fullmatch(run) else _character_pairs(run)

    return cut_run


def _stemmer(algorithm: str) -> Callable[[list[str]], list[str]]:
    try:
        import Stemmer
    except ImportError:
        raise OptionError(
            f"The stemmer {algorithm!r} needs the package PyStemmer: install it with `pip install PyStemmer`."
        ) from None
    try:
        return Stemmer.Stemmer(algorithm).stemWords
    except KeyError:
        known = ", ".join(Stemmer.algorithms())
        raise OptionError(f"PyStemmer knows no stemmer {algorithm!r}: choose one of {known}.") from None


@functools.cache
def _patterns() -> _Patterns:
    """Compile the expressions, from the character database of the running Python."""
    cut_blocks = bytearray(_LAST_SCANNED + 1)
    for first, last in (*_HAN, *_KANA_BOPOMOFO_HANGUL, *_SOUTH_EAST_ASIAN):
        cut_blocks[first : last + 1] = bytes([1]) * (last + 1 - first)
    words: list[int] = []
    runs: list[int] = []
    marks: list[int] = []
    for code in range(_LAST_SCANNED + 1):
        character = chr(code)
        if character.isalnum():
            is_cut = cut_blocks[code] and not character.isdigit() and not character.isdecimal()
            (runs if is_cut else words).append(code)
        elif unicodedata.category(character)[0] == "M":
            marks.append(code)
    word, run, mark = _ranges(words), _ranges(runs) + _written(_HAN_PLANES), _ranges(marks)
    return _Patterns(
        words=re.compile(f"[{word}][{word}{mark}]*"),
        run=re.compile(f"[{run}]"),
        terms=re.compile(f"([{run}][{run}{mark}]*)|[{word}][{word}{mark}]*"),
        mark=re.compile(f"[{mark}]"),
        character=re.compile(f"[{run}][{mark}]*"),
        long_marks=re.compile(f"[{mark}]{{30}}(?=[{mark}])"),
        han=re.compile(f"[{_written(_HAN)}{_written(_HAN_PLANES)}]+"),
    )


def _ranges(codes: list[int]) -> str:
    """Return the inside of a character class that holds these ascending code points."""
    ranges: list[tuple[int, int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1] = (ranges[-1][0], code)
        else:
            ranges.append((code, code))
    return _written(ranges)


def _written(ranges: Iterable[tuple[int, int]]) -> str:
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)

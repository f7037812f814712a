"""The guard against near-duplicates of a positive: the same text but for a sentence is not a negative.

Texts are compared by their sets of shingles, runs of ``width`` consecutive terms (Broder 1997). Terms are
those of the run's BM25: words, and, in scripts without spaces between words, overlapping pairs of characters, so that
a shingle there is a run of ``width + 1`` characters and no language has to be named.

Shingles are kept as they are, not as digests, so the counts are exact on every machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from hardneg.errors import OptionError, parameter
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.core.tokenization import Tokenizer, TokenizerSpec, make_tokenizer
from hardneg.transforms.filters.filter import Candidates, Filter

# Chosen by reading pairs, mostly package descriptions, of which many share whole paragraphs. From 0.8 up nearly
# all were one text but for a sentence or a name; between 0.45 and 0.8 most were one form filled in for another
# subject ("2007 Brownlow Medal", "2015 Brownlow Medal"), which is a good negative. A changed word breaks ``width``
# shingles: with 3, far more such forms reached 0.8; 5 changed hardly anything.
SHINGLE_WIDTH = 4
DEFAULT_CONTAINMENT = 0.8
MIN_SHINGLES = 8  # in the shorter text, 11 words or so: a title that recurs in a long passage is no near-duplicate

Shingles = frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class NearDuplicate(Filter):
    """What nearly repeats a positive of its query.

    Attributes:
        near_duplicates: the containment from which it does; above 0, at most 1.
        tokenizer: what cuts texts into terms; the run's.
    """

    reason: ClassVar[str] = "near_duplicate"
    stage: ClassVar = "guard"
    sentence: ClassVar[str] = f"its text nearly repeats a positive's: {parameter('near_duplicates')}"
    options: ClassVar[tuple[str, ...]] = ("near_duplicates",)

    near_duplicates: float = DEFAULT_CONTAINMENT
    tokenizer: TokenizerSpec = field(default_factory=TokenizerSpec)

    def applies(self, candidates: Candidates) -> BoolArray:
        caught = np.zeros(len(candidates.query), dtype=np.bool_)
        positives, rows = np.flatnonzero(candidates.positive), np.flatnonzero(candidates.asked)
        if not len(positives) or not len(rows):
            return caught
        place = np.full(len(caught), -1, dtype=np.int64)
        place[positives] = np.arange(len(positives))
        caught[rows] = near_duplicates(
            candidates.query[rows],
            candidates.texts(rows),
            candidates.query[positives],
            candidates.texts(positives),
            self.near_duplicates,
            left_out=place[rows],
            terms=make_tokenizer(self.tokenizer),
        )
        return caught

    @classmethod
    def of_options(cls, given: Mapping[str, Any]) -> Self | None:
        threshold = given.get("near_duplicates")
        if threshold is None:
            return None
        return cls(threshold, given.get("tokenizer") or TokenizerSpec())


def near_duplicates(
    owner: npt.ArrayLike,
    texts: Sequence[str],
    positive_owner: npt.ArrayLike,
    positive_texts: Sequence[str],
    threshold: float = DEFAULT_CONTAINMENT,
    *,
    left_out: npt.ArrayLike | None = None,
    width: int = SHINGLE_WIDTH,
    terms: Tokenizer | None = None,
) -> BoolArray:
    """Return which candidates nearly repeat a positive of their own query: bool (n,).

    True where ``containment`` of the candidate and one of those positives is at least the threshold: no matter
    which of the two is longer. The answer depends on these texts alone, whatever else is in the call. Each
    distinct text is cut into shingles once a call.

    Args:
        owner: int (n,); the query of each candidate, in any order.
        texts: n passage strings.
        positive_owner: int (m,); the query of each positive, in any order.
        positive_texts: m passage strings.
        threshold: above 0, at most 1.
        left_out: int (n,); per candidate the place, among the positives, of one that it is not compared with;
            -1 for none. For a known positive that is itself run through the guards: its own place, so that it
            meets the query's *other* positives only. Default: none anywhere.
        width: terms in a shingle.
        terms: a text to its terms; default: those of BM25's default.

    Raises:
        OptionError: threshold out of range, or width below 1.
        ValueError: lengths that disagree, or a place that is no positive's.
    """
    if not 0 < threshold <= 1:
        raise OptionError(f"the containment threshold is {threshold}; it must be above 0 and at most 1")
    if width < 1:
        raise OptionError(f"a shingle of {width} terms: it needs at least 1")
    owners = _integers("owner", owner, len(texts), "texts")
    positive_owners = _integers("positive_owner", positive_owner, len(positive_texts), "positive_texts")
    places = _integers("left_out", [-1] * len(texts) if left_out is None else left_out, len(texts), "texts")
    outside = [place for place in places if not -1 <= place < len(positive_texts)]
    if outside:
        raise ValueError(f"left_out holds {outside[0]}, but there are {len(positive_texts)} positives")

    positives_of: defaultdict[int, list[int]] = defaultdict(list)
    for place, query in enumerate(positive_owners):
        positives_of[query].append(place)
    terms = terms or make_tokenizer()
    distinct = {text: shingles(text, width, terms) for text in dict.fromkeys(positive_texts)}
    positive_shingles = [distinct[text] for text in positive_texts]
    known = set().union(*distinct.values())

    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        if owners[row] in positives_of:
            rows_of[text].append(row)
    result = np.zeros(len(texts), dtype=np.bool_)
    for text, rows in rows_of.items():
        own = distinct.get(text) or shingles(text, width, terms)
        shared = own & known  # mostly empty; one text at a time, as the sets of all would fill the memory
        if not shared:
            continue
        for row in rows:
            result[row] = any(
                _share(shared & positive_shingles[place], own, positive_shingles[place]) >= threshold
                for place in positives_of[owners[row]]
                if place != places[row]
            )
    return result


def shingles(text: str, width: int = SHINGLE_WIDTH, terms: Tokenizer | None = None) -> Shingles:
    """Return the distinct runs of ``width`` consecutive terms of a text; none if it has fewer terms."""
    found = (terms or make_tokenizer())(text)
    return frozenset(zip(*(found[start:] for start in range(width)), strict=False))


def containment(one: Shingles, other: Shingles) -> float:
    """Return the share of the shorter text's shingles that the other has too: 0.0 to 1.0.

    0 if either has fewer than ``MIN_SHINGLES``.
    """
    return _share(one & other, one, other)


def _share(shared: Set[tuple[str, ...]], one: Shingles, other: Shingles) -> float:
    shorter = min(len(one), len(other))
    return len(shared) / shorter if shorter >= MIN_SHINGLES else 0.0


def _integers(name: str, values: npt.ArrayLike, length: int, beside: str) -> list[int]:
    array = np.asarray(values, dtype=np.int64)
    if array.shape != (length,):
        raise ValueError(f"{name} has shape {array.shape}, but there are {length} {beside}")
    result: list[int] = array.tolist()
    return result

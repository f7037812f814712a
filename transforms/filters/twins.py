"""The masks that compare bare texts: a passage that is a positive, or the query, in other wrapping."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np

from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.filters.bare_texts import SHORT, Units, bare_units, is_query, repeats, same_document
from hardneg.transforms.filters.filter import Candidates

_SHORT_TEXT = 20 * SHORT  # characters; a longer text has more units than ``SHORT``
_LETTERS = re.compile("[a-z]+")


class _Texts:
    """The bare units of texts, each text taken apart once, and only if it must be."""

    def __init__(self) -> None:
        self._units: dict[str, Units] = {}
        self._words: dict[str, list[str]] = {}

    def units(self, text: str) -> Units:
        if text not in self._units:
            self._units[text] = bare_units(text)
        return self._units[text]

    def may_hold(self, text: str, part: str) -> bool:
        """Return whether a text may have the units of another in it; most have not, and that is seen quickly."""
        if not text.isascii():
            return True
        if part not in self._words:
            lower = part.lower()
            words = {unit for unit in self.units(part) if unit.isascii() and unit in lower}
            self._words[part] = sorted(words, key=len, reverse=True)
        lower = text.lower()
        return all(word in lower for word in self._words[part])


def may_stand_in(part: str, whole: str) -> bool:
    """Return whether the units of one text may stand in another's; seen quickly, and True where it can't be seen.

    A run of letters is part of a unit, and what stands in another text has all of its units there.
    """
    if not (part.isascii() and whole.isascii()) or "&" in part or "&" in whole:
        return True
    lower = whole.lower()
    return all(match[0] in lower for match in _LETTERS.finditer(part.lower()))


def repeat_positives(candidates: Candidates, rows: IntArray, known: BoolArray) -> BoolArray:
    """Return which rows say what a known passage of their query says (``bare_texts.repeats``): bool (n,).

    Args:
        candidates: a block's.
        rows: int64; the rows to look at. A known passage among them is compared with the others of its query.
        known: bool (n,); positives, of the query or of one with an equal text.
    """
    found = np.zeros(len(candidates.query), dtype=np.bool_)
    texts = _Texts()
    of_query: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    places = np.flatnonzero(known)
    for place, text in zip(places.tolist(), candidates.texts(places), strict=True):
        of_query[int(candidates.query[place])].append((place, text))
    queries = candidates.queries["text"].to_pylist()
    rows = rows[np.isin(candidates.query[rows], candidates.query[places])]
    for row, text in zip(rows.tolist(), candidates.texts(rows), strict=True):
        number = int(candidates.query[row])
        found[row] = any(
            repeats(texts.units(text), texts.units(positive), texts.units(queries[number]))
            for place, positive in of_query[number]
            if place != row and _worth_a_look(texts, text, positive)
        )
    return found


def _worth_a_look(texts: _Texts, text: str, positive: str) -> bool:
    if len(text) < _SHORT_TEXT:
        return may_stand_in(text, positive) or may_stand_in(positive, text)
    return texts.may_hold(text, positive)


def repeat_query(candidates: Candidates, rows: IntArray) -> BoolArray:
    """Return which rows are their query's own text, or its document under its own id: bool (n,)."""
    found = np.zeros(len(candidates.query), dtype=np.bool_)
    texts = _Texts()
    queries, ids = candidates.queries["text"].to_pylist(), candidates.queries["query_id"].to_pylist()
    passage_ids = candidates.table["passage_id"].to_pylist()
    for row, text in zip(rows.tolist(), candidates.texts(rows), strict=True):
        number = int(candidates.query[row])
        query = queries[number]
        if passage_ids[row] == ids[number]:
            found[row] = same_document(texts.units(text), texts.units(query))
        elif texts.may_hold(text, query):
            found[row] = is_query(texts.units(text), texts.units(query))
    return found

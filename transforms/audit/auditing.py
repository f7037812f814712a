"""What can be wrong with a set of training data as a whole; found with keys of its texts, not with the texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.audit.triplet_rows import (
    LENGTHS_DIFFER,
    NOT_FINITE,
    UNREADABLE,
    Flaw,
    Ragged,
    TripletBatch,
)
from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.hashing import Keys, id_keys, occurrence, pair_keys, set_keys, text_keys

EXAMPLES = 3

FAULT_TITLES = {
    UNREADABLE: "rows that cannot be read",
    "empty_anchors": "empty anchors",
    "empty_positives": "empty positives",
    "empty_negatives": "empty negatives",
    "no_positives": "rows without a positive",
    "no_negatives": "rows without a negative",
    "duplicate_ids": "ids that stand for two things",
    "positives_among_negatives": "negatives that are a positive of their query",
    "anchors_among_negatives": "negatives that are the query itself",
    "duplicate_negatives": "negatives that repeat another of their query",
    "too_few_negatives": "queries with fewer negatives than expected",
    NOT_FINITE: "scores that are NaN, infinite or missing",
    LENGTHS_DIFFER: "lists of scores or ids that do not fit their texts",
    "held_out_queries": "anchors that are held-out queries",
    "held_out_passages": "positives or negatives that are held-out gold passages",
}

_NONE = np.zeros(0, dtype=np.uint64)
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Spot:
    """A place in the data set, to be looked up again when its text is to be shown.

    Attributes:
        row: the row's number in the whole set.
        part: ``anchor``, ``positive``, ``negative``, or the id that is meant: ``query_id``, ``row_id``,
            ``positive_id``, ``negative_id``.
        nth: which of the row's positives or negatives, from 0.
        detail: what else there is to say.
    """

    row: int
    part: str
    nth: int = 0
    detail: str = ""


@dataclass
class Finding:
    """One kind of fault: how often, and its first examples (a sentence, or where to look it up)."""

    kind: str
    count: int
    examples: list[Spot | str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return FAULT_TITLES[self.kind]


@dataclass(frozen=True)
class PartKeys:
    """All positives, or all negatives, of a set: int64 and uint64 arrays of one length.

    Attributes:
        row: the row of each, increasing.
        text: the text's key, 0 if it is empty.
        id: the id's key, 0 if it has none.
    """

    row: IntArray
    text: Keys
    id: Keys

    def nth(self, place: int) -> int:
        """Return which of its row's texts one is."""
        return place - int(np.searchsorted(self.row, self.row[place]))


@dataclass(frozen=True)
class Records:
    """A whole set, as keys. Arrays of shape (rows,), but for the parts.

    Attributes:
        file: the number of the row's file.
        line: its 1-based line there.
        anchor: key of the anchor's text, 0 if it is empty.
        positives_key: key of the set of its positives' texts.
        query_id: key of the query's id, 0 if it has none.
        row_id: key of the row's id, 0 if it has none.
        positives: all of them.
        negatives: all of them.
        flaws: what reading found wrong with single rows, by file.
    """

    file: IntArray
    line: IntArray
    anchor: Keys
    positives_key: Keys
    query_id: Keys
    row_id: Keys
    positives: PartKeys
    negatives: PartKeys
    flaws: list[tuple[int, Flaw]]

    def __len__(self) -> int:
        return len(self.anchor)

    @property
    def group(self) -> Keys:
        """Key of anchor and positives: rows that agree in both train the same thing."""
        return pair_keys(self.anchor, self.positives_key)


class Recorder:
    """Gathers batches into ``Records``."""

    def __init__(self) -> None:
        self._columns: dict[str, list[npt.NDArray]] = {}
        self._flaws: list[tuple[int, Flaw]] = []
        self._rows = 0

    def add(self, file: int, batch: TripletBatch) -> None:
        """Add a batch of the file of that number."""
        rows = len(batch.lines)
        self._flaws += [(file, flaw) for flaw in batch.flaws]
        self._put("file", np.full(rows, file, dtype=np.int64))
        self._put("line", batch.lines)
        self._put("anchor", text_keys(batch.anchors))
        for name, ids in (("query_id", batch.query_ids), ("row_id", batch.row_ids)):
            self._put(name, _id_keys(ids, rows))
        positives = self._add_part("positives", batch.positives)
        self._put("positives_key", set_keys(batch.positives.starts, positives))
        self._add_part("negatives", batch.negatives)
        self._rows += rows

    def _add_part(self, part: str, texts: Ragged) -> Keys:
        keys = text_keys(texts.values)
        self._put(f"{part}.row", texts.rows + self._rows)
        self._put(f"{part}.text", keys)
        self._put(f"{part}.id", _id_keys(texts.ids, len(keys)))
        return keys

    def _put(self, name: str, values: npt.NDArray) -> None:
        self._columns.setdefault(name, []).append(values)

    def records(self) -> Records:
        """Return what was added."""

        def whole(name: str, dtype: type = np.uint64) -> npt.NDArray:
            return np.concatenate(self._columns.pop(name, [np.zeros(0, dtype=dtype)]))

        positives, negatives = (
            PartKeys(whole(f"{part}.row", np.int64), whole(f"{part}.text"), whole(f"{part}.id"))
            for part in ("positives", "negatives")
        )
        return Records(
            whole("file", np.int64),
            whole("line", np.int64),
            whole("anchor"),
            whole("positives_key"),
            whole("query_id"),
            whole("row_id"),
            positives,
            negatives,
            self._flaws,
        )


def _id_keys(ids: pa.Array | None, rows: int) -> Keys:
    return np.zeros(rows, dtype=np.uint64) if ids is None else id_keys(ids)


@dataclass(frozen=True)
class Known:
    """Positives known from elsewhere, as ``pair_keys`` of query and passage: of their texts, and of their ids."""

    texts: Keys = field(default_factory=lambda: _NONE)
    ids: Keys = field(default_factory=lambda: _NONE)


def flawed_rows(records: Records, places: list[str]) -> list[Finding]:
    """Return what reading found wrong with single rows.

    Args:
        records: the set.
        places: how the place of a row in each file begins, as in ``FILE:row ``.
    """
    found: dict[str, Finding] = {}
    for file, flaw in records.flaws:
        finding = found.setdefault(flaw.kind, Finding(flaw.kind, 0))
        finding.count += len(flaw.lines)
        room = EXAMPLES - len(finding.examples)
        finding.examples += [f"{places[file]}{line}: {flaw.detail}" for line in flaw.lines[:room].tolist()]
    return list(found.values())


def empty_texts(records: Records) -> list[Finding]:
    """Find texts of nothing but white space, and rows without positives or negatives."""
    rows = np.arange(len(records))
    return [
        _of_rows("empty_anchors", records.anchor == 0),
        _of_part("empty_positives", records.positives, records.positives.text == 0, "positive"),
        _of_part("empty_negatives", records.negatives, records.negatives.text == 0, "negative"),
        _of_rows("no_positives", ~np.isin(rows, records.positives.row)),
        _of_rows("no_negatives", ~np.isin(rows, records.negatives.row)),
    ]


def positives_among_negatives(records: Records, known: Known) -> list[Finding]:
    """Find negatives that are, by id or normalised text, a positive of their query, or the query itself.

    Positives count for all rows with their anchor.
    """
    positives, negatives = records.positives, records.negatives
    anchor = records.anchor[negatives.row]
    own = pair_keys(records.anchor[positives.row], positives.text)
    hit = np.isin(pair_keys(anchor, negatives.text), np.concatenate([own, known.texts]))
    itself = (negatives.text == anchor) & (anchor != 0)
    own = pair_keys(records.anchor[positives.row], positives.id)[positives.id != 0]
    by_id = np.isin(pair_keys(anchor, negatives.id), own)
    by_id |= np.isin(pair_keys(records.query_id[negatives.row], negatives.id), known.ids)
    hit = ((hit & (negatives.text != 0)) | (by_id & (negatives.id != 0))) & (anchor != 0)
    return [
        _of_part("positives_among_negatives", negatives, hit, "negative"),
        _of_part("anchors_among_negatives", negatives, itself & ~hit, "negative"),
    ]


def duplicate_negatives(records: Records, allowed: Callable[[Keys], IntArray] | None = None) -> list[Finding]:
    """Find negatives that stand twice with the same anchor and positives, in one row or in several.

    Args:
        records: the set.
        allowed: how often each key, ``pair_keys(group, negative)``, may occur; default: once.
    """
    negatives = records.negatives
    keys = pair_keys(records.group[negatives.row], negatives.text)
    before = occurrence(keys)
    again = (before > 0) & (negatives.text != 0)
    if allowed is not None and again.any():
        again[again] = before[again] >= np.maximum(allowed(keys[again]), 1)
    return [_of_part("duplicate_negatives", negatives, again, "negative")]


def too_few_negatives(records: Records, expected: int) -> list[Finding]:
    """Find anchors (with the same positives) that have fewer different negatives than expected."""
    negatives = records.negatives
    _, first, group = np.unique(records.group, return_index=True, return_inverse=True)
    owner = group[negatives.row]
    different = (occurrence(pair_keys(records.group[negatives.row], negatives.text)) == 0) & (negatives.text != 0)
    have = np.bincount(owner[different], minlength=len(first))
    rows = np.sort(first[have < expected])
    examples: list[Spot | str] = [
        Spot(row, "anchor", detail=f"{have[group[row]]} of {expected}") for row in rows[:EXAMPLES].tolist()
    ]
    return [Finding("too_few_negatives", len(rows), examples)]


def duplicate_ids(records: Records) -> list[Finding]:
    """Find ids with two texts, and ids of rows that stand twice.

    A bare ``id`` is the row's if there are more of them than anchors, or a query id beside it; else the query's,
    which stands in each of its rows, but in n-tuples only once with the same positives.
    """
    positives, negatives = records.positives, records.negatives
    examples: list[Spot | str] = []
    count = 0
    passages = np.concatenate([positives.id, negatives.id])
    repeated = id_conflicts(passages, np.concatenate([positives.text, negatives.text]))
    count += len(np.unique(passages[repeated]))
    for place in np.flatnonzero(repeated)[:EXAMPLES].tolist():
        part, name = (positives, "positive_id") if place < len(positives.id) else (negatives, "negative_id")
        place -= 0 if part is positives else len(positives.id)
        examples.append(Spot(int(part.row[place]), name, part.nth(place), "another text than before"))
    for name, ids in (("query_id", records.query_id), ("row_id", records.row_id)):
        repeated, detail = _repeated_row_ids(records, name, ids)
        count += int(repeated.sum())
        rows = np.flatnonzero(repeated)[: EXAMPLES - len(examples)].tolist()
        examples += [Spot(row, name, detail=detail) for row in rows]
    return [Finding("duplicate_ids", count, examples)]


def _repeated_row_ids(records: Records, name: str, ids: Keys) -> tuple[_Mask, str]:
    has = ids != 0
    ids_differ = len(np.unique(ids[has])) > len(np.unique(records.anchor[has]))
    if name == "row_id" and (ids_differ or records.query_id.any()):
        return has & (occurrence(ids) > 0), "stands in an earlier row, too"
    repeated = id_conflicts(ids, records.anchor)
    if len(records.negatives.row) != len(records):  # not triplets: a row has all its negatives
        repeated |= has & (occurrence(pair_keys(ids, records.positives_key)) > 0)
    return repeated, "stands in an earlier row, too, with another text or the same positives"


def id_conflicts(ids: Keys, texts: Keys) -> _Mask:
    """Return which ids occur with another text than where they occur first, bool; 0 is no id."""
    order = np.argsort(ids, kind="stable")
    firsts = np.arange(len(ids)) - occurrence(ids[order])
    differ = np.zeros(len(ids), dtype=bool)
    differ[order] = texts[order] != texts[order][firsts]
    return differ & (ids != 0)


def held_out(records: Records, queries: Keys, passages: Keys) -> list[Finding]:
    """Find different anchors that are held-out queries, and different texts that are held-out gold passages."""
    found = _of_rows("held_out_queries", _first_of_each(records.anchor, queries))
    texts = np.concatenate([records.positives.text, records.negatives.text])
    hit = _first_of_each(texts, passages)
    cut = len(records.positives.text)
    parts = [
        _of_part("held_out_passages", part, where, name)
        for part, where, name in (
            (records.positives, hit[:cut], "positive"),
            (records.negatives, hit[cut:], "negative"),
        )
    ]
    examples = (parts[0].examples + parts[1].examples)[:EXAMPLES]
    return [found, Finding("held_out_passages", parts[0].count + parts[1].count, examples)]


def _first_of_each(keys: Keys, wanted: Keys) -> _Mask:
    hit = np.isin(keys, wanted) & (keys != 0)
    hit[hit] = occurrence(keys[hit]) == 0
    return hit


def _of_rows(kind: str, hit: _Mask) -> Finding:
    rows = np.flatnonzero(hit)
    return Finding(kind, len(rows), [Spot(row, "anchor") for row in rows[:EXAMPLES].tolist()])


def _of_part(kind: str, part: PartKeys, hit: _Mask, name: str) -> Finding:
    places = np.flatnonzero(hit)
    spots: list[Spot | str] = [
        Spot(int(part.row[place]), name, part.nth(place)) for place in places[:EXAMPLES].tolist()
    ]
    return Finding(kind, len(places), spots)

"""The rows of training data as arrays, whatever form they were in; from objects to such arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from hardneg.transforms.audit.triplet_files import (
    Layout,
    TripletFile,
    head_of,
    scored_part,
)
from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.text import passage_string
from hardneg.transforms.inputs.formats.columnar import BATCH_ROWS
from hardneg.transforms.inputs.formats.registry import ROW_FORMATS
from hardneg.transforms.inputs.input_files import LONE_SURROGATE, WRONG_TYPE
from hardneg.transforms.inputs.synonyms import NUMBERED_NEGATIVE, NUMBERED_POSITIVE, OBJECT_IDS, OBJECT_TEXTS

NOT_FINITE = "scores_not_finite"
LENGTHS_DIFFER = "lengths_differ"
UNREADABLE = "unreadable_rows"


@dataclass(frozen=True)
class Ragged:
    """A list of strings for each row.

    Attributes:
        starts: shape (rows + 1,): row i has ``values[starts[i]:starts[i + 1]]``.
        values: strings, null where there is none.
        ids: the ids of the values, null where there is none; None if the file has no such ids.
    """

    starts: IntArray
    values: pa.Array
    ids: pa.Array | None = None

    @property
    def lengths(self) -> IntArray:
        return np.diff(self.starts)

    @property
    def rows(self) -> IntArray:
        """The row of each value."""
        return np.repeat(np.arange(len(self.starts) - 1), self.lengths)


@dataclass(frozen=True)
class Flaw:
    """What reading found wrong with rows: its kind, what exactly, and the line of each occurrence."""

    kind: str
    detail: str
    lines: IntArray


@dataclass(frozen=True)
class TripletBatch:
    """Some rows of a file.

    Attributes:
        lines: shape (rows,): 1-based line (Parquet: row).
        anchors: strings.
        positives: their texts.
        negatives: their texts.
        query_ids: strings; None if the file has none.
        row_ids: strings; None if the file has none.
        flaws: what is wrong with these rows, and with such as could not be read.
    """

    lines: IntArray
    anchors: pa.Array
    positives: Ragged
    negatives: Ragged
    query_ids: pa.Array | None = None
    row_ids: pa.Array | None = None
    flaws: list[Flaw] = field(default_factory=list)


class RowError(Exception):
    """The row at hand can't be used; the text is the reason."""


@dataclass
class _Rows:
    """Rows on their way into a batch."""

    lines: list[int] = field(default_factory=list)
    anchors: list[str | None] = field(default_factory=list)
    positives: list[list[tuple[str | None, str | None]]] = field(default_factory=list)
    negatives: list[list[tuple[str | None, str | None]]] = field(default_factory=list)
    query_ids: list[str | None] = field(default_factory=list)
    row_ids: list[str | None] = field(default_factory=list)
    flaws: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def flaw(self, kind: str, detail: str, line: int, times: int = 1) -> None:
        self.flaws.setdefault((kind, detail), []).extend([line] * times)

    def batch(self, layout: Layout) -> TripletBatch:
        return TripletBatch(
            np.array(self.lines, dtype=np.int64),
            pa.array(self.anchors, pa.string()),
            _ragged_of_pairs(self.positives),
            _ragged_of_pairs(self.negatives),
            pa.array(self.query_ids, pa.string()) if layout.query_id else None,
            pa.array(self.row_ids, pa.string()) if layout.row_id else None,
            [Flaw(*what, np.array(where, dtype=np.int64)) for what, where in self.flaws.items()],
        )


def _ragged_of_pairs(rows: Sequence[Sequence[tuple[str | None, str | None]]]) -> Ragged:
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
    values = pa.array([text for row in rows for text, _ in row], pa.string())
    ids = pa.array([identifier for row in rows for _, identifier in row], pa.string())
    return Ragged(starts, values, ids if ids.null_count < len(ids) else None)


def read_objects(file: TripletFile, layout: Layout) -> Iterator[TripletBatch]:
    """Read a file row by row, as batches of bounded size.

    Raises:
        HardnegError: the file can't be read to its end.
    """
    rows = _Rows()
    for number, value in ROW_FORMATS[file.format].objects(file.path, head_of(file)):
        try:
            if isinstance(value, str):
                raise RowError(value)
            _add(rows, number, value, layout)
        except RowError as error:
            rows.flaw(UNREADABLE, str(error), number)
        if len(rows.lines) >= BATCH_ROWS:
            yield rows.batch(layout)
            rows = _Rows()
    yield rows.batch(layout)


def _add(rows: _Rows, line: int, value: dict[str, Any], layout: Layout) -> None:
    anchor = _string(value.get(layout.anchor), layout.anchor)
    query_id, row_id = (_id(value.get(name), name) if name else None for name in (layout.query_id, layout.row_id))
    parts = {}
    for part, names, id_names, numbered in (
        ("positives", layout.positives, layout.positive_ids, NUMBERED_POSITIVE),
        ("negatives", layout.negatives, layout.negative_ids, NUMBERED_NEGATIVE),
    ):
        # Later rows may have more numbered columns than the first thousand.
        further = [name for name in value if name not in layout.parts and numbered.fullmatch(name.lower())]
        texts = [pair for name in (*names, *further) if name in value for pair in _texts(value[name], name)]
        ids = [_id(each, name) for name in id_names if name in value for each in _listed(value[name])]
        if ids and len(ids) != len(texts):
            rows.flaw(LENGTHS_DIFFER, f"{len(texts)} {part} with {len(ids)} ids", line)
        elif ids:
            texts = [(text, identifier) for (text, _), identifier in zip(texts, ids, strict=True)]
        parts[part] = texts
    rows.lines.append(line)
    rows.anchors.append(anchor)
    rows.query_ids.append(query_id)
    rows.row_ids.append(row_id)
    rows.positives.append(parts["positives"])
    rows.negatives.append(parts["negatives"])
    for name, scores in value.items():
        if name not in layout.parts:
            _check_scores(rows, line, name, scores, {part: len(texts) for part, texts in parts.items()})


def _check_scores(rows: _Rows, line: int, name: str, scores: Any, lengths: dict[str, int]) -> None:
    called = "score" in name.lower()
    if isinstance(scores, list):
        part = scored_part(name)
        if part and len(scores) != lengths[part]:
            rows.flaw(LENGTHS_DIFFER, f"{lengths[part]} {part} with {len(scores)} {name}", line)
        bad = [score for score in scores if _is_bad(score, called) or (called and score is None)]
    else:
        bad = [scores] if _is_bad(scores, called) else []
    for score in bad:
        rows.flaw(NOT_FINITE, f"{name} = {score}", line)


def _is_bad(score: Any, called: bool) -> bool:
    if called and isinstance(score, str):  # some writers have "NaN" where JSON has no number
        try:
            score = float(score)
        except ValueError:
            return False
    return isinstance(score, float) and not math.isfinite(score)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(value: Any, column: str) -> list[tuple[str | None, str | None]]:
    """Return (text, id) of each text of a part: a string, an object with a text, or a list of those."""
    return [text_and_id(each, column) for each in _listed(value)]


def text_and_id(value: Any, column: str) -> tuple[str | None, str | None]:
    if not isinstance(value, dict):
        return _string(value, column), None
    text = next((value[name] for name in OBJECT_TEXTS if name in value), None)
    identifier = next((value[name] for name in OBJECT_IDS if name in value), None)
    whole = passage_string(_string(value.get("title"), column), _string(text, column))
    return whole, _id(identifier, column)


def _string(value: Any, column: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise RowError(f"{WRONG_TYPE} {column}")
    if value and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise RowError(LONE_SURROGATE) from None
    return value


def _id(value: Any, column: str) -> str | None:
    if isinstance(value, float) and value.is_integer():  # as pandas makes ids beside a missing one
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return _string(value, column)

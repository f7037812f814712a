"""From the values of one row to what it says: passages, queries, judgements. Or to the reason why it says nothing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from hardneg.transforms.core.text import passage_string, text_id
from hardneg.transforms.inputs.input_files import (
    BAD_GRADE,
    EMPTY_TEXT,
    FRACTION,
    INVALID_UTF8,
    LONE_SURROGATE,
    MISSING_ID,
    NUL_CHARACTER,
    WRONG_LENGTH,
    WRONG_TYPE,
    InputFile,
)
from hardneg.transforms.inputs.synonyms import OBJECT_GRADES, OBJECT_IDS, OBJECT_TEXTS, TITLES

_WHOLE_FLOAT = re.compile(r"(-?[0-9]+)\.0+")
_TRUTHS = {"true": 1.0, "false": 0.0}
_EXACT = 2**53  # up to here every whole number is a float

# (kind of table, its row without file and line): what one row of a file says.
Parsed = list[tuple[str, tuple[Any, ...]]]


class RejectedRowError(Exception):
    """The row at hand can't be used; the text is the reason."""


def parse_passage(file: InputFile, identifier: Any, text: Any, title: Any, *further: Any) -> Parsed:
    """Return a passage; values that pass through are strings as they are, and anything else as its JSON."""
    columns = file.columns
    passage_id = None if columns.id is None else _own_id(file, identifier, columns.id)
    passage = passage_string(parse_text(title, columns.title), parse_text(text, columns.text))
    if not passage:
        raise RejectedRowError(EMPTY_TEXT)
    through = [_passed(value, name) for value, name in zip(further, file.pass_through, strict=True)]
    return [("passages", (passage_id or text_id(passage), passage, *through))]


def parse_query(file: InputFile, identifier: Any, text: Any) -> Parsed:
    """Return a query."""
    query_id = None if file.columns.id is None else _own_id(file, identifier, file.columns.id)
    query = parse_text(text, file.columns.text)
    if not query:
        raise RejectedRowError(EMPTY_TEXT)
    return [("queries", (query_id or text_id(query), query))]


def parse_qrel(file: InputFile, query_id: Any, passage_id: Any, grade: Any, *late: Any) -> Parsed:
    """Return a judgement."""
    ids = _own_id(file, query_id, file.columns.id), _own_id(file, passage_id, file.columns.passage_id)
    name, grade = _grade_of(file, grade, late)
    return [("qrels", (*ids, 1.0 if name is None else parse_grade(grade)))]


def _grade_of(file: InputFile, grade: Any, late: Sequence[Any]) -> tuple[str | None, Any]:
    """Return the column that a row's grade stands in, None for none, and the grade."""
    if file.columns.grade is not None:
        return file.columns.grade, grade
    named = zip(file.columns.late_grades, late, strict=True)
    return next(((name, value) for name, value in named if value is not None), (None, None))


def parse_pair(
    file: InputFile, identifier: Any, anchor: Any, title: Any, positive: Any, label: Any, *further: Any
) -> Parsed:
    """Return a query; of each of its positives a passage and a judgement; and its negatives as passages.

    A row without a positive (null, an empty list or one of nulls, a blank cell) is a query without one. The grade of a
    judgement stands in the positive, if that is an object; else it is that of the row (``pair_grade``), or of its place
    in a list as long as that of the positives; 1 without any. A negative counts as judged, with grade 0, if the file
    says so.
    """
    columns = file.columns
    [(kind, (query_id, query))] = parse_query(file, identifier, anchor)
    title = parse_text(title, columns.title)
    late, negatives = further[: len(columns.late_grades)], further[len(columns.late_grades) :]
    name, label = _grade_of(file, label, late)
    values = _values(positive, columns.positive)
    grades = [1.0] * len(values) if name is None else _grades(label, name, len(values))
    found: list[tuple[str, str, float | None]] = [
        (*passage_of(value, columns.positive, title), _own_grade(value, grade))
        for value, grade in zip(values, grades, strict=True)
        if not _is_null(value)
    ]
    if not all(text for _, text, _ in found):
        raise RejectedRowError(EMPTY_TEXT)
    judged = 0.0 if file.judged_negatives else None
    for name, value in zip(columns.negatives, negatives, strict=True):
        passages = [passage_of(each, name) for each in _values(value, name) if not _is_null(each)]
        found += [(*passage, judged) for passage in passages if passage[1]]
    parsed: Parsed = [(kind, (query_id, query))]
    nulls = (None,) * len(file.pass_through)  # further columns are the corpus's
    for passage_id, text, graded in dict.fromkeys(found):
        parsed.append(("passages", (passage_id, text, *nulls)))
        if graded is not None:
            parsed.append(("qrels", (query_id, passage_id, graded)))
    return parsed


PARSERS: dict[str, Callable[..., Parsed]] = {
    "passages": parse_passage,
    "queries": parse_query,
    "qrels": parse_qrel,
    "pairs": parse_pair,
}


def _values(value: Any, column: str | None) -> list[Any]:
    """Return the passages that a cell holds: a string, an object with a text, a list of those, or an object of lists.

    Nothing, where there are only blanks and nulls: datasets pad lists with those.
    """
    if isinstance(value, dict) and any(isinstance(value.get(name), list) for name in OBJECT_TEXTS):
        value = _turned(value, column)
    values = value if isinstance(value, list) else [value]
    if all(_is_null(each) or each == {} or (isinstance(each, str) and not each.strip()) for each in values):
        return []
    return values


def _turned(value: dict[str, Any], column: str | None) -> list[dict[str, Any]]:
    """Return the objects of an object of lists, which is how Arrow has datasets' sequences of objects."""
    lists = {name: each for name, each in value.items() if isinstance(each, list)}
    if len({len(each) for each in lists.values()}) > 1:
        raise RejectedRowError(f"{WRONG_TYPE} {column}")
    return [dict(zip(lists, each, strict=True)) for each in zip(*lists.values(), strict=True)]


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))  # JSON of Python's and of pandas


def _own_grade(value: Any, grade: float) -> float:
    """Return the grade that stands in the object that a positive is; another one, if none does."""
    own = [name for name in OBJECT_GRADES if value.get(name) is not None] if isinstance(value, dict) else []
    return pair_grade(value[own[0]], own[0]) if own else grade


def _grades(label: Any, column: str, passages: int) -> list[float]:
    """Return the grade of each of a row's passages: one for all, or a list of as many."""
    if not isinstance(label, list):
        return [pair_grade(label, column)] * passages
    if len(label) != passages:
        raise RejectedRowError(f"{WRONG_LENGTH} {column}")
    return [pair_grade(each, column) for each in label]


def passage_of(value: Any, column: str | None, title: str = "") -> tuple[str, str]:
    """Return the id and the passage string of a string, or of an object that has a text, and perhaps id and title.

    Args:
        value: what stands in the column.
        column: its name, for errors.
        title: of a passage that is a string.

    Raises:
        RejectedRowError: it is neither.
    """
    if not isinstance(value, dict):
        passage = passage_string(title, parse_text(value, column))
        return text_id(passage), passage
    named = next((name for name in OBJECT_TEXTS if value.get(name) is not None), None)
    if named is None and not any(name in value for name in OBJECT_TEXTS):
        raise RejectedRowError(f"{WRONG_TYPE} {column}")
    own_title = next((value[name] for name in TITLES if name in value), None)
    passage = passage_string(parse_text(own_title, column), parse_text(value[named] if named else None, column))
    identifier = next((value[name] for name in OBJECT_IDS if value.get(name) is not None), None)
    return text_id(passage) if identifier is None else parse_id(identifier, column), passage


def parse_string(value: Any, column: str | None) -> str:
    """Return a string as it is, and nothing for null.

    Raises:
        RejectedRowError: it is something else, or holds what no text can.
    """
    if _is_null(value):
        return ""
    if isinstance(value, bytes):  # a Parquet column without the mark that says that it holds strings
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise RejectedRowError(INVALID_UTF8) from None
    if not isinstance(value, str):
        raise RejectedRowError(f"{WRONG_TYPE} {column}")
    if "\0" in value:
        raise RejectedRowError(NUL_CHARACTER)
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise RejectedRowError(LONE_SURROGATE) from None
    return value


def _own_id(file: InputFile, value: Any, column: str | None) -> str:
    if column in file.float_ids and isinstance(value, str):
        value = whole_number(value) or value
    return parse_id(value, column)


def whole_number(cell: str) -> str | None:
    """Return the whole number that was written as a float, as pandas writes ints beside a missing one; else None."""
    found = _WHOLE_FLOAT.fullmatch(cell)
    return found[1] if found else None


def parse_id(value: Any, column: str | None) -> str:
    """Return an id as a string; a whole number may be a float, as pandas makes them beside a missing one."""
    if _is_null(value):
        raise RejectedRowError(MISSING_ID)
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    identifier = parse_string(value, column)
    if not identifier.strip():
        raise RejectedRowError(MISSING_ID)
    return identifier


def parse_text(value: Any, column: str | None) -> str:
    """Return a text as it is, or nothing if there is nothing but white space."""
    text = parse_string(value, column)
    return text if text.strip() else ""


def _passed(value: Any, column: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | bytes):
        try:
            value = json.dumps(value, ensure_ascii=False, default=str)
        except (ValueError, TypeError, RecursionError):
            raise RejectedRowError(f"{WRONG_TYPE} {column}") from None
    return parse_string(value, column)


def parse_grade(value: Any) -> float:
    """Return a grade: a finite number, one in digits, or whether it is so, as Python and JSON write it.

    Raises:
        RejectedRowError: it is none.
    """
    if isinstance(value, str) and "_" in value:  # Python reads 1_0 as ten
        raise RejectedRowError(BAD_GRADE)
    if isinstance(value, str) and value.strip().lower() in _TRUTHS:
        return _TRUTHS[value.strip().lower()]
    try:
        grade = float(value)
    except (TypeError, ValueError):
        raise RejectedRowError(BAD_GRADE) from None
    if not math.isfinite(grade):
        raise RejectedRowError(BAD_GRADE)
    return grade


def pair_grade(value: Any, column: str) -> float:
    """Return the grade of a pair that a column beside it gives, as in qrels: 0 is judged not relevant.

    Raises:
        RejectedRowError: it is no whole number. A teacher's score or a similarity is no grade, and taken for one it
            would make negatives of positives.
    """
    grade = parse_grade(value)
    if not grade.is_integer():
        raise RejectedRowError(f"{FRACTION} {column}")
    return grade

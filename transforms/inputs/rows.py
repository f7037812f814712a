"""From the rows of an input file to Arrow tables of passages, queries, qrels and rejected rows.

Plain functions for one file at a time; what needs several files (ids that occur twice, qrels that name an
unknown id) is found later, by joins.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from hardneg.transforms.core.schemas import PASSAGES, QRELS, QUERIES, READ_COUNTS, REJECTED
from hardneg.transforms.core.text import passage_string, text_id
from hardneg.transforms.inputs.files import rows
from hardneg.transforms.inputs.input_files import (
    BAD_GRADE,
    EMPTY_TEXT,
    INVALID_UTF8,
    LONE_SURROGATE,
    MISSING_ID,
    NUL_CHARACTER,
    WRONG_TYPE,
    InputFile,
)

CHUNK_CHARACTERS = 16 << 20  # a table is handed on when its strings are this long together


class ReadChunk(NamedTuple):
    """Some rows of a file.

    Attributes:
        kind: ``passages``, ``queries``, ``qrels``, ``rejected`` or ``counts``.
        table: of the schema ``PASSAGES`` (then the columns that pass through, as strings), ``QUERIES``,
            ``QRELS``, ``REJECTED`` or ``READ_COUNTS``.
    """

    kind: str
    table: pa.Table


class _RejectedError(Exception):
    """The row at hand can't be used; the text is the reason."""


def passage_schema(pass_through: tuple[str, ...]) -> pa.Schema:
    """Return the schema of a run's passage tables."""
    schema = PASSAGES
    for name in pass_through:
        schema = schema.append(pa.field(name, pa.string()))
    return schema


def read_rows(file: InputFile, chunk_rows: int = 4096) -> Iterator[ReadChunk]:
    """Read one file, as chunks of bounded size; the last chunk is the one of kind ``counts``.

    A row that can't be used becomes a row of a ``rejected`` chunk, whole: a pairs row with one bad positive
    gives nothing else. A pairs row gives a query, and for each of its positives a passage and a qrel of
    grade 1; equal rows of queries and passages are given as often as they occur. Values that pass through
    are strings as they are, and anything else as its JSON.

    Args:
        file: as ``plan_inputs`` made it.
        chunk_rows: at most so many rows a table, fewer where texts are long.

    Raises:
        HardnegError: the file can't be read to its end, or is not what its name says.
    """
    parse = _PARSERS[file.kind]
    gathered = _Gathered(file, chunk_rows)
    count = 0
    for line, values in rows(file):
        count += 1
        try:
            if isinstance(values, str):
                raise _RejectedError(values)
            parsed = parse(file, *values)
        except _RejectedError as rejection:
            parsed = [("rejected", (str(rejection),))]
        for kind, row in parsed:
            if full := gathered.add(kind, line, row):
                yield full
    yield from gathered.rest()
    yield ReadChunk("counts", pa.table([[file.index], [count]], schema=READ_COUNTS))


# One function per kind of file: from the values of `InputFile.wanted` to (kind, row) pairs.
_Parsed = list[tuple[str, tuple[Any, ...]]]


def _passage(file: InputFile, identifier: Any, text: Any, title: Any, *further: Any) -> _Parsed:
    columns = file.columns
    passage_id = None if columns.id is None else _id(identifier, columns.id)
    passage = passage_string(_text(title, columns.title), _text(text, columns.text))
    if not passage:
        raise _RejectedError(EMPTY_TEXT)
    through = [_passed(value, name) for value, name in zip(further, file.pass_through, strict=True)]
    return [("passages", (passage_id or text_id(passage), passage, *through))]


def _query(file: InputFile, identifier: Any, text: Any) -> _Parsed:
    query_id = None if file.columns.id is None else _id(identifier, file.columns.id)
    query = _text(text, file.columns.text)
    if not query:
        raise _RejectedError(EMPTY_TEXT)
    return [("queries", (query_id or text_id(query), query))]


def _qrel(file: InputFile, query_id: Any, passage_id: Any, grade: Any) -> _Parsed:
    ids = _id(query_id, file.columns.id), _id(passage_id, file.columns.passage_id)
    return [("qrels", (*ids, 1.0 if file.columns.grade is None else _grade(grade)))]


def _pair(file: InputFile, identifier: Any, anchor: Any, title: Any, positive: Any) -> _Parsed:
    [(kind, (query_id, query))] = _query(file, identifier, anchor)
    title = _text(title, file.columns.title)
    texts = positive if isinstance(positive, list) else [positive]
    passages = [passage_string(title, _text(text, file.columns.positive)) for text in texts]
    if not passages or not all(passages):
        raise _RejectedError(EMPTY_TEXT)
    parsed: _Parsed = [(kind, (query_id, query))]
    nulls = (None,) * len(file.pass_through)  # further columns are the corpus's
    for passage in dict.fromkeys(passages):
        passage_id = text_id(passage)
        parsed += [("passages", (passage_id, passage, *nulls)), ("qrels", (query_id, passage_id, 1.0))]
    return parsed


_PARSERS: dict[str, Callable[..., _Parsed]] = {
    "passages": _passage,
    "queries": _query,
    "qrels": _qrel,
    "pairs": _pair,
}


def _string(value: Any, column: str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):  # a Parquet column without the mark that says that it holds strings
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise _RejectedError(INVALID_UTF8) from None
    if not isinstance(value, str):
        raise _RejectedError(f"{WRONG_TYPE} {column}")
    if "\0" in value:
        raise _RejectedError(NUL_CHARACTER)
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise _RejectedError(LONE_SURROGATE) from None
    return value


def _id(value: Any, column: str | None) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    identifier = _string(value, column)
    if not identifier.strip():
        raise _RejectedError(MISSING_ID)
    return identifier


def _text(value: Any, column: str | None) -> str:
    """Return a text as it is, or nothing if there is nothing but white space."""
    text = _string(value, column)
    return text if text.strip() else ""


def _passed(value: Any, column: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | bytes):
        try:
            value = json.dumps(value, ensure_ascii=False, default=str)
        except (ValueError, TypeError, RecursionError):
            raise _RejectedError(f"{WRONG_TYPE} {column}") from None
    return _string(value, column)


def _grade(cell: str) -> float:
    try:
        grade = float(cell)
    except ValueError:
        raise _RejectedError(BAD_GRADE) from None
    if not math.isfinite(grade) or "_" in cell:  # Python reads 1_0 as ten
        raise _RejectedError(BAD_GRADE)
    return grade


class _Gathered:
    """Rows on their way into tables."""

    def __init__(self, file: InputFile, chunk_rows: int) -> None:
        self._index = file.index
        self._chunk_rows = chunk_rows
        self._schemas = {
            "passages": passage_schema(file.pass_through),
            "queries": QUERIES,
            "qrels": QRELS,
            "rejected": REJECTED,
        }
        self._rows: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in self._schemas}
        self._characters = dict.fromkeys(self._schemas, 0)

    def add(self, kind: str, line: int, row: tuple[Any, ...]) -> ReadChunk | None:
        """Add a row; return the chunk that it filled, if it did."""
        self._rows[kind].append((line, row))
        self._characters[kind] += sum([len(value) for value in row if isinstance(value, str)])
        if len(self._rows[kind]) < self._chunk_rows and self._characters[kind] < CHUNK_CHARACTERS:
            return None
        return self._take(kind)

    def rest(self) -> Iterator[ReadChunk]:
        """Yield what is left."""
        yield from [self._take(kind) for kind, kept in self._rows.items() if kept]

    def _take(self, kind: str) -> ReadChunk:
        schema, kept = self._schemas[kind], self._rows[kind]
        self._rows[kind], self._characters[kind] = [], 0
        columns = dict(
            zip(
                [n for n in schema.names if n not in ("file", "line")],
                zip(*[row for _, row in kept], strict=True),
                strict=True,
            )
        )
        columns["file"] = [self._index] * len(kept)
        columns["line"] = [line for line, _ in kept]
        return ReadChunk(kind, pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema))

"""From the rows of an input file to Arrow tables of passages, queries, qrels and rejected rows.

Plain functions for one file at a time; what needs several files (ids that occur twice, qrels that name an
unknown id) is found later, by joins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from hardneg.transforms.core.schemas import PASSAGES, QRELS, QUERIES, READ_COUNTS, REJECTED
from hardneg.transforms.inputs.formats.registry import ROW_FORMATS
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.parsing import PARSERS, RejectedRowError

CHUNK_CHARACTERS = 16 << 20


class ReadChunk(NamedTuple):
    """Some rows of a file.

    Attributes:
        kind: ``passages``, ``queries``, ``qrels``, ``rejected`` or ``counts``.
        table: of the schema ``PASSAGES`` (then the columns that pass through, as strings), ``QUERIES``,
            ``QRELS``, ``REJECTED`` or ``READ_COUNTS``.
    """

    kind: str
    table: pa.Table


def passage_schema(pass_through: tuple[str, ...]) -> pa.Schema:
    """Return the schema of a run's passage tables."""
    schema = PASSAGES
    for name in pass_through:
        schema = schema.append(pa.field(name, pa.string()))
    return schema


def read_rows(file: InputFile, chunk_rows: int = 4096, chunk_characters: int = CHUNK_CHARACTERS) -> Iterator[ReadChunk]:
    """Read one file, as chunks of bounded size; the last chunk is the one of kind ``counts``.

    A row that can't be used becomes a row of a ``rejected`` chunk, whole: a pairs row with one bad positive
    gives nothing else. What a row gives is said in ``parsing``; equal rows of queries and passages are given as
    often as they occur.

    Args:
        file: as ``plan_inputs`` made it.
        chunk_rows: at most so many rows a table, fewer where texts are long.
        chunk_characters: a table is handed on when its strings are this long together.

    Raises:
        InputError: the file can't be read to its end, or is not what its name says.
    """
    parse = PARSERS[file.kind]
    gathered = _Gathered(file, chunk_rows, chunk_characters)
    count = 0
    for line, values in ROW_FORMATS[file.format].rows(file.copy or file.path, file.head, file.wanted):
        count += 1
        try:
            if isinstance(values, str):
                raise RejectedRowError(values)
            parsed = parse(file, *values)
        except RejectedRowError as rejection:
            parsed = [("rejected", (str(rejection),))]
        for kind, row in parsed:
            if full := gathered.add(kind, line, row):
                yield full
    yield from gathered.rest()
    yield ReadChunk("counts", pa.table([[file.index], [count]], schema=READ_COUNTS))


class _Gathered:
    """Rows on their way into tables."""

    def __init__(self, file: InputFile, chunk_rows: int, chunk_characters: int) -> None:
        self._index = file.index
        self._chunk_characters = chunk_characters
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
        if len(self._rows[kind]) < self._chunk_rows and self._characters[kind] < self._chunk_characters:
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

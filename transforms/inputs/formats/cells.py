"""Rows of cells: tab-separated values and CSV, with and without a first line of names."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import ClassVar

from hardneg.errors import InputError
from hardneg.transforms.inputs.files import MAX_LINE_BYTES, lines, refuse_binary
from hardneg.transforms.inputs.formats.quoting import csv_delimiter, sampled_lines, tsv_is_quoted
from hardneg.transforms.inputs.formats.row_format import Head, RowFormat, Values
from hardneg.transforms.inputs.input_files import BROKEN_QUOTES, INVALID_UTF8, LINE_TOO_LONG, WRONG_COLUMNS

MOST_LINES = 1000  # of one row: a quote that never ends must not swallow the file
_TABS_AND_BLANKS = re.compile(r"[ \t]+")
_TREC = ("query", "iteration", "passage", "grade")

csv.field_size_limit(MAX_LINE_BYTES)


class Tsv(RowFormat):
    """Cells between tabs, as they stand; or, where the file's first MiB shows it, quoted as csv writers quote."""

    name = "tsv"
    title = "tab-separated text"
    suffixes: ClassVar[tuple[str, ...]] = (".tsv", ".tab")
    cells = True

    def head(self, path: str) -> Head:
        refuse_binary(path, self.title)
        delimiter = self._delimiter(path)
        number, first = next(self._rows(path, delimiter), (0, None))
        if isinstance(first, str):
            raise InputError(
                f"{path} is not {self.title} in UTF-8 (line {number}): rename it to what it is, or convert it.",
                path=path,
                line=number,
            )
        return Head(self.name, tuple(first or ()), empty=first is None, delimiter=delimiter)

    def _delimiter(self, path: str) -> str:
        return "\t" if tsv_is_quoted(path, sampled_lines(path)) else ""

    def rows(self, path: str, head: Head, wanted: Sequence[str | None]) -> Iterator[tuple[int, Values]]:
        positions = [head.columns.index(name) if name in head.columns else None for name in wanted]
        width, header = len(head.columns), head.header
        for number, cells in self._rows(path, head.delimiter):
            if header:
                header = False
            elif isinstance(cells, str):
                yield number, cells
            elif len(cells) != width:
                yield number, WRONG_COLUMNS
            else:
                yield number, tuple([None if position is None else cells[position] for position in positions])

    def _rows(self, path: str, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
        """Yield (line, cells or the reason why there are none) of each row, the header included."""
        if delimiter:
            yield from quoted_rows(path, delimiter)
            return
        for number, line in lines(path):
            if line is None:
                yield number, LINE_TOO_LONG
            elif line.strip(b" "):  # a lone tab is a row of two empty cells
                yield number, _decoded(line).split("\t") if _is_text(line) else INVALID_UTF8


class Csv(Tsv):
    """Cells between commas (or semicolons, or tabs), quoted where they must be; a quoted cell may hold line breaks."""

    name = "csv"
    title = "comma-separated text"
    suffixes: ClassVar[tuple[str, ...]] = (".csv",)

    def _delimiter(self, path: str) -> str:
        return csv_delimiter(sampled_lines(path))


class TrecQrels(RowFormat):
    """Query, iteration, passage and grade between blanks: told by its content, never by a suffix."""

    name = "trec-qrels"
    title = "TREC qrels"
    suffixes: ClassVar[tuple[str, ...]] = ()
    cells = True

    def head(self, path: str) -> Head:
        return Head(self.name, _TREC)

    def rows(self, path: str, head: Head, wanted: Sequence[str | None]) -> Iterator[tuple[int, Values]]:
        positions = [head.columns.index(name) if name in head.columns else None for name in wanted]
        header = head.header
        for number, line in lines(path):
            if line is None:
                yield number, LINE_TOO_LONG
            elif not line.strip(b" \t"):
                continue
            elif header:
                header = False
            elif not _is_text(line):
                yield number, INVALID_UTF8
            else:
                cells = trec_cells(_decoded(line))
                good = len(cells) == len(head.columns)
                yield number, tuple([None if p is None else cells[p] for p in positions]) if good else WRONG_COLUMNS


def trec_cells(line: str) -> list[str]:
    """Return what stands between a line's blanks; ASCII's only, for an id may hold others.

    Between its tabs alone, where it has three of them: an id may hold blanks, too.
    """
    cells = line.split("\t")
    if len(cells) == len(_TREC):
        return [cell.strip(" ") for cell in cells]
    return _TABS_AND_BLANKS.split(line.strip(" \t"))


def _is_text(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decoded(line: bytes) -> str:
    return line.decode("utf-8")


def quoted_rows(path: str, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield (first line, cells or the reason why there are none) of a file whose cells may be quoted.

    A row that is broken costs its first line alone; reading goes on with the next.
    """
    source = lines(path)
    again: deque[tuple[int, bytes | None]] = deque()
    while True:
        taken: list[tuple[int, bytes | None]] = []
        while True:
            item = again.popleft() if again else next(source, None)
            if item is None:
                return
            if item[1] is None or item[1].strip(b" "):
                taken.append(item)
                break
        cells = _next_row(taken, again, source, delimiter)
        if isinstance(cells, str):
            again.extendleft(reversed(taken[1:]))
        yield taken[0][0], cells


def _next_row(
    taken: list[tuple[int, bytes | None]],
    again: deque[tuple[int, bytes | None]],
    source: Iterator[tuple[int, bytes | None]],
    delimiter: str,
) -> list[str] | str:
    """Return the row that begins with the line in ``taken``, and add the further lines that it takes to it."""
    reason = ""

    def fed() -> Iterator[str]:
        nonlocal reason
        place = 0
        while place < MOST_LINES:
            if place == len(taken):
                item = again.popleft() if again else next(source, None)
                if item is None:
                    return
                taken.append(item)
            line = taken[place][1]
            place += 1
            if line is None or not _is_text(line):
                reason = LINE_TOO_LONG if line is None else INVALID_UTF8
                return
            yield _decoded(line) + "\n"

    try:
        return next(csv.reader(fed(), delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration):
        return reason or BROKEN_QUOTES

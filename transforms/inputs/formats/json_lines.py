"""JSON lines: one object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hardneg.errors import InputError
from hardneg.transforms.inputs.files import lines, refuse_binary
from hardneg.transforms.inputs.formats.row_format import Head, RowFormat, Values
from hardneg.transforms.inputs.input_files import INVALID_JSON, INVALID_UTF8, LINE_TOO_LONG, NOT_AN_OBJECT

SAMPLE_ROWS = 1000  # rows whose keys are taken for the columns
_SAMPLE_BYTES = 1 << 20  # after which fewer rows will do


def json_object(line: bytes) -> dict[str, Any] | str:
    """Return the object on a line, or the reason why there is none."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return INVALID_UTF8
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # a number of 5,000 digits is a ValueError, too
        return INVALID_JSON
    return value if isinstance(value, dict) else NOT_AN_OBJECT


def printable_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names that a message and a table can hold: JSON can spell half a character."""
    return tuple(name for name in names if name.isascii() or not re.search("[\ud800-\udfff]", name))


class JsonLines(RowFormat):
    name = "jsonl"
    title = "JSON lines"
    suffixes = (".jsonl", ".ndjson", ".json")

    def head(self, path: str) -> Head:
        refuse_binary(path, self.title)
        keys: dict[str, None] = {}
        objects = seen = size = 0
        for _, line in lines(path):
            if line is not None and not line.strip():
                continue
            seen, size = seen + 1, size + len(line or b"")
            value = json_object(line) if line is not None else ""
            if isinstance(value, dict):
                objects += 1
                keys.update(dict.fromkeys(value))
            if seen >= SAMPLE_ROWS or (objects and size >= _SAMPLE_BYTES):
                break
        if seen and not objects:
            raise InputError(
                f"{path} is not JSON lines, none of its first {seen} lines is a JSON object: write one object a line "
                f"(`jq -c . {path}` does, where it is JSON), or give the file the suffix of what it is.",
                path=path,
            )
        return Head(self.name, printable_names(list(keys)), empty=not seen, partial=True)

    def rows(self, path: str, head: Head, wanted: Sequence[str | None]) -> Iterator[tuple[int, Values]]:
        for number, value in self.objects(path, head):
            yield number, value if isinstance(value, str) else tuple([value.get(n) if n else None for n in wanted])

    def objects(self, path: str, head: Head) -> Iterator[tuple[int, dict[str, Any] | str]]:
        for number, line in lines(path):
            if line is None:
                yield number, LINE_TOO_LONG
            elif line.strip():
                yield number, json_object(line)

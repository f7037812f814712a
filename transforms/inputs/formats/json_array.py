"""A JSON array of objects, as `json.dump` writes a list: one value from the file's first byte to its last.

Its items are decoded by the decoder of JSON lines, one at a time, so that both forms of a file mean the same. (ijson,
which streams too, makes `?` of half a character and stops at an integer of 20 digits.)
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from hardneg.errors import InputError
from hardneg.transforms.inputs.files import MAX_LINE_BYTES, blocks
from hardneg.transforms.inputs.formats.json_lines import SAMPLE_ROWS, printable_names
from hardneg.transforms.inputs.formats.row_format import Head, RowFormat, Values
from hardneg.transforms.inputs.input_files import NOT_AN_OBJECT

_ARRAY_OF_OBJECTS = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*[{\]]")
_BLANKS = re.compile(r"[ \t\r\n]*")


class JsonArray(RowFormat):
    """One array, whose items are the rows."""

    name = "json-array"
    title = "a JSON array"
    suffixes = (".json", ".jsonl", ".ndjson")
    unit = "row"

    def recognises(self, path: str) -> bool:
        return _ARRAY_OF_OBJECTS.match(next(blocks(path), b"")) is not None

    def head(self, path: str) -> Head:
        keys: dict[str, None] = {}
        seen = objects = 0
        for value in islice(_items(path), SAMPLE_ROWS):
            seen += 1
            if isinstance(value, dict):
                objects += 1
                keys.update(dict.fromkeys(value))
        if seen and not objects:
            raise InputError(f"{path} is a JSON array, but not of objects: write one object a row.", path=path)
        return Head(self.name, printable_names(list(keys)), empty=not seen, partial=True)

    def rows(self, path: str, head: Head, wanted: Sequence[str | None]) -> Iterator[tuple[int, Values]]:
        for number, value in self.objects(path, head):
            yield number, value if isinstance(value, str) else tuple([value.get(n) if n else None for n in wanted])

    def objects(self, path: str, head: Head) -> Iterator[tuple[int, dict[str, Any] | str]]:
        for number, value in enumerate(_items(path), start=1):
            yield number, value if isinstance(value, dict) else NOT_AN_OBJECT


class _Text:
    """The text of a file as far as it is needed: ``held`` from its first character that is not yet decoded."""

    def __init__(self, path: str) -> None:
        self._blocks = blocks(path)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.held = ""
        self.ended = False

    def more(self) -> None:
        """Hold at least twice as much, so that what is decoded again and again stays a share of the file."""
        wanted = 2 * len(self.held)
        parts = [self.held]
        size = len(self.held)
        while not self.ended and size <= wanted:
            block = next(self._blocks, b"")
            self.ended = not block
            parts.append(self._decoder.decode(block, final=self.ended))
            size += len(parts[-1])
        self.held = "".join(parts)

    def at(self, place: int) -> tuple[str, int]:
        """Return the character after the blanks from a place on, and where it stands; nothing at the end."""
        while True:
            found = _BLANKS.match(self.held, place)
            place = found.end() if found else place
            if place < len(self.held) or self.ended:
                return self.held[place : place + 1], place
            self.more()


def _items(path: str) -> Iterator[Any]:
    """Yield the array's items; a few MiB of text are held.

    Raises:
        InputError: the file can't be read, or is no JSON array to its end.
    """
    text, number = _Text(path), 0
    try:
        first, place = text.at(0)
        if first != "[":
            raise ValueError("it does not begin with [")
        separator, place = text.at(place + 1)
        while separator != "]":
            number += 1
            if number > 1:
                if separator != ",":
                    raise ValueError("a comma or ] is missing")
                _, place = text.at(place + 1)
            value, place = _decoded(text, place)
            yield value
            text.held, place = (text.held[place:], 0) if place > len(text.held) // 2 else (text.held, place)
            separator, place = text.at(place)
        if text.at(place + 1)[0]:
            raise ValueError("something follows its end")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: its JSON array can't be read from row {max(number, 1)} on ({error}): mend it there.",
            path=path,
            row=max(number, 1),
        ) from None


def _decoded(text: _Text, place: int) -> tuple[Any, int]:
    """Return the value that begins at a place, and where it ends.

    Raises:
        ValueError: there is none.
    """
    while True:
        try:
            value, end = json.JSONDecoder().raw_decode(text.held, place)
            if end < len(text.held) or text.ended:  # a number may go on
                return value, end
        except json.JSONDecodeError as error:
            if text.ended:
                raise ValueError(error.msg) from None
            if len(text.held) - place > MAX_LINE_BYTES:
                raise ValueError("a value is too long") from None
        text.more()

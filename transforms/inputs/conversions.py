"""How a file that is one JSON object becomes rows: the one line that converts it, for the sentence that refuses it."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from hardneg.errors import InputError
from hardneg.transforms.inputs.formats.json_lines import JsonLines
from hardneg.transforms.inputs.formats.registry import bare_suffix
from hardneg.transforms.inputs.formats.row_format import Head

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # what can stand in a line for the shell as it is
_BY_ID = {
    "passages": 'to_entries[] | {id: .key} + (.value | if type == "object" then . else {text: .} end)',
    "queries": "to_entries[] | {id: .key, text: .value}",
    "qrels": 'to_entries[] | .key as $q | .value | to_entries[] | {"query-id": $q, "corpus-id": .key, score: .value}',
}


def with_conversion(error: InputError, kind: str, path: str, head: Head) -> InputError:
    """Return an error about a file's columns; where the file is one object, with what makes rows of it.

    Args:
        error: none of the columns that it has is the one that is needed.
        kind: ``passages``, ``queries``, ``qrels`` or ``pairs``.
        path: the file.
        head: its head.
    """
    if head.format != JsonLines.name or bare_suffix(path)[0] != ".json":
        return error
    rows = list(islice(JsonLines().objects(path, head), 2))
    if len(rows) != 1 or isinstance(rows[0][1], str):
        return error
    line = _program(kind, rows[0][1])
    if line is None:
        return error
    said = str(error.args[0]).rstrip(".")  # with its parameters as they are
    return InputError(f"{said}; or, if that one object holds the rows: jq -c '{line}' {path}", error.fields)


def _program(kind: str, value: dict[str, Any]) -> str | None:
    """Return jq's program that makes rows of an object: of the list in it, or of what it holds by id."""
    lists = [name for name, each in value.items() if isinstance(each, list) and each and isinstance(each[0], dict)]
    if lists:
        return f".{lists[0]}[]" if _NAME.fullmatch(lists[0]) else ".[][]"
    by_id = all(isinstance(each, (dict, str)) for each in value.values())
    return _BY_ID.get(kind) if by_id else None

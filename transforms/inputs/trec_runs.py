"""Candidates from other systems: TREC run files."""

from __future__ import annotations

import math
import re
from collections import defaultdict

from hardneg.errors import InputError
from hardneg.transforms.inputs.files import lines

_BLANKS = re.compile(r"[ \t]+")
_FIELDS = 6


def read_run(path: str) -> dict[str, list[str]]:
    """Return each query's passage ids, best first: score descending, then passage id.

    Fields stand between blanks; between tabs alone, where a line has five of those, so that ids may hold blanks. The
    rank column is not looked at, as trec_eval does not. Of a passage that stands twice, the first line counts.

    Args:
        path: lines of query id, Q0, passage id, rank, score, tag; also compressed, as the name says.

    Raises:
        InputError: the file can't be read to its end, has no line, or one that is not of that form.
    """
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for number, line in lines(path):
        if line is not None and not line.strip():
            continue
        found = _parsed(line or b"")
        if found is None:
            shown = (line or b"a line of more than 64 MiB")[:80].decode("utf-8", "replace")
            raise InputError(
                f"{path}:{number}: a TREC run's line has six fields (query id, Q0, passage id, rank, score, tag; "
                f"between tabs, if an id holds blanks), and this one is {shown!r}.",
                path=path,
                line=number,
            )
        query, passage, score = found
        scores[query].setdefault(passage, score)
    if not scores:
        raise InputError(
            f"{path} is an empty run, it has no line: give the file of the run, or leave it out.", path=path
        )
    return {
        query: sorted(passages, key=lambda passage: (-passages[passage], passage)) for query, passages in scores.items()
    }


def _parsed(line: bytes) -> tuple[str, str, float] | None:
    """Return a line's query, passage and score; None if it can't be told what they are."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return None
    fields = text.split("\t")
    if len(fields) != _FIELDS:
        fields = _BLANKS.split(text.strip(" \t"), maxsplit=_FIELDS - 1)
    if len(fields) != _FIELDS:
        return None
    query, _, passage, rank, score, tag = (field.strip(" ") for field in fields)
    # A tag may hold blanks. An id that does moves the fields, and a number stands where the tag's first word should.
    moved = " " in tag and _number(_BLANKS.split(tag)[0]) is not None
    value = _number(score)
    if not query or not passage or value is None or _number(rank) is None or moved:
        return None
    return query, passage, value


def _number(field: str) -> float | None:
    try:
        value = float(field)
    except ValueError:
        return None
    return None if math.isnan(value) else value

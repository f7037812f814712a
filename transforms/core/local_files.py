"""Which local files a pattern of Beam's stands for, without Beam: loading it takes longer than most commands run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple


class MatchedFile(NamedTuple):
    """What a pattern matched, with the names that Beam's ``FileMetadata`` has."""

    path: str
    size_in_bytes: int
    last_updated_in_seconds: float


def match_local(pattern: str) -> list[MatchedFile]:
    """Return what matches a local path or pattern, sorted by path; a folder only where it is named without a glob.

    ``*`` stands for characters of one name, ``**`` for any, ``?`` for one, ``[...]`` for one of a set.
    """
    if pattern.endswith(("/", "\\")):
        pattern += "*"
    fixed = re.match(r"[^\[*?]*", pattern)
    assert fixed
    if fixed.group() == pattern:
        paths = [pattern] if os.path.exists(pattern) else []
    else:
        fits = re.compile(_expression(pattern)).match
        paths = sorted(path for path in _below(os.path.dirname(fixed.group())) if fits(path))
    return [found for path in paths if (found := _found(path))]


def _below(folder: str) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        yield from (os.path.join(place, name) for name in names)


def _found(path: str) -> MatchedFile | None:
    try:
        status = os.stat(path)
    except OSError:
        return None  # files come and go where others work, too
    return MatchedFile(path, status.st_size, status.st_mtime)


def _expression(pattern: str) -> str:
    """Return a regular expression of what a pattern matches."""
    parts = []
    for part in re.findall(r"\*\*|\[!?+\]?+[^\]]*\]|.", pattern, re.DOTALL):
        if part in ("*", "**"):
            parts.append(r"[^/\\]*" if part == "*" else ".*")
        elif part == "?":
            parts.append(".")
        elif len(part) > 1:
            inside = re.sub(r"([\\\[])", r"\\\1", part[1:-1])
            inside = f"^{inside[1:]}" if inside[0] == "!" else inside.replace("^", r"\^")
            parts.append(f"[{inside}]")
        else:
            parts.append(re.escape(part))
    return rf"(?s:{''.join(parts)})\Z"

"""Whether the cells of a file are quoted as csv writers quote them: decided by its first MiB, not by its name.

pandas, Excel and DPR's Wikipedia write tab-separated files with quoted cells, MS MARCO writes such with stray quotes
that are text. A csv writer quotes every cell that holds a quote, and doubles it; so an unquoted cell that holds one
was not written by it, and a quoted cell with doubled ones hardly by anything else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from hardneg.errors import InputError
from hardneg.transforms.inputs.files import lines

_SAMPLE_BYTES = 1 << 20
RARE = 10  # one in so many may be a slip
_DELIMITERS = (",", ";", "\t", "|")
_CELL = re.compile(r'"(?P<inner>(?:[^"]++|"")*+)"(?=[\t\n]|\Z)|(?P<raw>[^\t\n]*)')
_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")


def sampled_lines(path: str) -> list[str]:
    """Return the lines of a file's first MiB, without those that are no text."""
    found: list[str] = []
    size = 0
    for _, line in lines(path):
        size += len(line or b"") + 1
        if found and size > _SAMPLE_BYTES:
            break
        if line is not None and line.strip(b" "):
            found.append(line.decode("utf-8", "replace"))
    return found


def csv_delimiter(sample: Sequence[str]) -> str:
    """Return what stands between the cells of a CSV file: what is most frequent outside quotes in its first line."""
    bare = re.sub(r'"[^"]*"?', "", sample[0] if sample else "")
    return max(_DELIMITERS, key=lambda delimiter: (bare.count(delimiter), -_DELIMITERS.index(delimiter)))


def tsv_is_quoted(path: str, sample: Sequence[str]) -> bool:
    """Return whether a csv writer wrote tab-separated lines.

    Args:
        path: for the error.
        sample: the file's first lines.

    Raises:
        InputError: cells speak for it and others against it.
    """
    if not any('"' in line for line in sample):
        return False
    rows = _rows_as_csv("\n".join(sample))
    inner = [text for row in rows for quoted, text in row if quoted]
    doubled = sum('""' in text for text in inner)
    spanning = sum("\t" in text or "\n" in text for text in inner)
    stray = sum('"' in text for row in rows for quoted, text in row if not quoted)
    # A quote that only seems to begin a cell of several lines leaves every line with the right number of cells.
    torn = spanning and _one_width(rows) and not _one_width([line.split("\t") for line in sample])
    for_it = doubled + (spanning if torn else 0)
    if not for_it:
        return not stray and len(rows) > 1 and all(quoted or _plain(text) for row in rows for quoted, text in row)
    if for_it and stray and not (RARE * stray <= for_it or RARE * for_it <= stray):
        raise InputError(
            f"{path}: {for_it:,} cells of its first {len(sample):,} lines are quoted as csv writers quote, and "
            f"{stray:,} hold quotes as csv writers never leave them, so it can't be told what its quotes mean: "
            "convert it to JSON lines or Parquet.",
            path=path,
        )
    return RARE * stray <= for_it


def _rows_as_csv(text: str) -> list[list[tuple[bool, str]]]:
    """Return (quoted, what is in it) of each cell, row by row, read as a csv writer would have written them."""
    rows: list[list[tuple[bool, str]]] = [[]]
    place = 0
    while True:
        cell = _CELL.match(text, place)
        assert cell is not None  # the second form matches nothing, too
        quoted = cell["inner"] is not None
        rows[-1].append((quoted, cell["inner"] if quoted else cell["raw"]))
        place = cell.end()
        if place >= len(text):
            return rows
        if text[place] == "\n":
            rows.append([])
        place += 1


def _one_width(rows: Iterable[Sequence[object]]) -> bool:
    return len(Counter(len(row) for row in rows)) == 1


def _plain(text: str) -> bool:
    """Return whether a writer that quotes all texts leaves a cell unquoted: numbers, and nothing."""
    return not text or _NUMBER.fullmatch(text) is not None

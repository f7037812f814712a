"""What is said of rows that can't be used, and how many of them a file may have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from hardneg.errors import InputError, parameter
from hardneg.transforms.inputs.formats.registry import place
from hardneg.transforms.inputs.input_files import EMPTY_TEXT, InputFile
from hardneg.transforms.inputs.rows import ReadChunk, read_rows

MAX_REJECTED = 0.001
_FAR = 1 << 62
MAX_EMPTY = 0.05  # of rows that hold nothing: exports have them, and nothing is lost with them


def too_many(reasons: Mapping[str, int], rows: int, max_rejected: float) -> bool:
    """Return whether more of a file's rows can't be used than may be.

    Args:
        reasons: how often each reason was given.
        rows: of the file, good and bad.
        max_rejected: the share that may be broken; of rows that hold nothing it may be ``MAX_EMPTY`` at least.
    """
    empty = reasons.get(EMPTY_TEXT, 0)
    broken = sum(reasons.values()) - empty
    return broken > max_rejected * rows or empty > max(max_rejected, MAX_EMPTY) * rows


def counted(reasons: Mapping[str, int]) -> str:
    """Return reasons with their numbers, the most frequent first."""
    return ", ".join(f"{number:,} {reason}" for reason, number in sorted(reasons.items(), key=lambda r: (-r[1], r[0])))


def how_to_go_on(rejected: int, rows: int) -> str:
    """Return the half sentence that says how a run goes on with what was rejected."""
    digits = 10**3
    share = math.ceil(rejected / max(rows, 1) * digits) / digits
    return f"mend the file, or go on without them and set {parameter('max_rejected')} to {min(share, 1):g}"


@dataclass
class Rejections:
    """Rows of one file that could not be used, counted while it is read.

    Attributes:
        file: the file.
        rows: how many it has, good and bad.
        reasons: how often each reason was given.
        first: the number of the first such row.
    """

    file: InputFile
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: int | None = None

    @property
    def total(self) -> int:
        return self.reasons.total()

    def add_chunk(self, chunk: ReadChunk) -> None:
        """Count a chunk of kind ``rejected`` or ``counts``; others say nothing of what was rejected."""
        if chunk.kind == "counts":
            self.rows += sum(chunk.table["rows"].to_pylist())
        elif chunk.kind == "rejected":
            self.reasons.update(chunk.table["reason"].to_pylist())
            self.first = min([self.first or _FAR, *chunk.table["line"].to_pylist()])

    def sentence(self) -> str:
        """Return what was rejected, of how much, and where it begins."""
        said = counted(self.reasons)
        return f"{self.total:,} of {self.rows:,} rows can't be used ({said}; the first is {self.place})"

    @property
    def place(self) -> str:
        """Where the first such row stands."""
        return place(self.file, self.first or 0)

    def check(self, given_as: str) -> None:
        """Refuse the file if too much of it can't be used.

        Raises:
            InputError: more than a tenth of a percent is broken.
        """
        if too_many(self.reasons, self.rows, MAX_REJECTED):
            raise InputError(
                f"{parameter(given_as)} {self.file.path}: {self.sentence()}: mend these rows, or leave them out.",
                path=self.file.path,
                line=self.first,
                parameter=given_as,
            )


def left_out(rejections: Iterable[Rejections], given_as: str) -> list[str]:
    """Return a sentence for each file of which a little can't be used.

    Args:
        rejections: of each file.
        given_as: the parameter that the files were given as.

    Raises:
        InputError: of one, more than a tenth of a percent is broken.
    """
    found = []
    for each in rejections:
        each.check(given_as)
        if each.total:
            found.append(f"{given_as} {each.file.path}: {each.sentence()}, and are left out.")
    return found


def read_counting(files: Sequence[InputFile], kind: str, rejections: list[Rejections]) -> Iterator[pa.Table]:
    """Yield the tables of one kind in files, and count what can't be used.

    Args:
        files: as planned.
        kind: ``passages``, ``queries`` or ``qrels``.
        rejections: one entry for each file is added.
    """
    for file in files:
        found = Rejections(file)
        rejections.append(found)
        for chunk in read_rows(file):
            if chunk.kind == kind:
                yield chunk.table
            else:
                found.add_chunk(chunk)

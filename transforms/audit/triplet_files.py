"""Training data with negatives, ours or another tool's: which files, and which column plays which part.

Forms: triplets (anchor, positive, negative), n-tuples (negative_1 to negative_n), lists (query, pos, neg, as
FlagEmbedding has them; query, positive_passages, negative_passages, as Tevatron has them). In any format of rows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hardneg.errors import InputError, parameter
from hardneg.transforms.audit.exports import exported_tables
from hardneg.transforms.inputs import synonyms
from hardneg.transforms.inputs.columns import listed, negative_columns
from hardneg.transforms.inputs.formats.registry import ROW_FORMATS, format_of, has_row_format
from hardneg.transforms.inputs.formats.row_format import Head
from hardneg.transforms.inputs.paths import files_at, files_in, is_folder, matching_files

_POSITIVE_ID = re.compile(r"pos(?:itive)?s?(?:_passages?)?_?(\d*)_?ids?_?(\d*)")
_NEGATIVE_ID = re.compile(r"(?:hard_?)?neg(?:ative)?s?(?:_passages?)?_?(\d*)_?ids?_?(\d*)")
_POSITIVE_SCORES = re.compile(r"pos(?:itive)?s?_scores?")
_NEGATIVE_SCORES = re.compile(r"(?:hard_?)?neg(?:ative)?s?_scores?")


@dataclass(frozen=True)
class TripletFile:
    """One file of a data set, and the name of its ``RowFormat``."""

    path: str
    format: str


@dataclass(frozen=True)
class ColumnNames:
    """The columns that the user named; None or empty: to be recognised."""

    anchor: str | None = None
    positive: str | None = None
    negative: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Which columns of a file play which part. Scores are all the other columns that hold numbers."""

    anchor: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...]
    query_id: str | None = None
    row_id: str | None = None
    positive_ids: tuple[str, ...] = ()
    negative_ids: tuple[str, ...] = ()

    @property
    def parts(self) -> frozenset[str]:
        """The columns that hold texts and ids."""
        ids = [name for name in (self.query_id, self.row_id) if name]
        return frozenset((self.anchor, *self.positives, *self.negatives, *self.positive_ids, *self.negative_ids, *ids))


def scored_part(column: str) -> str | None:
    """Return whose texts a list of scores must be as long as: ``positives``, ``negatives``, None for neither."""
    if _POSITIVE_SCORES.fullmatch(column.lower()):
        return "positives"
    return "negatives" if _NEGATIVE_SCORES.fullmatch(column.lower()) else None


def find_triplet_files(paths: Sequence[str]) -> list[TripletFile]:
    """Return the files of a data set.

    Args:
        paths: files, patterns, or folders: a run, its ``triplets/``, any folder of files with rows, or what datasets'
            ``save_to_disk`` wrote.

    Raises:
        InputError: nothing there, or a file of another kind.
    """
    found = [file for path in paths for file in _files_of(path)]
    return [TripletFile(path, format_of(path).name) for path in dict.fromkeys(found)]


def run_of(file: TripletFile) -> str | None:
    """Return the folder of the finished run of ours that a file of triplets belongs to, None for none."""
    folder = os.path.dirname(file.path)
    if os.path.basename(folder) != "triplets":
        return None
    run = os.path.dirname(folder) or "."
    return run if files_in(f"{run}/candidates") else None


def _files_of(path: str) -> list[str]:
    folder = path.rstrip("/") or path
    if tables := exported_tables(folder):
        return [file for table in tables for file in files_in(table)]
    for inside in (f"{folder}/triplets", folder, f"{folder}/data"):
        if files := [file for file in files_in(inside) if has_row_format(file)]:
            return files
    if is_folder(path) and not matching_files(path):
        raise InputError(
            f"{path} holds no Parquet or JSONL file, nor one of another format of rows: give a folder of triplets, or "
            "the files.",
            path=path,
        )
    return [file.path for file in files_at(path, "")]


def head_of(file: TripletFile) -> Head:
    """Return the head of a file; where its rows are cells, the first row holds their names."""
    form = ROW_FORMATS[file.format]
    head = form.head(file.path)
    return head.named() if form.cells else head


def layout_of(file: TripletFile, named: ColumnNames) -> Layout | None:
    """Look into a file and return which column plays which part; None for a file without rows.

    Raises:
        InputError: the file can't be opened, or a part is not recognised.
    """
    head = head_of(file)
    return None if head.empty else _layout(file.path, head, named)


def _layout(path: str, head: Head, named: ColumnNames) -> Layout:
    columns = head.columns
    taken = {name for name in (named.positive, *named.negative) if name}
    known = [name for name in columns if _is(name, synonyms.ANCHORS) and name not in taken]
    anchors = [named.anchor] if named.anchor else known
    if len(anchors) > 1:
        raise InputError(
            f"{path}: {listed(anchors)} might each be the anchor: name it with {parameter('anchor_column')}.", path=path
        )
    taken.update(anchors)
    negatives = named.negative or negative_columns(columns, taken)
    taken.update(negatives)
    positives = [named.positive] if named.positive else _positives(columns, taken)
    for part, names in (("anchor", anchors), ("positive", positives), ("negative", negatives)):
        if missing := [name for name in names if name not in columns]:
            raise InputError(
                f"{path} has no column {missing[0]!r}, its columns are {listed(columns)}: name the {part} with "
                f"{parameter(f'{part}_column')}.",
                path=path,
            )
        if not names:
            raise InputError(
                f"{path} has no column that is known to be the {part}, its columns are {listed(columns)}: name it "
                f"with {parameter(f'{part}_column')}{_header_hint(path, head)}.",
                path=path,
            )
    return Layout(
        anchors[0],
        tuple(positives),
        tuple(negatives),
        next((name for name in columns if _is(name, synonyms.PAIR_QUERY_IDS) and name not in taken), None),
        next((name for name in columns if _is(name, synonyms.PAIR_IDS) and name not in taken), None),
        _ids(columns, _POSITIVE_ID),
        _ids(columns, _NEGATIVE_ID),
    )


def _is(name: str, known: Collection[str]) -> bool:
    return name.lower() in known


def _header_hint(path: str, head: Head) -> str:
    """Return how a file of cells gets a first line of names, in the half sentence that ends a message."""
    if not head.header:
        return ""
    return f"; without a header, add one: sed -i '1i anchor\\tpositive\\tnegative' {path}"


def _positives(columns: Sequence[str], taken: Collection[str]) -> list[str]:
    """Return the columns that hold positives: those of a known name, then the numbered ones in their order."""
    free = [name for name in columns if name not in taken]
    numbers = [(int(hit[1]), name) for name in free if (hit := synonyms.NUMBERED_POSITIVE.fullmatch(name.lower()))]
    return [name for name in free if _is(name, synonyms.TRIPLET_POSITIVES)] + [name for _, name in sorted(numbers)]


def _ids(columns: Sequence[str], pattern: re.Pattern[str]) -> tuple[str, ...]:
    found = [(int(hit[1] or hit[2] or 0), name) for name in columns if (hit := pattern.fullmatch(name.lower()))]
    return tuple(name for _, name in sorted(found))

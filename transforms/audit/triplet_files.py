"""Training data with negatives, ours or another tool's: which files, and which column plays which part.

Forms: triplets (anchor, positive, negative), n-tuples (negative_1 to negative_n), lists (query, pos, neg, as
FlagEmbedding has them; query, positive_passages, negative_passages, as Tevatron has them). In Parquet or JSON lines.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hardneg.errors import HardnegError
from hardneg.transforms.inputs.columns import head_of_rows, listed
from hardneg.transforms.inputs.files import opened_parquet
from hardneg.transforms.inputs.judgements import bare_suffix, files_in, matching_files
from hardneg.transforms.inputs.planning import FORMATS

_ANCHORS = ("anchor", "query", "question", "query_text", "sentence1")
_POSITIVES = (
    "positive", "positives", "pos", "positive_passages", "positive_passage", "answer", "response", "sentence2",
)  # fmt: skip
_NEGATIVES = (
    "negative", "negatives", "neg", "negative_passages", "negative_passage", "hard_negative", "hard_negatives",
    "sentence3",
)  # fmt: skip
_QUERY_IDS = ("query_id", "query-id", "qid", "anchor_id", "anchor-id")
_ROW_IDS = ("id", "_id")
NUMBERED_POSITIVE = re.compile(r"pos(?:itive)?s?_?(\d+)")
NUMBERED_NEGATIVE = re.compile(r"(?:hard_?)?neg(?:ative)?s?_?(\d+)")
_POSITIVE_ID = re.compile(r"pos(?:itive)?s?(?:_passages?)?_?(\d*)_?ids?_?(\d*)")
_NEGATIVE_ID = re.compile(r"(?:hard_?)?neg(?:ative)?s?(?:_passages?)?_?(\d*)_?ids?_?(\d*)")
_POSITIVE_SCORES = re.compile(r"pos(?:itive)?s?_scores?")
_NEGATIVE_SCORES = re.compile(r"(?:hard_?)?neg(?:ative)?s?_scores?")


@dataclass(frozen=True)
class TripletFile:
    """One file of a data set; its format is ``jsonl`` or ``parquet``."""

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
        paths: files, patterns, or folders: a run, its ``triplets/``, or any folder of Parquet or JSONL files.

    Raises:
        HardnegError: nothing there, or a file of another kind.
    """
    found = [file for path in paths for file in _files_of(path)]
    return [TripletFile(path, _format(path)) for path in dict.fromkeys(found)]


def run_of(file: TripletFile) -> str | None:
    """Return the folder of the finished run of ours that a file of triplets belongs to, None for none."""
    folder = os.path.dirname(file.path)
    if os.path.basename(folder) != "triplets":
        return None
    run = os.path.dirname(folder) or "."
    return run if files_in(f"{run}/candidates") else None


def _files_of(path: str) -> list[str]:
    folder = path.rstrip("/") or path
    for inside in (f"{folder}/triplets", folder):
        if files := [file for file in files_in(inside) if _format_of(file)]:
            return files
    if os.path.isdir(path):
        raise HardnegError(f"{path} holds no Parquet or JSONL file: give a folder of triplets, or the files.")
    if not (files := matching_files(path)):
        raise HardnegError(f"{path} matches no file: check the path.")
    return files


def _format_of(path: str) -> str | None:
    suffix, packed = bare_suffix(path)
    form = FORMATS.get(suffix)
    return form if form == "jsonl" or (form == "parquet" and not packed) else None


def _format(path: str) -> str:
    form = _format_of(path)
    if form is None:
        raise HardnegError(
            f"{path} is neither Parquet (.parquet) nor JSON lines (.jsonl, also compressed): convert it, or give it "
            "the suffix of what it is."
        )
    return form


def layout_of(file: TripletFile, named: ColumnNames) -> Layout | None:
    """Look into a file and return which column plays which part; None for a file without rows.

    Raises:
        HardnegError: the file can't be opened, or a part is not recognised.
    """
    if file.format == "parquet":
        with opened_parquet(file.path) as parquet:
            return _layout(file.path, parquet.schema_arrow.names, named)
    head = head_of_rows(file.path, "jsonl", (), {})
    return None if head.empty else _layout(file.path, head.columns, named)


def _layout(path: str, columns: Sequence[str], named: ColumnNames) -> Layout:
    taken = {name for name in (named.positive, *named.negative) if name}
    anchors = (
        [named.anchor] if named.anchor else [name for name in columns if _is(name, _ANCHORS) and name not in taken]
    )
    if len(anchors) > 1:
        raise HardnegError(f"{path}: {listed(anchors)} might each be the anchor: name it with --anchor-column.")
    taken.update(anchors)
    negatives = named.negative or _several(columns, _NEGATIVES, NUMBERED_NEGATIVE, taken)
    taken.update(negatives)
    positives = [named.positive] if named.positive else _several(columns, _POSITIVES, NUMBERED_POSITIVE, taken)
    for part, names in (("anchor", anchors), ("positive", positives), ("negative", negatives)):
        if missing := [name for name in names if name not in columns]:
            raise HardnegError(
                f"{path} has no column {missing[0]!r}, its columns are {listed(columns)}: name the {part} with "
                f"--{part}-column."
            )
        if not names:
            raise HardnegError(
                f"{path} has no column that is known to be the {part}, its columns are {listed(columns)}: name it "
                f"with --{part}-column."
            )
    return Layout(
        anchors[0],
        tuple(positives),
        tuple(negatives),
        next((name for name in columns if _is(name, _QUERY_IDS) and name not in taken), None),
        next((name for name in columns if _is(name, _ROW_IDS) and name not in taken), None),
        _ids(columns, _POSITIVE_ID),
        _ids(columns, _NEGATIVE_ID),
    )


def _is(name: str, known: Collection[str]) -> bool:
    return name.lower() in known


def _several(
    columns: Sequence[str], known: Collection[str], numbered: re.Pattern[str], taken: Collection[str]
) -> list[str]:
    """Return the columns of a part: those of a known name, then the numbered ones in their order."""
    free = [name for name in columns if name not in taken]
    numbers = [(int(found[1]), name) for name in free if (found := numbered.fullmatch(name.lower()))]
    return [name for name in free if _is(name, known)] + [name for _, name in sorted(numbers)]


def _ids(columns: Sequence[str], pattern: re.Pattern[str]) -> tuple[str, ...]:
    found = [(int(hit[1] or hit[2] or 0), name) for name in columns if (hit := pattern.fullmatch(name.lower()))]
    return tuple(name for _, name in sorted(found))

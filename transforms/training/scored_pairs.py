"""Reading pairs that carry a label or a score: what a cross-encoder can be trained on besides known positives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hardneg.errors import InputError, parameter
from hardneg.transforms.core.arrays import FloatArray
from hardneg.transforms.inputs import synonyms
from hardneg.transforms.inputs.columns import Part, listed, resolve
from hardneg.transforms.inputs.formats.registry import format_of, place_of
from hardneg.transforms.inputs.input_files import Columns
from hardneg.transforms.inputs.parsing import RejectedRowError, parse_grade, parse_text
from hardneg.transforms.inputs.paths import files_at
from hardneg.transforms.training.training_pairs import PAIRS

SCORES = ("label", "score", "logit")
_PARTS = (
    Part("text", "query", "", synonyms.ANCHORS, required=False, ranked=True),
    Part("positive", "passage", "", synonyms.POSITIVES, required=False, ranked=True),
    Part("grade", "score", "", SCORES, required=False, ranked=True),
)


def read_scored_pairs(patterns: Sequence[str]) -> list[pa.Table]:
    """Return the pairs in files, in any format of rows, one table of the ``PAIRS`` schema each.

    ``label`` and ``score`` lie between 0 and 1; ``logit`` is a teacher's raw score, and its sigmoid is learned.

    Raises:
        InputError: no file, a file that can't be read or lacks a column, an empty text, or a score that is none.
    """
    return [_read(file.path) for pattern in patterns for file in files_at(pattern, "scored_pairs")]


def _read(path: str) -> pa.Table:
    form = format_of(path)
    head = form.head(path)
    head = head.named() if form.cells else head
    columns = resolve(path, head, _PARTS, {})
    for part in _PARTS:
        if getattr(columns, part.part) is None and not head.empty:
            raise InputError(
                f"{path} has the columns {listed(head.columns)}, and none of them is one of {listed(part.known)}: "
                "rename one.",
                path=path,
            )
    wanted = (columns.text, columns.positive, columns.grade)
    rows: list[tuple[str, str, float]] = []
    for number, values in form.rows(path, head, wanted):
        where = place_of(path, form.name, number)
        if isinstance(values, str):
            raise InputError(
                f"{where} can't be used ({values}): mend it, or leave the row out.", path=path, line=number
            )
        rows.append(_checked(where, columns, *values))
    scores = _scores(path, str(columns.grade), np.array([score for *_, score in rows], dtype=np.float64))
    texts = [pa.array([row[place] for row in rows], pa.string()) for place in (0, 1)]
    return pa.table([*texts, pa.array(scores, pa.float32())], schema=PAIRS)


def _checked(where: str, columns: Columns, query: Any, passage: Any, score: Any) -> tuple[str, str, float]:
    """Return a row's texts and its score, NaN for null."""
    try:
        texts = parse_text(query, columns.text), parse_text(passage, columns.positive)
        number = float("nan") if score is None else parse_grade(score)
    except RejectedRowError as error:
        raise InputError(f"{where} can't be used ({error}): mend it, or leave the row out.") from None
    for text, name in zip(texts, (columns.text, columns.positive), strict=True):
        if not text:
            raise InputError(f"{where} has no text in {name!r}: fill it in, or leave the row out.")
    return *texts, number


def _scores(path: str, name: str, values: FloatArray) -> FloatArray:
    scores = 0.5 * (1 + np.tanh(0.5 * values)) if name == "logit" else values
    bad = ~((scores >= 0) & (scores <= 1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{parameter('scored_pairs')} {path}: row {row + 1} has the {name} {values[row]:g}, and it must lie "
            "between 0 and 1; call the column 'logit' if it holds a teacher's raw scores.",
            path=path,
            row=row + 1,
        )
    return scores

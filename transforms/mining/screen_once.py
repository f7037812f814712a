"""Screening once: what was screened for the calibration sample travels with the block to where it is mined."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.filters.decisions import Decisions
from hardneg.transforms.filters.policy import Rules
from hardneg.transforms.filters.screening import Screened, screen

_COLUMN = "screened"
_FIELDS = pa.struct(
    [
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("grade", pa.float64()),
        ("countable", pa.bool_()),
        ("held_out", pa.bool_()),
    ]
)


def keep_screened(candidates: pa.Table, screened: Screened, rows: IntArray) -> pa.Table:
    """Return candidates with a column that says what screening gave for some of them.

    Args:
        candidates: a block's.
        screened: of the rows alone.
        rows: int64, ascending; all rows of some queries.
    """
    verdicts, reasons = screened.decisions.columns()
    columns = [verdicts, reasons, *map(pa.array, (screened.grades, screened.countable, screened.held_out))]
    known = pa.StructArray.from_arrays(columns, fields=list(_FIELDS))
    place = np.full(len(candidates), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    return candidates.append_column(_COLUMN, known.take(pa.array(place, mask=place < 0)))


def screen_rest(block: Block, rules: Rules, texts_of: TextsOf) -> Screened:
    """Screen what calibration did not, and take over the rest.

    Screening looks at one query at a time, so the result is that of screening the block at once.
    """
    candidates = block.candidates
    if _COLUMN not in candidates.column_names:
        return screen(block.queries, candidates, rules, texts_of)
    known = candidates[_COLUMN].combine_chunks()
    candidates = candidates.drop_columns([_COLUMN])
    new = np.flatnonzero(known.is_null().to_numpy(zero_copy_only=False))
    rest = screen(block.queries, candidates.take(pa.array(new)), rules, texts_of)
    verdicts, reasons, grades, countable, held_out = known.flatten()
    decisions = Decisions.of_words(verdicts.to_pylist(), reasons.to_pylist())
    decisions.put(new, rest.decisions)
    arrays = []
    for column, own in ((grades, rest.grades), (countable, rest.countable), (held_out, rest.held_out)):
        values = column.to_numpy(zero_copy_only=False).astype(own.dtype)
        values[new] = own
        arrays.append(values)
    return Screened.of(candidates, rules, decisions, *arrays)

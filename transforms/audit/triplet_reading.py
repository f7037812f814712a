"""Reading training data: row by row, or columns of Arrow without a Python object for every text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import InputError, parameter
from hardneg.transforms.audit.triplet_files import Layout, TripletFile, scored_part
from hardneg.transforms.audit.triplet_rows import (
    LENGTHS_DIFFER,
    NOT_FINITE,
    UNREADABLE,
    Flaw,
    Ragged,
    RowError,
    TripletBatch,
    read_objects,
    text_and_id,
)
from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.inputs.formats.columnar import ColumnarFormat
from hardneg.transforms.inputs.formats.registry import ROW_FORMATS
from hardneg.transforms.inputs.input_files import INVALID_UTF8


def read_triplets(file: TripletFile, layout: Layout) -> Iterator[TripletBatch]:
    """Read a file of training data, as batches of bounded size.

    Raises:
        HardnegError: the file can't be read to its end, or a column of texts holds something else.
    """
    form = ROW_FORMATS[file.format]
    if not isinstance(form, ColumnarFormat):
        yield from read_objects(file, layout)
        return
    before = 0
    for record in form.batches(file.path):
        rows = np.arange(before + 1, before + 1 + len(record), dtype=np.int64)
        before += len(record)
        yield _batch_of_record(file.path, record, rows, layout)


def rows_at(batches: Iterator[TripletBatch], wanted: Collection[int]) -> Iterator[tuple[TripletBatch, int]]:
    """Yield (batch, row in it) for the wanted lines of a file, reading no further than needed."""
    left = set(wanted)
    for batch in batches:
        for row in np.flatnonzero(np.isin(batch.lines, sorted(left))).tolist():
            left.discard(int(batch.lines[row]))
            yield batch, row
        if not left:
            return


def _batch_of_record(path: str, record: pa.RecordBatch, rows: IntArray, layout: Layout) -> TripletBatch:
    flaws = []
    broken = _broken_rows(record, layout)
    if broken.any():
        flaws.append(Flaw(UNREADABLE, INVALID_UTF8, rows[broken]))
        record, rows = record.filter(pa.array(~broken)), rows[~broken]
    parts = {}
    for part, names, id_names in (
        ("positives", layout.positives, layout.positive_ids),
        ("negatives", layout.negatives, layout.negative_ids),
    ):
        texts = _interleaved([_ragged(path, name, record.column(name)) for name in names])
        if id_names:
            ids = _interleaved([_ragged(path, name, record.column(name), ids=True) for name in id_names])
            texts, differ = _with_ids(texts, ids)
            if differ.any():
                flaws.append(Flaw(LENGTHS_DIFFER, f"{part} with another number of ids", rows[differ]))
        parts[part] = texts
    for name in record.schema.names:
        if name not in layout.parts:
            flaws += _score_flaws(name, record.column(name), rows, {p: texts.lengths for p, texts in parts.items()})
    query_ids, row_ids = (
        _ragged(path, name, record.column(name), ids=True).values if name else None
        for name in (layout.query_id, layout.row_id)
    )
    anchors = _ragged(path, layout.anchor, record.column(layout.anchor)).values
    if len(anchors) != len(rows):
        raise InputError(
            f"{path}: column {layout.anchor!r} holds lists: name the anchor with {parameter('anchor_column')}."
        )
    return TripletBatch(rows, anchors, parts["positives"], parts["negatives"], query_ids, row_ids, flaws)


def _broken_rows(record: pa.RecordBatch, layout: Layout) -> npt.NDArray[np.bool_]:
    """Return which rows hold bytes that are no text: Parquet readers don't check."""
    broken = np.zeros(len(record), dtype=bool)
    for name in layout.parts:
        column = record.column(name)
        if not _is_valid(column):
            broken |= [not _is_valid(column.slice(row, 1)) for row in range(len(column))]
    return broken


def _is_valid(column: pa.Array) -> bool:
    try:
        pa.concat_arrays([column]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _ragged(path: str, name: str, column: pa.Array, ids: bool = False) -> Ragged:
    """Return a column of strings, of objects with a text, or of lists of those."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if pa.types.is_fixed_size_list(kind):
            column = column.cast(pa.list_(kind.value_type))
        lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        values = pc.list_flatten(column)
    else:
        lengths, values = np.ones(len(column), dtype=np.int64), column
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    if pa.types.is_struct(values.type) and not ids:
        pairs = [_text_of_struct(path, name, value) for value in values.to_pylist()]
        found = pa.array([identifier for _, identifier in pairs], pa.string())
        texts = pa.array([text for text, _ in pairs], pa.string())
        return Ragged(starts, texts, found if found.null_count < len(found) else None)
    return Ragged(starts, _strings(path, name, values, ids))


def _text_of_struct(path: str, name: str, value: dict[str, Any] | None) -> tuple[str | None, str | None]:
    try:
        return (None, None) if value is None else text_and_id(value, name)
    except RowError as error:
        raise InputError(f"{path}: column {name!r} has objects that hold no text ({error}): convert it.") from None


def _strings(path: str, name: str, values: pa.Array, ids: bool) -> pa.Array:
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    texts = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_null,
    )
    numbers = (pa.types.is_integer, pa.types.is_floating)
    if not any(test(kind) for test in ((*texts, *numbers) if ids else texts)):
        raise InputError(f"{path}: column {name!r} holds {kind}, not texts: name another column, or convert it.")
    return values.cast(pa.string())


def _interleaved(columns: Sequence[Ragged]) -> Ragged:
    """Join several columns of one part row by row, in the order of the columns."""
    if len(columns) == 1:
        return columns[0]
    rows = np.concatenate([column.rows for column in columns])
    order = pa.array(np.argsort(rows, kind="stable"))
    starts = np.sum([column.starts for column in columns], axis=0)
    values = pa.concat_arrays([column.values for column in columns]).take(order)
    if all(column.ids is None for column in columns):
        return Ragged(starts, values)
    ids = [pa.nulls(len(c.values), pa.string()) if c.ids is None else c.ids for c in columns]
    return Ragged(starts, values, pa.concat_arrays(ids).take(order))


def _with_ids(texts: Ragged, ids: Ragged) -> tuple[Ragged, npt.NDArray[np.bool_]]:
    """Give texts their ids, null in rows with another number of ids than texts; return those rows too."""
    differ = texts.lengths != ids.lengths
    rows = texts.rows
    place = ids.starts[rows] + np.arange(len(rows)) - texts.starts[rows]
    return Ragged(texts.starts, texts.values, ids.values.take(pa.array(place, mask=differ[rows]))), differ


def _score_flaws(name: str, column: pa.Array, rows: IntArray, lengths: dict[str, IntArray]) -> list[Flaw]:
    kind, flaws = column.type, []
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if not pa.types.is_floating(kind.value_type):
            return []
        own = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
        part = scored_part(name)
        differ = column.is_valid().to_numpy(zero_copy_only=False) & (own != lengths[part]) if part else ()
        if np.any(differ):
            flaws.append(Flaw(LENGTHS_DIFFER, f"{part} with another number of {name}", rows[differ]))
        values, rows = pc.list_flatten(column), np.repeat(rows, own)
        missing = values.is_null()
    elif pa.types.is_floating(kind):
        values, missing = column, pa.array(np.zeros(len(column), dtype=bool))  # an unscored pair is no fault
    else:
        return []
    finite = pc.is_finite(values.cast(pa.float64())).fill_null(True)
    bad = pc.or_(missing, pc.invert(finite)).to_numpy(zero_copy_only=False)
    if bad.any():
        flaws.append(Flaw(NOT_FINITE, f"{name} is NaN, infinite or missing", rows[bad]))
    return flaws

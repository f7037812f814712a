"""What is decided of a file by its first rows, and told: quoted cells, ids that were written as floats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from hardneg.errors import InputError
from hardneg.transforms.inputs.columns import listed, shortened
from hardneg.transforms.inputs.formats.registry import ROW_FORMATS
from hardneg.transforms.inputs.formats.row_format import Head, RowFormat
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.parsing import whole_number

_ROWS = 1000
# Of strings, as Python, JSON and NumPy write one.
_WRITTEN_LIST = re.compile(r"""\s*\[\s*(?:(["']).*\1)?\s*\]\s*""", re.DOTALL)


def columns_of_float_ids(form: RowFormat, path: str, head: Head, names: Sequence[str | None]) -> tuple[str, ...]:
    """Return which columns hold, in the first rows, nothing but whole numbers that were written as floats.

    pandas makes floats of a column of ids as soon as one is missing, and writes them as text so: the id 7 of one table
    is ``7.0`` in another. One id of another form, and all are taken as they stand.

    Args:
        form: the file's format.
        path: the file.
        head: its head.
        names: the columns that hold ids, None for such as it lacks.

    Raises:
        InputError: the file can't be read.
    """
    found = dict.fromkeys([name for name in names if name is not None], 0)
    if not found:
        return ()
    for _, values in islice(form.rows(path, head, tuple(found)), _ROWS):
        for name, value in zip(tuple(found), () if isinstance(values, str) else values, strict=False):
            if value is None or value == "" or found[name] < 0:
                continue
            found[name] = found[name] + 1 if isinstance(value, str) and whole_number(value) else -1
        if all(number < 0 for number in found.values()):
            break
    return tuple(name for name, number in found.items() if number > 0)


def refuse_written_lists(form: RowFormat, path: str, head: Head, names: Sequence[str | None]) -> None:
    """Refuse cells that are lists written as text: pandas does that to a column of lists.

    Args:
        form: the file's format, whose rows are cells.
        path: the file.
        head: its head.
        names: the columns whose cells may be lists, None for such as it lacks.

    Raises:
        InputError: the first rows of a column are nothing else, or the file can't be read.
    """
    wanted = tuple(name for name in names if name is not None)
    cells: dict[str, list[str]] = {name: [] for name in wanted}
    for _, values in islice(form.rows(path, head, wanted), _ROWS if wanted else 0):
        for name, value in zip(wanted, () if isinstance(values, str) else values, strict=False):
            if value:
                cells[name].append(value)
    for name, found in cells.items():
        if found and all(_WRITTEN_LIST.fullmatch(cell) for cell in found):
            raise InputError(
                f"{path}: the cells of {name!r} are lists written as text, such as {shortened(found[0])}, which can't "
                "be told from a text: write JSON lines (pandas: to_json(..., orient='records', lines=True)).",
                path=path,
            )


def decisions(files: Iterable[InputFile]) -> list[str]:
    """Return what was decided of files that a user should know, a sentence each."""
    said: list[str] = []
    for file in files:
        said += _of_pairs(file)
        if file.delimiter == "\t":
            said.append(f"{file.path}: its cells are quoted as csv writers quote, and were unquoted.")
        if file.float_ids:
            names = " and ".join(map(repr, file.float_ids))
            said.append(
                f"{file.path}: the ids in {names} are whole numbers written as floats, 7.0 is read as the id 7."
            )
    return said


def _of_pairs(file: InputFile) -> Iterator[str]:
    """Yield what is left out of a file of pairs, and what is taken from it that may be none of them."""
    if file.kind != "pairs":
        return
    used = {*file.wanted, *file.pass_through}
    if unread := [name for name in file.names if name not in used]:
        yield f"{file.path}: not read of it: {'columns' if len(unread) > 1 else 'column'} {listed(unread)}."
    if ROW_FORMATS[file.format].cells and not file.header and file.names:
        yield f"{file.path}: no column's name is known in its first line, so that is a pair, too."

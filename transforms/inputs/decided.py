"""What is decided of a file by its first rows, and told: quoted cells, ids that were written as floats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from hardneg.transforms.inputs.formats.row_format import Head, RowFormat
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.parsing import whole_number

_ROWS = 1000


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


def decisions(files: Iterable[InputFile]) -> list[str]:
    """Return what was decided of files that a user should know, a sentence each."""
    said = []
    for file in files:
        if file.delimiter == "\t":
            said.append(f"{file.path}: its cells are quoted as csv writers quote, and were unquoted.")
        if file.float_ids:
            names = " and ".join(map(repr, file.float_ids))
            said.append(
                f"{file.path}: the ids in {names} are whole numbers written as floats, 7.0 is read as the id 7."
            )
    return said

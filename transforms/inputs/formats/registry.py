"""The formats that input files may have. A new one is a module of its own, and a line here."""

from __future__ import annotations

import os
import re

from hardneg.errors import InputError
from hardneg.transforms.inputs.files import COMPRESSIONS
from hardneg.transforms.inputs.formats.arrow import Arrow
from hardneg.transforms.inputs.formats.cells import Csv, TrecQrels, Tsv
from hardneg.transforms.inputs.formats.json_array import JsonArray
from hardneg.transforms.inputs.formats.json_lines import JsonLines
from hardneg.transforms.inputs.formats.parquet import Parquet
from hardneg.transforms.inputs.formats.row_format import RowFormat
from hardneg.transforms.inputs.input_files import InputFile

# Of formats that share a suffix, the first that recognises the file.
ROW_FORMATS: dict[str, RowFormat] = {
    form.name: form for form in (JsonArray(), JsonLines(), Parquet(), Arrow(), Tsv(), Csv(), TrecQrels())
}


def register_row_format(form: RowFormat) -> None:
    """Add a format, in this process and those that it forks; it is asked before the others that share its suffixes."""
    others = {name: other for name, other in ROW_FORMATS.items() if name != form.name}
    ROW_FORMATS.clear()
    ROW_FORMATS.update({form.name: form, **others})


def bare_suffix(path: str) -> tuple[str, bool]:
    """Return a path's suffix in lower case without that of a compression, and whether there is one of those."""
    lower = path.lower()
    packed = next((suffix for suffix in COMPRESSIONS if lower.endswith(suffix)), "")
    return os.path.splitext(lower.removesuffix(packed))[1], bool(packed)


def known_suffixes() -> list[str]:
    """Return the suffixes of all formats, in the order of the README."""
    return list(dict.fromkeys(suffix for form in ROW_FORMATS.values() for suffix in form.suffixes))


def has_row_format(path: str) -> bool:
    """Return whether a path's suffix is one of a format of rows."""
    suffix, packed = bare_suffix(path)
    return any(suffix in form.suffixes and (form.compressible or not packed) for form in ROW_FORMATS.values())


def format_of(path: str) -> RowFormat:
    """Return the format of a file: by its suffix, and where several share it, by its first bytes.

    Raises:
        InputError: no format has the suffix, or the file can't be opened.
    """
    suffix, packed = bare_suffix(path)
    forms = [form for form in ROW_FORMATS.values() if suffix in form.suffixes]
    if not forms:
        raise InputError(
            f"{path} has a suffix that says nothing: it must be one of {', '.join(known_suffixes())}, text formats "
            "also compressed (.gz, .bz2, .zst, .xz).",
            path=path,
        )
    if packed and not any(form.compressible for form in forms):
        title = re.sub(r"^an? ", "", forms[0].title)
        raise InputError(f"{path}: {title} is compressed inside, so decompress this file first.", path=path)
    return next((form for form in forms[:-1] if form.recognises(path)), forms[-1])


def place(file: InputFile, number: int) -> str:
    """Return ``path:line`` or ``path:row N``: how messages and reports name a row."""
    return place_of(file.path, file.format, number)


def place_of(path: str, form: str, number: int | str) -> str:
    """Return how messages name a row of a file of a format; without a number, how its place begins."""
    unit = ROW_FORMATS[form].unit
    return f"{path}:{'' if unit == 'line' else unit + ' '}{number}"

"""A look into one file: its format, and which of its columns plays which part."""

from __future__ import annotations

from collections.abc import Mapping

from hardneg.errors import InputError
from hardneg.transforms.inputs.columns import Part, by_name, named_by_header, parts_of, resolve
from hardneg.transforms.inputs.conversions import with_conversion
from hardneg.transforms.inputs.decided import columns_of_float_ids, refuse_written_lists
from hardneg.transforms.inputs.formats.registry import ROW_FORMATS, format_of
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.paths import FoundFile, files_at
from hardneg.transforms.inputs.qrels import look_into_qrels


def look_into(
    kind: str, found: FoundFile, parts: tuple[Part, ...], named: Mapping[str, str] | None = None, index: int = 0
) -> InputFile:
    """Return a file with its format and the columns that play the parts.

    Args:
        kind: one of ``input_files.KINDS``.
        found: the file.
        parts: of the kind, as ``parts_of`` gives them; qrels have their own.
        named: parameter -> column, where the user named one; other parameters are not looked at.
        index: its position among the files of a run.

    Raises:
        InputError: it can't be opened, is not what its name says, or lacks a part.
    """
    if kind == "qrels":
        head, columns = look_into_qrels(found.path)
    else:
        own = {part.named_by for part in parts}
        asked = {name: column for name, column in (named or {}).items() if name in own}
        form = format_of(found.path)
        head = form.head(found.path)
        if form.cells:
            head = named_by_header(found.path, head, parts, asked)
            asked = by_name(head, asked)
        try:
            columns = resolve(found.path, head, parts, asked)
        except InputError as error:
            raise with_conversion(error, kind, found.path, head) from None
        if form.cells:
            refuse_written_lists(form, found.path, head, (columns.positive, *columns.negatives))
    form = ROW_FORMATS[head.format]
    float_ids = columns_of_float_ids(form, found.path, head, (columns.id, columns.passage_id))
    return InputFile(
        found.path,
        kind,
        head.format,
        columns,
        size=found.size,
        index=index,
        names=head.columns,
        header=head.header,
        delimiter=head.delimiter,
        float_ids=float_ids,
    )


def plan_files(
    kind: str, patterns: list[str], given_as: str, named: Mapping[str, str] | None = None
) -> list[InputFile]:
    """Return the files of one kind that patterns stand for, each looked into, numbered.

    Args:
        kind: ``passages``, ``queries`` or ``qrels``.
        patterns: paths and patterns.
        given_as: the parameter that they were given as.
        named: parameter -> column, where the user named one.

    Raises:
        InputError: nothing there, or a file that is not of this kind.
    """
    found = [file for pattern in patterns for file in files_at(pattern, given_as)]
    return [look_into(kind, file, parts_of(kind), named, index) for index, file in enumerate(found)]

"""From what a user points at to files: paths, patterns, and the folders that datasets' `save_to_disk` writes."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass

from hardneg.errors import InputError, parameter
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.files import explaining, first_line
from hardneg.transforms.inputs.formats.registry import has_row_format

_STATE = "state.json"  # in a folder that save_to_disk made
_SPLITS = "dataset_dict.json"  # in one of several such folders
_ABOUT_DATA = ("dataset_info.json", "dataset_infos.json", "manifest.json", _STATE, _SPLITS)


@dataclass(frozen=True, order=True)
class FoundFile:
    """A file that is there, and its size in bytes."""

    path: str
    size: int


def matching_files(pattern: str, given_as: str = "") -> list[FoundFile]:
    """Return the files that a path or a pattern stands for, sorted by path; none if there are none.

    Args:
        pattern: a path, or a pattern of Beam's; a folder of ``save_to_disk`` stands for its data files.
        given_as: the parameter that it was given as, for errors.

    Raises:
        InputError: it can't be listed.
    """
    if is_folder(pattern):
        return saved_files(pattern)
    glob = re.search(r"[*?\[]", pattern) is not None
    try:
        if glob and storage.exists(pattern):  # brackets in the name of one file
            pattern, glob = escaped(pattern), False
        matches = storage.match(pattern)
    except Exception as error:  # whatever the client of an object store raises
        raise InputError(
            f"{_as_given(pattern, given_as)} can't be listed ({first_line(error)}): check the path and your access "
            "to it.",
            path=pattern,
        ) from error
    # `_SUCCESS`, `.part-0.crc`: what other systems leave beside their output.
    return [
        FoundFile(match.path, match.size_in_bytes)
        for match in matches
        if not (glob and hidden(match.path)) and not is_folder(match.path)
    ]


def files_at(pattern: str, given_as: str) -> list[FoundFile]:
    """Return the files that a path or a pattern stands for: at least one.

    Raises:
        InputError: it can't be listed, matches nothing, or is a folder of something else than Arrow data.
    """
    if found := matching_files(pattern, given_as):
        return found
    said = _as_given(pattern, given_as)
    if not is_folder(pattern):
        raise InputError(f"{said} matches no file: check the path.", path=pattern, parameter=given_as)
    inside = [path for path in files_in(pattern) if has_row_format(path)]
    suffix = os.path.splitext(inside[0])[1] if inside else ".tsv" if given_as == "qrels" else ".parquet"
    raise InputError(
        f"{said} is a folder: give a file, or a pattern such as {os.path.join(pattern, '*' + suffix)}.",
        path=pattern,
        parameter=given_as,
    )


def _as_given(pattern: str, given_as: str) -> str:
    return f"{parameter(given_as)} {pattern}" if given_as else pattern


def is_folder(path: str) -> bool:
    """Return whether a path is a local folder: object stores have none."""
    return storage.is_local(path) and os.path.isdir(path)


def hidden(path: str) -> bool:
    return name_of(path).startswith((".", "_"))


def name_of(path: str) -> str:
    return path.replace(os.sep, "/").rsplit("/", 1)[-1]


def escaped(path: str) -> str:
    """Return a path as a pattern that matches it alone."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def files_in(folder: str) -> list[str]:
    """Return a folder's files, sorted, but for hidden ones and such as tell of data; none without a folder."""
    if storage.is_local(folder):
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        found = [path for name in names if os.path.isfile(path := os.path.join(folder, name))]
    else:
        found = [file.path for file in matching_files(f"{folder.rstrip('/')}/*")]
    return [path for path in found if not hidden(path) and name_of(path) not in _ABOUT_DATA]


def saved_files(folder: str) -> list[FoundFile]:
    """Return the data files of a folder that datasets' ``save_to_disk`` wrote, in their order; none for another.

    Raises:
        InputError: the folder holds several splits, or one of its files is missing.
    """
    state = os.path.join(folder, _STATE)
    if os.path.isfile(os.path.join(folder, _SPLITS)):
        splits = sorted(name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name, _STATE)))
        raise InputError(
            f"{folder} holds the splits {', '.join(splits)}: give one of them, such as "
            f"{os.path.join(folder, (splits or ['train'])[0])}.",
            path=folder,
        )
    if not os.path.isfile(state):
        return []
    with explaining(state):
        data = storage.read_file(state)
    try:
        paths = [os.path.join(folder, entry["filename"]) for entry in json.loads(data)["_data_files"]]
    except (ValueError, KeyError, TypeError):
        return []  # somebody else's state.json
    if missing := [path for path in paths if not os.path.isfile(path)]:
        raise InputError(f"{missing[0]} is missing, which {state} names: copy the folder again.", path=missing[0])
    return [FoundFile(path, os.path.getsize(path)) for path in paths]

"""The files of a folder in the BEIR layout."""

from __future__ import annotations

import os
from collections.abc import Collection

from hardneg.errors import HardnegError, InputError, OptionError, parameter
from hardneg.transforms.core import storage
from hardneg.transforms.inputs.columns import listed
from hardneg.transforms.inputs.files import COMPRESSIONS, first_line
from hardneg.transforms.inputs.paths import FoundFile, escaped, name_of

_HOLDS = "corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv"


def find_beir_files(
    folder: str,
    split: str | None,
    problems: list[HardnegError],
    given_as: str = "input",
    split_as: str | None = "split",
) -> list[tuple[str, FoundFile]]:
    """Return (kind, file) of a folder's corpus, queries and qrels, each compressed or not.

    Args:
        folder: the folder.
        split: which qrels; None: the only ones.
        problems: what is wrong is added here.
        given_as: the parameter that the folder was given as.
        split_as: the parameter that the split was; None: part of that, as FOLDER:SPLIT.
    """
    said = f"{parameter(given_as)} {folder}"

    def wrong(message: str) -> None:
        problems.append(InputError(message, path=folder, parameter=given_as))

    if storage.is_local(folder) and not os.path.isdir(folder):
        what = "is not a folder" if os.path.exists(folder) else "does not exist"
        wrong(f"{said} {what}: give a folder with {_HOLDS}.")
        return []
    found = []
    for kind, stem, suffix in (
        ("passages", "corpus", ".jsonl"),
        ("queries", "queries", ".jsonl"),
        ("qrels", "qrels/*", ".tsv"),
    ):
        try:
            matches = storage.match(f"{escaped(folder.rstrip('/'))}/{stem}{suffix}*")
        except Exception as error:  # whatever the client of an object store raises
            wrong(f"{said} can't be listed ({first_line(error)}): check it and your access to it.")
            return []
        splits: dict[str, list[FoundFile]] = {}
        for match in matches:
            bare = name_of(match.path)[: -len(_compression_suffix(match.path)) or None]
            if bare.endswith(suffix):
                file = FoundFile(match.path, match.size_in_bytes)
                splits.setdefault(bare.removesuffix(suffix), []).append(file)
        wanted = _split(said, folder, split, split_as, splits, problems) if kind == "qrels" else stem
        files = sorted(splits.get(wanted or "", []))
        found += [(kind, file) for file in files]
        if len(files) > 1:
            wrong(f"{said} has {listed([f.path for f in files])}, which are one file twice: remove one of them.")
        elif not files and kind != "qrels":
            wrong(f"{said} has no {stem}{suffix}, nor {stem}{suffix}.gz: a BEIR folder holds {_HOLDS}.")
    return found


def _compression_suffix(path: str) -> str:
    return next((suffix for suffix in COMPRESSIONS if path.lower().endswith(suffix)), "")


def _split(
    said: str,
    folder: str,
    wanted: str | None,
    split_as: str | None,
    splits: Collection[str],
    problems: list[HardnegError],
) -> str | None:
    there = sorted(splits)
    if wanted in there:
        return wanted
    if not there:
        problems.append(InputError(f"{said} has no qrels/SPLIT.tsv: known positives are needed.", path=folder))
    elif wanted:
        problems.append(
            OptionError(
                f"{f'{parameter(split_as)} {wanted}: {folder}' if split_as else f'{said}:{wanted}'} has no "
                f"qrels/{wanted}.tsv, choose of {listed(there)}.",
                parameter=split_as,
            )
        )
    elif len(there) > 1:
        problems.append(
            OptionError(
                f"{said} has several splits: choose {f'with {parameter(split_as)}' if split_as else 'by FOLDER:SPLIT'} "
                f"of {listed(there)}.",
                parameter=split_as,
            )
        )
    return there[0] if len(there) == 1 and not wanted else None

"""Input files that are given one kind at a time: a corpus, queries, qrels, evaluation sets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import HardnegError
from hardneg.transforms.core import storage
from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.hashing import Keys, id_keys, text_keys
from hardneg.transforms.inputs.columns import Part, head_of_qrels, head_of_rows, listed, parts_of, resolve
from hardneg.transforms.inputs.files import COMPRESSIONS, first_line
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.planning import FORMATS
from hardneg.transforms.inputs.rows import read_rows


def bare_suffix(path: str) -> tuple[str, bool]:
    """Return a path's suffix in lower case without that of a compression, and whether there is one of those."""
    lower = path.lower()
    packed = next((suffix for suffix in COMPRESSIONS if lower.endswith(suffix)), "")
    return os.path.splitext(lower.removesuffix(packed))[1], bool(packed)


def matching_files(pattern: str, option: str = "") -> list[str]:
    """Return the files that a path or a pattern stands for, sorted; none if there are none.

    Raises:
        HardnegError: it can't be listed.
    """
    if storage.is_local(pattern) and os.path.isfile(pattern):  # brackets in the name of one file
        return [pattern]
    try:
        return [path for path in storage.list_files(pattern) if not (storage.is_local(path) and os.path.isdir(path))]
    except Exception as error:  # whatever the client of an object store raises
        raise HardnegError(
            f"{option} {pattern} can't be listed ({first_line(error)}): check the path and your access to it.".strip()
        ) from error


def files_in(folder: str) -> list[str]:
    """Return the files of a folder, sorted, but for hidden ones and such as ``_SUCCESS``; none without a folder."""
    if storage.is_local(folder):
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        found = [path for name in names if os.path.isfile(path := os.path.join(folder, name))]
    else:
        found = matching_files(f"{folder.rstrip('/')}/*")
    return [path for path in found if not os.path.basename(path).startswith((".", "_"))]


def plan_files(kind: str, patterns: Sequence[str], option: str, named: dict[str, str] | None = None) -> list[InputFile]:
    """Return the files of one kind that patterns stand for, each looked into, numbered.

    Args:
        kind: ``passages``, ``queries`` or ``qrels``.
        patterns: paths and patterns.
        option: the command line's option for them.
        named: option -> column, where the user named one.

    Raises:
        HardnegError: nothing there, or a file that is not of this kind.
    """
    planned: list[InputFile] = []
    for pattern in patterns:
        found = matching_files(pattern, option)
        if not found:
            what = "is a folder: give its files" if os.path.isdir(pattern) else "matches no file: check the path"
            raise HardnegError(f"{option} {pattern} {what}.")
        planned += [_looked_into(kind, path, len(planned) + place, named or {}) for place, path in enumerate(found)]
    return planned


def _looked_into(kind: str, path: str, index: int, named: dict[str, str]) -> InputFile:
    if kind == "qrels":
        if (form := FORMATS.get(bare_suffix(path)[0])) in ("jsonl", "parquet"):
            raise HardnegError(f"{path}: judgements are text, in TREC's or BEIR's form: convert this {form} file.")
        head, columns = head_of_qrels(path)
        return InputFile(path, kind, head.format, columns, index=index, names=head.columns, header=head.header)
    return look_into_rows(kind, path, parts_of(kind), index, named)


def look_into_rows(
    kind: str, path: str, parts: tuple[Part, ...], index: int = 0, named: dict[str, str] | None = None
) -> InputFile:
    """Return a file of passages, queries or pairs, with the columns that play the parts.

    Raises:
        HardnegError: it can't be opened, is not what its name says, or lacks a part.
    """
    suffix, packed = bare_suffix(path)
    form = FORMATS.get(suffix)
    if form is None or (form == "parquet" and packed):
        raise HardnegError(f"{path} has a suffix that says nothing: it must be one of {listed(FORMATS)}.")
    options = {part.option for part in parts}
    asked = {option: name for option, name in (named or {}).items() if option in options}
    head = head_of_rows(path, form, parts, asked)
    columns = resolve(path, head, parts, asked)
    names = () if head.format in ("jsonl", "parquet") else head.columns
    return InputFile(path, kind, head.format, columns, index=index, names=names, header=head.header)


def read_tables(files: Sequence[InputFile], kind: str) -> Iterator[pa.Table]:
    """Yield the tables of one kind (``passages``, ``queries``, ``qrels``, ``rejected``) in files."""
    for file in files:
        for chunk in read_rows(file):
            if chunk.kind == kind:
                yield chunk.table


def read_text_keys(files: Sequence[InputFile], kind: str) -> tuple[Keys, Keys, IntArray, IntArray]:
    """Return each row of ``queries`` or ``passages`` as keys of its id and its text, with its file and line."""
    column = {"queries": "query_id", "passages": "passage_id"}[kind]
    parts = [
        (id_keys(table[column]), text_keys(table["text"]), table["file"].to_numpy(), table["line"].to_numpy())
        for table in read_tables(files, kind)
    ]
    none = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64)
    ids, texts, file, line = (np.concatenate(each) for each in zip(none, *parts, strict=True))
    return ids, texts, file, line


@dataclass(frozen=True)
class Judgements:
    """Judgements as keys of ids.

    Attributes:
        query_ids: the query of each pair judged relevant, uint64, shape (n,).
        passage_ids: its passage, shape (n,).
        judged_queries: every query that has a judgement, of whatever grade, each once.
    """

    query_ids: Keys
    passage_ids: Keys
    judged_queries: Keys


def read_judgements(files: Sequence[InputFile], min_relevance: float) -> Judgements:
    """Read qrels; a pair that is judged twice is relevant if one of the judgements says so.

    Raises:
        HardnegError: the files can't be read.
    """
    none = np.zeros(0, dtype=np.uint64)
    queries, passages, judged = [none], [none], [none]
    for table in read_tables(files, "qrels"):
        relevant = table.filter(pc.greater_equal(table["grade"], min_relevance))
        queries.append(id_keys(relevant["query_id"]))
        passages.append(id_keys(relevant["passage_id"]))
        judged.append(np.unique(id_keys(table["query_id"])))
    return Judgements(np.concatenate(queries), np.concatenate(passages), np.unique(np.concatenate(judged)))

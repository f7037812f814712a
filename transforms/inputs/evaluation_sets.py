"""Evaluation sets that must stay out of the triplets: their queries, and their gold passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from hardneg.errors import HardnegError
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.core.hashing import KeyMap, Keys, digest_keys, id_keys, text_keys
from hardneg.transforms.inputs.columns import parts_of
from hardneg.transforms.inputs.files import lines
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.judgements import (
    look_into_rows,
    matching_files,
    plan_files,
    read_judgements,
    read_text_keys,
)
from hardneg.transforms.inputs.planning import InputOptions, plan_inputs
from hardneg.transforms.inputs.rows import read_rows

_NONE: Keys = np.zeros(0, dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class Holdout:
    """Evaluation sets as sorted keys: of ids, where they came as qrels, and of texts.

    Attributes:
        query_ids, passage_ids: keys of ids.
        query_texts, passage_texts: keys of normalised texts.
    """

    query_ids: Keys = field(default_factory=lambda: _NONE)
    passage_ids: Keys = field(default_factory=lambda: _NONE)
    query_texts: Keys = field(default_factory=lambda: _NONE)
    passage_texts: Keys = field(default_factory=lambda: _NONE)

    def queries(self, ids: pa.ChunkedArray, digests: pa.ChunkedArray) -> BoolArray:
        """Return which queries are an evaluation set's, by id or by the digest of their text: bool (n,)."""
        return _among(ids, digests, self.query_ids, self.query_texts)

    def passages(self, ids: pa.ChunkedArray, digests: pa.ChunkedArray) -> BoolArray:
        """Return which passages are gold in an evaluation set, by id or by the digest of their text: bool (n,)."""
        return _among(ids, digests, self.passage_ids, self.passage_texts)


def _among(ids: pa.ChunkedArray, digests: pa.ChunkedArray, held_ids: Keys, held_texts: Keys) -> BoolArray:
    found = np.zeros(len(ids), dtype=np.bool_)
    if len(held_ids):
        found |= np.isin(id_keys(ids), held_ids)
    if len(held_texts):
        found |= np.isin(digest_keys(digests), held_texts)
    return found


NOTHING_HELD_OUT = Holdout()


def read_holdout(paths: Sequence[str], split: str | None, min_relevance: float) -> Holdout:
    """Read evaluation sets.

    Args:
        paths: qrels (``.tsv``, ``.qrels``, ``.trec``: their ids are this corpus's ids), and whatever
            ``audit_references.read_held_out`` reads: BEIR folders, files of queries, passages or both.
        split: which qrels of a folder.
        min_relevance: the grade from which a passage is gold.

    Raises:
        HardnegError: a path is not there, or is none of those.
    """
    kinds: tuple[list[Keys], ...] = ([_NONE], [_NONE], [_NONE], [_NONE])
    for path in paths:
        judged = _as_qrels(path, min_relevance)
        found = [*judged, _NONE, _NONE] if judged else [_NONE, _NONE, *read_held_out([path], split, min_relevance)]
        if not any(len(_without_zero(keys)) for keys in found):
            raise HardnegError(f"--holdout {path} holds nothing to keep out: give the evaluation set's own file.")
        for kind, keys in zip(kinds, found, strict=True):
            kind.append(keys)
    return Holdout(*(_without_zero(np.unique(np.concatenate(kind))) for kind in kinds))


def _without_zero(keys: Keys) -> Keys:
    return keys[keys != 0]  # the key of an empty text


def _as_qrels(path: str, min_relevance: float) -> tuple[Keys, Keys] | None:
    """Return the keys of a qrels file's query and passage ids; None if it is no qrels file."""
    if not path.lower().endswith((".tsv", ".qrels", ".trec")):
        return None
    try:
        judged = read_judgements(plan_files("qrels", [path], "--holdout"), min_relevance)
    except HardnegError:
        return None
    return judged.judged_queries, judged.passage_ids


def read_held_out(paths: Sequence[str], split: str | None, min_relevance: float) -> tuple[Keys, Keys]:
    """Return the keys of an evaluation set's queries and of its gold passages.

    Args:
        paths: BEIR folders (the queries and passages of its qrels count); files of queries with their positives,
            in any form that training data has; files with one text a row, and ``.txt`` files, whose texts may be
            queries or passages.
        split: which qrels of a folder.
        min_relevance: the grade from which a passage is gold.

    Raises:
        HardnegError: a path is not there, or is none of those.
    """
    queries, passages = [_NONE], [_NONE]
    for path in paths:
        files = matching_files(path)
        if files:
            parts = [_held_out_of_file(file) for file in files]
        else:
            parts = [_held_out_of_folder(path, split, min_relevance)]
        queries += [part[0] for part in parts]
        passages += [part[1] for part in parts]
    return np.unique(np.concatenate(queries)), np.unique(np.concatenate(passages))


def _held_out_of_file(path: str) -> tuple[Keys, Keys]:
    if path.lower().endswith(".txt"):
        texts = [line.decode("utf-8", "replace") for _, line in lines(path) if line]
        return (text_keys(pa.array(texts, pa.string())),) * 2
    file = _look_into_held_out(path)
    found = {"queries": [_NONE], "passages": [_NONE]}
    for chunk in read_rows(file):
        if chunk.kind in found:
            found[chunk.kind].append(text_keys(chunk.table["text"]))
    queries, passages = np.concatenate(found["queries"]), np.concatenate(found["passages"])
    # A file of texts does not say whether they are queries or passages.
    return (passages, passages) if file.kind == "passages" else (queries, passages)


def _held_out_of_folder(path: str, split: str | None, min_relevance: float) -> tuple[Keys, Keys]:
    try:
        files = plan_inputs(InputOptions(input=path, split=split))
    except HardnegError as error:  # the same folder, but another option
        raise HardnegError(str(error).replace("--input", "--holdout").replace("--split", "--holdout-split")) from None
    of_kind = {
        kind: [replace(file, index=index) for index, file in enumerate(file for file in files if file.kind == kind)]
        for kind in ("queries", "passages", "qrels")
    }
    judged = read_judgements(of_kind["qrels"], min_relevance)
    queries, passages = (KeyMap(*read_text_keys(of_kind[kind], kind)[:2]) for kind in ("queries", "passages"))
    return queries.get(judged.query_ids), passages.get(judged.passage_ids)


def _look_into_held_out(path: str) -> InputFile:
    # No id is needed to compare texts; a query's text column may have names that a passage's has not.
    for kind, parts in (
        ("pairs", parts_of("pairs")),
        ("passages", parts_of("passages", with_corpus=True)),
        ("queries", parts_of("queries")[:1]),
    ):
        try:
            return look_into_rows(kind, path, parts)
        except HardnegError as error:
            last = error
    raise HardnegError(
        f"--holdout {path} holds no queries, passages or pairs of them ({str(last).rstrip('.')}): give a BEIR "
        "folder, or a file with a column `text`, or with `query` and `positive`."
    )

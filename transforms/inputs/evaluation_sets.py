"""Evaluation sets that must stay out of the triplets: their queries, and their gold passages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import pyarrow as pa

from hardneg.errors import HardnegError, InputError, parameter
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.core.hashing import KeyMap, Keys, digest_keys, id_keys, text_keys
from hardneg.transforms.inputs import synonyms
from hardneg.transforms.inputs.columns import parts_of
from hardneg.transforms.inputs.files import lines
from hardneg.transforms.inputs.formats.registry import ROW_FORMATS, bare_suffix
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.judgements import read_judgements, read_text_keys
from hardneg.transforms.inputs.looking import look_into
from hardneg.transforms.inputs.paths import FoundFile, is_folder, matching_files
from hardneg.transforms.inputs.planning import plan_beir
from hardneg.transforms.inputs.qrels import SAMPLE_LINES, are_qrels
from hardneg.transforms.inputs.rejections import Rejections
from hardneg.transforms.inputs.rows import read_rows

_NONE: Keys = np.zeros(0, dtype=np.uint64)
_ID = re.compile(r"(?=.*[0-9])[!-~]+")


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


@dataclass(frozen=True, eq=False)
class EvaluationSet(Holdout):
    """One evaluation set, as it was given.

    Attributes:
        path: the file or folder.
        rejections: rows that could not be used, fewer than would be refused; one entry for each file.
    """

    path: str = ""
    rejections: list[Rejections] = field(default_factory=list)


def held_out_of(sets: Sequence[EvaluationSet]) -> Holdout:
    """Return several evaluation sets as one."""
    if not sets:
        return NOTHING_HELD_OUT
    names = ("query_ids", "passage_ids", "query_texts", "passage_texts")
    return Holdout(*(np.unique(np.concatenate([getattr(each, name) for each in sets])) for name in names))


def read_evaluation_sets(paths: Sequence[str], min_relevance: float) -> list[EvaluationSet]:
    """Read evaluation sets.

    Args:
        paths: qrels, in any form that qrels have (their ids are this corpus's ids); BEIR folders (the queries and
            passages of its qrels count; FOLDER:SPLIT names one of several qrels); files of queries with their
            positives, in any form that training data has;
            files with one text a row, and ``.txt`` files, whose texts may be queries or passages. What a file is, is
            told by all of its first rows.
        min_relevance: the grade from which a passage is gold.

    Raises:
        InputError: a path is not there, is none of those, holds nothing, or holds what can't be used.
    """
    return [_checked(_read(path, min_relevance)) for path in paths]


def _read(given: str, min_relevance: float) -> EvaluationSet:
    path, split = _folder_and_split(given)
    files = matching_files(path, "holdout")
    if not files and is_folder(path):
        return _of_folder(path, split, min_relevance)
    if not files:
        raise InputError(f"{parameter('holdout')} {path} matches no file: check the path.", parameter="holdout")
    parts = [_of_file(file, min_relevance) for file in files]
    whole = held_out_of(parts)
    return EvaluationSet(
        whole.query_ids,
        whole.passage_ids,
        whole.query_texts,
        whole.passage_texts,
        path,
        [each for part in parts for each in part.rejections],
    )


def _folder_and_split(given: str) -> tuple[str, str | None]:
    """Return the folder of FOLDER:SPLIT and which of its qrels is meant; None: the only one."""
    folder, _, split = given.rpartition(":")
    return (folder, split) if split and "/" not in split and is_folder(folder) else (given, None)


def _checked(found: EvaluationSet) -> EvaluationSet:
    for rejections in found.rejections:
        rejections.check("holdout")
    keys = (found.query_ids, found.passage_ids, found.query_texts, found.passage_texts)
    if not any(len(each) for each in keys):
        raise InputError(
            f"{parameter('holdout')} {found.path} holds nothing to keep out: give the evaluation set's own file.",
            path=found.path,
            parameter="holdout",
        )
    return found


def _without_zero(keys: Keys) -> Keys:
    return np.unique(keys[keys != 0])  # the key of an empty text


def _of_file(file: FoundFile, min_relevance: float) -> EvaluationSet:
    if are_qrels(file.path):
        judged = read_judgements([look_into("qrels", file, ())], min_relevance)
        return EvaluationSet(judged.judged_queries, np.unique(judged.passage_ids), rejections=judged.rejections)
    if bare_suffix(file.path)[0] == ".txt":
        texts = [line.decode("utf-8", "replace") for _, line in lines(file.path) if line]
        keys = _without_zero(text_keys(pa.array(texts, pa.string())))
        return EvaluationSet(query_texts=keys, passage_texts=keys)
    return _of_texts(_look_into(file))


def _of_texts(file: InputFile) -> EvaluationSet:
    """Return the keys of a file's queries and positives, or of texts that may be either."""
    found: dict[str, list[Keys]] = {"queries": [_NONE], "passages": [_NONE]}
    rejections = Rejections(file)
    for chunk in read_rows(file):
        if chunk.kind in found:
            found[chunk.kind].append(text_keys(chunk.table["text"]))
        else:
            rejections.add_chunk(chunk)
    queries, passages = (_without_zero(np.concatenate(keys)) for keys in found.values())
    if file.kind == "passages":  # such a file does not say whether its texts are queries or passages
        queries = passages
    return EvaluationSet(query_texts=queries, passage_texts=passages, rejections=[rejections])


def _begins_with_ids(file: InputFile) -> bool:
    """Return whether an id stands before the text in each of the first rows: one word with a digit, each once."""
    rows = ROW_FORMATS[file.format].rows(file.path, file.head, (file.columns.text,))
    cells = [values[0] for _, values in islice(rows, SAMPLE_LINES) if not isinstance(values, str)]
    return len(set(cells)) == len(cells) and all(_ID.fullmatch(cell) for cell in cells)


def _of_folder(path: str, split: str | None, min_relevance: float) -> EvaluationSet:
    files = plan_beir(path, split, "holdout", None)
    of_kind = {kind: [file for file in files if file.kind == kind] for kind in ("queries", "passages", "qrels")}
    judged = read_judgements(of_kind["qrels"], min_relevance)
    queries, passages = (read_text_keys(of_kind[kind], kind) for kind in ("queries", "passages"))
    return EvaluationSet(
        query_texts=_without_zero(KeyMap(queries.ids, queries.texts).get(judged.query_ids)),
        passage_texts=_without_zero(KeyMap(passages.ids, passages.texts).get(judged.passage_ids)),
        path=path,
        rejections=[*judged.rejections, *queries.rejections, *passages.rejections],
    )


def _look_into(file: FoundFile) -> InputFile:
    # No id is needed to compare texts; a query's text column may have names that a passage's has not.
    text, identifier = parts_of("queries")
    asked = replace(text, known=tuple(name for name in text.known if name not in synonyms.PASSAGE_TEXTS))
    for kind, parts in (
        ("pairs", parts_of("pairs")),
        ("queries", (asked, replace(identifier, required=False))),
        ("passages", parts_of("passages", with_corpus=True)),
    ):
        try:
            looked = look_into(kind, file, parts)
        except HardnegError as error:
            last = error
        else:
            bare = ROW_FORMATS[looked.format].cells and not looked.header
            if bare and (kind == "queries" or (kind == "pairs" and _begins_with_ids(looked))):
                continue  # two columns without names: an id and a text, which may be a query's or a passage's
            return replace(looked, columns=replace(looked.columns, negatives=()))
    raise InputError(
        f"{parameter('holdout')} {file.path} holds no queries, passages or pairs of them "
        f"({last.told(parameter).rstrip('.')}): give a BEIR folder, qrels, or a file with a column `text`, or with "
        "`query` and `positive`.",
        path=file.path,
        parameter="holdout",
    )

"""Judgements, queries and passages as keys: what commands that mine nothing read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc

from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.hashing import Keys, id_keys, text_keys
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.rejections import Rejections, read_counting


@dataclass(frozen=True)
class TextKeys:
    """The rows of files of queries or passages.

    Attributes:
        ids: keys of their ids, shape (n,).
        texts: keys of their texts, shape (n,).
        file: the index of each row's file, shape (n,).
        line: its number in it, shape (n,).
        rejections: what could not be used, one entry for each file.
    """

    ids: Keys
    texts: Keys
    file: IntArray
    line: IntArray
    rejections: list[Rejections] = field(default_factory=list)


def read_text_keys(files: Sequence[InputFile], kind: str) -> TextKeys:
    """Return each row of ``queries`` or ``passages`` as keys of its id and its text, with its place.

    Raises:
        InputError: the files can't be read.
    """
    column = {"queries": "query_id", "passages": "passage_id"}[kind]
    rejections: list[Rejections] = []
    parts = [
        (id_keys(table[column]), text_keys(table["text"]), table["file"].to_numpy(), table["line"].to_numpy())
        for table in read_counting(files, kind, rejections)
    ]
    none = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64)
    ids, texts, file, line = (np.concatenate(each) for each in zip(none, *parts, strict=True))
    return TextKeys(ids, texts, file, line, rejections)


@dataclass(frozen=True)
class Judgements:
    """Judgements as keys of ids.

    Attributes:
        query_ids: the query of each pair judged relevant, uint64, shape (n,).
        passage_ids: its passage, shape (n,).
        judged_queries: every query that has a judgement, of whatever grade, each once.
        rejections: what could not be used, one entry for each file.
    """

    query_ids: Keys
    passage_ids: Keys
    judged_queries: Keys
    rejections: list[Rejections] = field(default_factory=list)


def read_judgements(files: Sequence[InputFile], min_relevance: float) -> Judgements:
    """Read qrels; a pair that is judged twice is relevant if one of the judgements says so.

    Raises:
        InputError: the files can't be read.
    """
    none = np.zeros(0, dtype=np.uint64)
    queries, passages, judged = [none], [none], [none]
    rejections: list[Rejections] = []
    for table in read_counting(files, "qrels", rejections):
        relevant = table.filter(pc.greater_equal(table["grade"], min_relevance))
        queries.append(id_keys(relevant["query_id"]))
        passages.append(id_keys(relevant["passage_id"]))
        judged.append(np.unique(id_keys(table["query_id"])))
    return Judgements(np.concatenate(queries), np.concatenate(passages), np.unique(np.concatenate(judged)), rejections)

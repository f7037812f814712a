"""Evaluation sets that must stay out of the triplets: their queries, and their gold passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from hardneg.errors import HardnegError
from hardneg.transforms.audit.references import read_held_out
from hardneg.transforms.core.hashing import Keys, digest_keys, id_keys
from hardneg.transforms.inputs.judgements import plan_files, read_judgements
from hardneg.transforms.judge.counts import BoolArray

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

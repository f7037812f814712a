"""What an audit compares a data set with: known positives and evaluation sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hardneg.errors import InputError, parameter
from hardneg.transforms.audit.auditing import EXAMPLES, Finding, Known, Records, id_conflicts
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.core.hashing import KeyMap, Keys, pair_keys
from hardneg.transforms.inputs.evaluation_sets import Holdout
from hardneg.transforms.inputs.formats.registry import place
from hardneg.transforms.inputs.input_files import InputFile
from hardneg.transforms.inputs.judgements import Judgements, read_text_keys
from hardneg.transforms.inputs.rejections import left_out
from hardneg.transforms.output.finished_run import FinishedRun

_NONE = np.zeros(0, dtype=np.uint64)
_EMPTY = KeyMap(_NONE, _NONE)


@dataclass(frozen=True)
class Reference:
    """Files of queries or passages as keys, and what is wrong with their ids.

    Attributes:
        texts: the text's key of each id.
        bare: likewise of passages without their titles, where they have some.
        conflicts: the ids that stand for two texts.
        notes: what of the files can't be used, a sentence each.
    """

    texts: KeyMap
    bare: KeyMap
    conflicts: Finding
    notes: list[str]


def read_reference(files: Sequence[InputFile], kind: str, given_as: str) -> Reference:
    """Read ``queries`` or ``passages``.

    Args:
        files: as planned.
        kind: which of the two.
        given_as: the parameter that they were given as.

    Raises:
        InputError: they can't be read, or too many rows can't be used.
    """
    column = {"queries": "query_id", "passages": "passage_id"}[kind]
    read = read_text_keys(files, kind)
    repeated = np.flatnonzero(id_conflicts(read.ids, read.texts))
    examples = [
        f"{place(files[int(read.file[row])], int(read.line[row]))}: {column} with another text than before"
        for row in repeated[:EXAMPLES]
    ]
    conflicts = Finding("duplicate_ids", len(np.unique(read.ids[repeated])), [*examples])
    titled = [replace(file, columns=replace(file.columns, title=None)) for file in files if file.columns.title]
    bare = read_text_keys(titled, kind)
    notes = left_out(read.rejections, given_as)
    return Reference(KeyMap(read.ids, read.texts), KeyMap(bare.ids, bare.texts), conflicts, notes)


@dataclass(frozen=True)
class KnownPairs:
    """Judged positives, as far as their texts are known. Arrays have one entry a pair.

    Attributes:
        query_ids, passage_ids: keys of their ids.
        query_texts: keys of the queries' texts, 0 where it is not known.
        passage_texts: likewise of the passages, by each form of their texts.
        whole: whether a passage without a text is in no triplet, since the run that made the set has none of it.
    """

    query_ids: Keys = field(default_factory=lambda: _NONE)
    passage_ids: Keys = field(default_factory=lambda: _NONE)
    query_texts: Keys = field(default_factory=lambda: _NONE)
    passage_texts: tuple[Keys, ...] = ()
    whole: bool = False

    def __len__(self) -> int:
        return len(self.query_ids)

    @property
    def with_texts(self) -> BoolArray:
        """Which pairs can be looked for by their texts, bool (n,)."""
        known = np.full(len(self), self.whole)
        for texts in self.passage_texts:
            known |= texts != 0
        return known & (self.query_texts != 0)

    def known(self) -> Known:
        """Return the pairs in the form in which they are looked for."""
        parts = [_NONE]
        for texts in self.passage_texts:
            both = (self.query_texts != 0) & (texts != 0)
            parts.append(pair_keys(self.query_texts[both], texts[both]))
        return Known(np.unique(np.concatenate(parts)), pair_keys(self.query_ids, self.passage_ids))

    def by_texts(self) -> tuple[Keys, Keys]:
        """Return (query, passage), as keys of their texts, for every form of a passage's text that is known."""
        both = [(self.query_texts != 0) & (texts != 0) for texts in self.passage_texts]
        queries = [self.query_texts[known] for known in both]
        passages = [texts[known] for texts, known in zip(self.passage_texts, both, strict=True)]
        return np.concatenate([_NONE, *queries]), np.concatenate([_NONE, *passages])

    def compared(self, records: Records) -> int:
        """Return how many pairs are of a query of a set, and so would be found there."""
        hit = self.with_texts & np.isin(self.query_texts, records.anchor)
        if records.negatives.id.any():
            hit |= np.isin(self.query_ids, records.query_id)
        return int(hit.sum())


def known_pairs(judged: Judgements, queries: KeyMap | None, passages: Sequence[KeyMap], whole: bool) -> KnownPairs:
    """Return judged positives with their texts.

    Args:
        judged: the judgements.
        queries: the text's key of each query id; None: not known.
        passages: likewise of passages, with and without their titles.
        whole: as in ``KnownPairs``.
    """
    texts = (queries or _EMPTY).get(judged.query_ids)
    return KnownPairs(
        judged.query_ids, judged.passage_ids, texts, tuple(each.get(judged.passage_ids) for each in passages), whole
    )


def held_out_texts(held_out: Holdout, records: Records, run: FinishedRun | None) -> tuple[Keys, Keys]:
    """Return the keys of the texts of held-out queries and passages; ids are looked up in the set, or in its run.

    Raises:
        InputError: there are only ids, and the set has none.
    """
    queries, passages = held_out.query_texts, held_out.passage_texts
    if not len(held_out.query_ids) and not len(held_out.passage_ids):
        return queries, passages
    if run:
        of_queries, of_passages = run.text_keys("queries"), run.text_keys("passages")
    else:
        parts = (records.positives, records.negatives)
        of_queries = KeyMap(records.query_id, records.anchor)
        of_passages = KeyMap(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("id", "text")))
        if not records.query_id.any() and not any(part.id.any() for part in parts):
            raise InputError(
                f"{parameter('holdout')} gives ids, and the set has none to compare with: give the evaluation set's "
                "texts, such as its BEIR folder.",
                parameter="holdout",
            )
    found = (of_queries.get(held_out.query_ids), of_passages.get(held_out.passage_ids))
    return np.concatenate([queries, found[0]]), np.concatenate([passages, found[1]])

"""The door to filters: what one is told of a block's candidates, and what it has to say of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.core.block import TextsOf
from hardneg.transforms.core.source import Source
from hardneg.transforms.filters.verdicts import Meaning, Verdict


@dataclass
class Candidates:
    """A block's candidates as a filter sees them. Arrays have one entry a candidate.

    Attributes:
        table: merged candidates, sorted by query and passage id: ``passage_id``, ``text_digest``, ``fused_rank``, a
            rank and a signal a retriever, the corpus columns that pass through.
        queries: the block's, of the JOINED schema.
        query: int64; the row of its query in ``queries``.
        positive: bool; known positives of their query.
        held_out: bool; gold passages of an evaluation set.
        marked: bool; pairs that a person marked as relevant.
        asked: bool; rows whose answer is of use. The others' may be anything.
        sources: the retrievers.
        texts_of: passage strings by (segment, row).
        logits: float32; the cross-encoder's, NaN where it was not asked. For a guard, all are NaN.
    """

    table: pa.Table
    queries: pa.Table
    query: IntArray
    positive: BoolArray
    held_out: BoolArray
    marked: BoolArray
    asked: BoolArray
    sources: tuple[Source, ...]
    texts_of: TextsOf
    logits: npt.NDArray[np.float32]
    _texts: dict[int, str] = field(default_factory=dict, init=False)

    def texts(self, rows: IntArray) -> list[str]:
        """Return the passage strings of some rows; each is fetched once."""
        new = np.array([row for row in rows.tolist() if row not in self._texts], dtype=np.int64)
        if len(new):
            segments, places = (self.table[name].to_numpy()[new] for name in ("segment", "row"))
            self._texts.update(zip(new.tolist(), self.texts_of(segments, places), strict=True))
        return [self._texts[row] for row in rows.tolist()]


class Filter(ABC):
    """One demand on a negative. A subclass is a frozen dataclass whose fields are its settings.

    It travels with the policy, pickled, so it must stand in a module that workers can import.

    Attributes:
        reason: what the column ``reason`` says of candidates that it takes out; unlike any other filter's.
        stage: ``guard``: asked before anything is scored, so that what it takes out costs nothing; ``threshold``:
            asked once the pair has its logit.
        sentence: what the reason means, as in ``Meaning``.
        beside: as in ``Meaning``.
        options: the fields that are settings. They are part of a judge file's conditions, and stand beside the
            reason in ``report --why``.
        written_as: the options of a run that give them, where those are called otherwise.
        of_labels: whether it treats a candidate by the labelled positives of its query, beyond being unlike them. No
            rate can be estimated from labelled ones then.
        instead_of_target: whether it is one of the thresholds that a target, or another threshold, replaces.
        always: whether it is asked whatever the options are, of what a run was told pair by pair. That says nothing
            of a threshold, so it is no part of a judge file's conditions.
    """

    reason: ClassVar[str]
    stage: ClassVar[Literal["guard", "threshold"]]
    sentence: ClassVar[str]
    beside: ClassVar[Mapping[Verdict, str]] = {}
    options: ClassVar[tuple[str, ...]] = ()
    written_as: ClassVar[tuple[str, ...]] = ()
    of_labels: ClassVar[bool] = False
    instead_of_target: ClassVar[bool] = False
    always: ClassVar[bool] = False

    @abstractmethod
    def applies(self, candidates: Candidates) -> BoolArray:
        """Return which candidates are to be taken out: bool (n,).

        Known positives are asked about, too, each against the *other* positives of its query: one that would be
        taken out, were it not known, does not count in a calibration.
        """

    @property
    def verdict(self) -> Verdict:
        """What becomes of what a guard takes out."""
        return Verdict.DROPPED

    @classmethod
    def of_options(cls, given: Mapping[str, Any]) -> Self | None:
        """Return the filter that a run's options ask for; None where they ask for none."""
        own = {name: given[name] for name in cls.options if given.get(name) is not None}
        return cls(**own) if own or cls.always else None

    def describe(self) -> dict[str, Any]:
        """Return its part of a judge file's conditions: JSON values, by name."""
        return {} if self.always else {name: getattr(self, name) for name in self.options} or {self.reason: True}

    @classmethod
    def absent(cls) -> dict[str, Any]:
        """Return the same of a run without it."""
        return {} if cls.always else dict.fromkeys(cls.options or (cls.reason,))

    @classmethod
    def meaning(cls) -> Meaning:
        return Meaning(cls.reason, cls.stage, cls.sentence, cls.written_as or cls.options, cls.beside)

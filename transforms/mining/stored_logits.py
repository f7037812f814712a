"""Scoring pairs with the cross-encoder, once: what was scored before lies in the store, pair by pair."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hardneg.errors import ModelError
from hardneg.transforms.core.counters import count
from hardneg.transforms.core.progress import record, timed
from hardneg.transforms.models.loaded import Reranker, cross_encoder
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.store.filling import Filling
from hardneg.transforms.store.known_models import described
from hardneg.transforms.store.shelf import LOGIT_ROW, Shelf, logit_shelf
from hardneg.transforms.store.uses import StorePlace
from hardneg.transforms.store.value_keys import ValueKeys, logit_keys

STAGE = "score"


@dataclass
class StoredLogits:
    """A function from (query texts, passage strings) to (logits, cut), which remembers each pair.

    Equal pairs are scored once. What is scored is stored every few seconds, and before an error. One is made for each
    block, whose pairs are a range of the store's keys. The model is loaded when a pair has to be scored.

    Attributes:
        work: the run's work folder, for its progress.
        place: the store.
        spec: the cross-encoder.
        fingerprint: what the model's must be, where its scores will stand beside those of a finished run.
        describe: says what the model is, without loading it where the store knows.
        load: loads it.
        announced: pairs still to come that progress was told of as expected.
        computed: pairs that were scored, each once.
        found: pairs that were not: they were in the store, or equal to others.
    """

    work: str
    place: StorePlace
    spec: ModelSpec | RemoteSpec
    fingerprint: str | None = None
    describe: Callable[[StorePlace, ModelSpec | RemoteSpec], dict[str, Any]] = described
    load: Callable[[ModelSpec | RemoteSpec], Reranker] = cross_encoder
    announced: int = 0
    computed: int = 0
    found: int = 0
    _shelf: Shelf | None = None
    _asked: list[ValueKeys] = field(default_factory=list)

    def __call__(self, queries: Sequence[str], passages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        with timed(self.work, STAGE):
            self._expect(len(queries))
            shelf = self._opened()
            keys = logit_keys(queries, passages)
            self._asked.append(keys)
            hits = shelf.find(keys)
            unknown = np.flatnonzero(~hits.known)
            # One row of each pair, in the order given: rows of one query stay together.
            rows = unknown[np.sort(np.unique(keys[unknown], return_index=True)[1])]
            record(self.work, STAGE, done=len(keys) - len(rows))
            self.found += len(keys) - len(rows)
            self.computed += len(rows)
            if len(rows):
                fresh = self._score(shelf, keys[rows], [queries[row] for row in rows], [passages[row] for row in rows])
                order = np.argsort(keys[rows])
                hits.values[unknown] = fresh[order[np.searchsorted(keys[rows][order], keys[unknown])]]
            return hits.values["logit"].copy(), hits.values["cut"].copy()

    def announce(self, pairs: int) -> None:
        """Tell progress how many pairs will be asked for, about: how many turns out on the way."""
        record(self.work, STAGE, expected=pairs - self.announced)
        self.announced = pairs

    def _expect(self, pairs: int) -> None:
        told = min(self.announced, pairs)
        record(self.work, STAGE, expected=pairs - told)
        self.announced -= told

    def note_uses(self) -> dict[str, int]:
        """Note in the store which pairs were used, and return (name, number) of what was found and computed."""
        damaged = 0
        if self._shelf is not None:
            if self._asked:
                self._shelf.use(np.concatenate(self._asked))
            damaged = self._shelf.damaged
        return {"logits_computed": self.computed, "logits_found": self.found, "store_files_damaged": damaged}

    def _opened(self) -> Shelf:
        if self._shelf is None:
            description = self.describe(self.place, self.spec)
            if self.fingerprint not in (None, description["fingerprint"]):
                raise ModelError(
                    f"cross-encoder {self.spec.model}: it, its libraries or this machine's kind differ from what "
                    "scored the stored run, so their scores would not compare; mine from the inputs instead."
                )
            self._shelf = logit_shelf(self.place, description)
        return self._shelf

    def _score(self, shelf: Shelf, keys: ValueKeys, queries: list[str], passages: list[str]) -> np.ndarray:
        """Score pairs and store them; return rows of ``LOGIT_ROW``, shape (n,)."""
        model = self.load(self.spec)
        if model.fingerprint != self.describe(self.place, self.spec)["fingerprint"]:
            raise ModelError(
                f"cross-encoder {self.spec.model}: what is loaded is not what {self.place.root} says that it is; its "
                "files changed meanwhile: start the run again."
            )
        values = np.zeros(len(keys), dtype=LOGIT_ROW)
        started = time.monotonic()
        try:
            with Filling(shelf) as filling:
                for rows, logits, cut in model.parts(queries, passages):
                    record(self.work, STAGE, done=len(rows))
                    values["logit"][rows], values["cut"][rows] = logits, cut
                    filling.put(keys[rows], values[rows])
        finally:
            count("model_milliseconds_cross_encoder", round(1000 * (time.monotonic() - started)))
        return values

"""Scoring pairs with the cross-encoder, once: what was scored before lies in the work folder, pair by pair."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from hardneg.errors import ModelError
from hardneg.transforms.core.counters import count
from hardneg.transforms.core.progress import record, timed
from hardneg.transforms.mining.logit_store import LogitStore, pair_keys
from hardneg.transforms.models.cross_encoder import Part
from hardneg.transforms.models.loaded import Reranker, cached, cross_encoder, evict
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.models.spec import ModelSpec

STAGE = "score"
_STORE_AFTER = 30.0  # seconds: what is lost when a worker is killed


class StoredLogits:
    """A function from (query texts, passage strings) to (logits, cut), which remembers each pair.

    Equal pairs are scored once. What is scored is stored every half minute, and before an error.

    Args:
        work: the run's work folder.
        spec: the cross-encoder.
        fingerprint: what the model's must be, where its scores will stand beside stored ones.
    """

    def __init__(self, work: str, spec: ModelSpec | RemoteSpec, fingerprint: str | None = None) -> None:
        self._work = work
        self._spec = spec
        self._fingerprint = fingerprint

    def __call__(self, queries: Sequence[str], passages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        with timed(self._work, STAGE):
            # The sum of what blocks ask for, which grows: how many of a query's pairs are scored turns out on the way.
            record(self._work, STAGE, expected=len(queries))
            model = cross_encoder(self._spec)
            if self._fingerprint not in (None, model.fingerprint):
                raise ModelError(
                    f"cross-encoder {self._spec.model}: it, its libraries or this machine's kind differ from what "
                    "scored the stored run, so their scores would not compare; mine from the inputs instead."
                )
            store = logit_store(self._work, model.fingerprint)
            keys = pair_keys(model.fingerprint, queries, passages)
            unknown = np.flatnonzero(np.isnan(store.find(keys)[0]))
            # One row of each pair, in the order given: rows of one query stay together.
            rows = unknown[np.sort(np.unique(keys[unknown], return_index=True)[1])]
            record(self._work, STAGE, done=len(keys) - len(rows))
            self._score(model, store, keys[rows], [queries[row] for row in rows], [passages[row] for row in rows])
            return store.find(keys)

    def _score(
        self, model: Reranker, store: LogitStore, keys: np.ndarray, queries: list[str], passages: list[str]
    ) -> None:
        finished: list[Part] = []
        started = stored = time.monotonic()
        try:
            for rows, logits, cut in model.parts(queries, passages):
                record(self._work, STAGE, done=len(rows))
                finished.append((keys[rows], logits, cut))
                if time.monotonic() - stored >= _STORE_AFTER:
                    _store(store, finished)
                    stored = time.monotonic()
        finally:
            _store(store, finished)
            count("model_milliseconds_cross_encoder", round(1000 * (time.monotonic() - started)))


def logit_store(work: str, fingerprint: str) -> LogitStore:
    """Return the process's store of a work folder's logits, read when first asked for."""
    return cached((STAGE, work, fingerprint), lambda: LogitStore(work, fingerprint))


def evict_logits(work: str) -> None:
    """Let go of what this process has of a work folder's logits: the folder is another run's now."""
    evict(STAGE, work)


def _store(store: LogitStore, finished: list[Part]) -> None:
    if finished:
        keys, logits, cut = (np.concatenate(column) for column in zip(*finished, strict=True))
        finished.clear()
        store.add(keys, logits, cut)

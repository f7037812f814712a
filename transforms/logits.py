"""Scoring pairs with the cross-encoder, once: what a killed run scored lies in the work folder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardneg.errors import HardnegError
from hardneg.transforms import storage
from hardneg.transforms.cross_encoder import CrossEncoder
from hardneg.transforms.embedding import store_array, stored_array, texts_digest
from hardneg.transforms.model_files import ModelSpec
from hardneg.transforms.progress import record, timed
from hardneg.transforms.resources import cross_encoder

STAGE = "score"


class StoredLogits:
    """A function from (query texts, passage strings) to (logits, cut), which remembers by the pairs' content.

    Args:
        work: the run's work folder.
        spec: the cross-encoder.
        fingerprint: what the model's must be, where its scores will stand beside stored ones.
    """

    def __init__(self, work: str, spec: ModelSpec, fingerprint: str | None = None) -> None:
        self._work = work
        self._spec = spec
        self._fingerprint = fingerprint

    def __call__(self, queries: Sequence[str], passages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        with timed(self._work, STAGE):
            model: CrossEncoder = cross_encoder(self._spec)
            if self._fingerprint not in (None, model.fingerprint):
                raise HardnegError(
                    f"cross-encoder {self._spec.model}: it, its libraries or this machine's kind differ from what "
                    "scored the stored run, so their scores would not compare; mine from the inputs instead."
                )
            address = texts_digest(model.fingerprint, queries, passages)
            path = storage.join(self._work, "logits", f"{address}.npy")
            stored = stored_array(path)
            if stored is None:
                logits, cut_pairs = model.score(queries, passages, lambda done: record(self._work, STAGE, done=done))
                store_array(path, np.stack([logits, cut_pairs.astype(np.float32)]))
                return logits, cut_pairs
            record(self._work, STAGE, done=len(queries))
            return stored[0], stored[1] > 0

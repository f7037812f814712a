"""The bundled cross-encoder as the peer's miner asks it, with each pair scored once, and stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hardneg.transforms.core.arrays import sigmoid
from hardneg.transforms.mining.logit_store import pair_keys
from hardneg.transforms.mining.stored_logits import StoredLogits, logit_store
from hardneg.transforms.models.loaded import cross_encoder
from hardneg.transforms.models.spec import ModelSpec


class StoredJudge:
    """What ``mine_hard_negatives`` asks of a cross-encoder, answered from a store.

    The function asks for one query's pairs at a time. Each call is a chance to listen instead: a first call of the
    function collects its pairs, ``score`` scores them all, and a second call gets the answers. It can be killed and
    goes on.

    Args:
        folder: where the logits are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._spec = ModelSpec("cross-encoder", "bundled")
        self._folder = str(folder)
        self.fingerprint = cross_encoder(self._spec).fingerprint
        self._asked: dict[tuple[str, str], None] = {}

    def know(self, queries: Sequence[str], passages: Sequence[str], logits: Sequence[float]) -> None:
        """Store what the same model has scored elsewhere."""
        keys = pair_keys(self.fingerprint, queries, passages)
        store = logit_store(self._folder, self.fingerprint)
        new = np.isnan(store.find(keys)[0])
        store.add(keys[new], np.array(logits, dtype=np.float32)[new], np.zeros(int(new.sum()), dtype=bool))

    def score(self) -> None:
        """Score what was asked for and is not known."""
        StoredLogits(self._folder, self._spec)(*zip(*self._asked, strict=True))

    def predict(self, pairs: Sequence[tuple[str, str]], **_: Any) -> torch.Tensor:
        """Return sigmoids, float32, as sentence-transformers' ``CrossEncoder`` does; NaN where not yet known."""
        self._asked.update(dict.fromkeys(pairs))
        keys = pair_keys(self.fingerprint, *zip(*pairs, strict=True))
        return torch.from_numpy(sigmoid(logit_store(self._folder, self.fingerprint).find(keys)[0]))

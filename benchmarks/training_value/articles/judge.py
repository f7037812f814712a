"""The bundled cross-encoder as the peer's miner asks it, with each pair scored once, and stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hardneg.transforms.core.arrays import sigmoid
from hardneg.transforms.mining.stored_logits import StoredLogits
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.store.known_models import described
from hardneg.transforms.store.shelf import LOGIT_ROW, logit_shelf
from hardneg.transforms.store.uses import StorePlace
from hardneg.transforms.store.value_keys import logit_keys


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
        self._place = StorePlace(self._folder)
        self.fingerprint = described(self._place, self._spec)["fingerprint"]
        self._shelf = logit_shelf(self._place, described(self._place, self._spec))
        self._asked: dict[tuple[str, str], None] = {}

    def know(self, queries: Sequence[str], passages: Sequence[str], logits: Sequence[float]) -> None:
        """Store what the same model has scored elsewhere."""
        keys = logit_keys(queries, passages)
        new = ~self._shelf.find(keys).known
        values = np.zeros(len(keys), dtype=LOGIT_ROW)
        values["logit"] = np.array(logits, dtype=np.float32)
        self._shelf.add(keys[new], values[new])

    def score(self) -> None:
        """Score what was asked for and is not known."""
        StoredLogits(self._folder, self._place, self._spec)(*zip(*self._asked, strict=True))
        self._shelf = logit_shelf(self._place, described(self._place, self._spec))

    def predict(self, pairs: Sequence[tuple[str, str]], **_: Any) -> torch.Tensor:
        """Return sigmoids, float32, as sentence-transformers' ``CrossEncoder`` does; NaN where not yet known."""
        self._asked.update(dict.fromkeys(pairs))
        hits = self._shelf.find(logit_keys(*zip(*pairs, strict=True)))
        return torch.from_numpy(sigmoid(np.where(hits.known, hits.values["logit"], np.float32(np.nan))))

"""Values on their way into a shelf: stored every few seconds, so that a killed run loses no more than that."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import numpy as np

from hardneg.transforms.store.shelf import Shelf
from hardneg.transforms.store.value_files import StoredValues
from hardneg.transforms.store.value_keys import ValueKeys

STORE_AFTER = 20.0  # seconds of a model's work


class Filling:
    """Gathers what a model computes, and stores it every few seconds, at the end, and before an error.

    Args:
        shelf: the model's.
        seconds: after which it is stored.

    Attributes:
        computed: values that were put in.
    """

    def __init__(self, shelf: Shelf, seconds: float = STORE_AFTER) -> None:
        self.computed = 0
        self._shelf = shelf
        self._seconds = seconds
        self._parts: list[tuple[ValueKeys, StoredValues]] = []
        self._stored = time.monotonic()

    def put(self, keys: ValueKeys, values: StoredValues) -> None:
        """Take some keys and their values, shape (n, ...)."""
        self._parts.append((keys, values))
        self.computed += len(keys)
        if time.monotonic() - self._stored >= self._seconds:
            self._store()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store()

    def _store(self) -> None:
        if self._parts:
            keys, values = (np.concatenate(column) for column in zip(*self._parts, strict=True))
            self._parts.clear()
            self._shelf.add(keys, values)
        self._stored = time.monotonic()

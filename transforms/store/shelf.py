"""A shelf: the values of one model in a store, by the digests of their texts.

A shelf's folder is `KIND/FINGERPRINT`: `model.json` describes the model, and each `.parquet` beside it holds some
values, sorted by key. Files are written whole and never changed, so any number of processes may write at once, and
a reader sees all of a file or nothing of it. A damaged one is set aside, and its values are computed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from hardneg.errors import RunError
from hardneg.transforms.core import storage
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.store.uses import StorePlace, use_folder
from hardneg.transforms.store.value_files import DamagedFile, StoredValues, find_in_file, packed, parse_name
from hardneg.transforms.store.value_keys import EMBEDDING_KEY, LOGIT_KEY, ValueKeys, first_bytes

EMBEDDINGS, LOGITS = "embeddings", "logits"
LOGIT_ROW = np.dtype([("logit", "<f4"), ("cut", "?")])
MODEL = "model.json"
ASIDE = "damaged"
_FINGERPRINT = 32  # hex digits of it that name a folder
_ATTEMPTS = 5


@dataclass(frozen=True)
class Hits:
    """What a shelf has of the keys that it was asked for.

    Attributes:
        known: bool (n,).
        values: shape (n, ...); zeros where unknown.
    """

    known: BoolArray
    values: StoredValues


class Shelf:
    """The stored values of one model.

    Args:
        place: the store.
        kind: ``embeddings`` or ``logits``.
        description: of the model, with its ``fingerprint``.
        key: of the keys, S16 or S24.
        value: of one value, a structure or numbers of one shape.

    Attributes:
        damaged: files that were set aside while this shelf read them.
    """

    def __init__(
        self, place: StorePlace, kind: str, description: Mapping[str, Any], key: np.dtype, value: np.dtype
    ) -> None:
        self.folder = shelf_folder(place.root, kind, description["fingerprint"])
        self.damaged = 0
        self._uses = use_folder(place, kind, description["fingerprint"]) if place.use else None
        self._description = description
        self._key, self._value = key, value
        self._files = value_files_in(self.folder)

    def find(self, keys: ValueKeys) -> Hits:
        """Return the values of keys, in their order, as far as they are stored.

        Of each file that may have one of them, the parts are read that may.
        """
        wanted, back = np.unique(keys, return_inverse=True)
        known = np.zeros(len(wanted), dtype=np.bool_)
        values = np.zeros(len(wanted), dtype=self._value)
        for _ in range(_ATTEMPTS):
            if self._look(wanted, known, values):
                return Hits(known[back], values[back])
            self._files = value_files_in(self.folder)  # another process has put files together
        raise RunError(f"{self.folder}: its files change faster than they can be read; start the command again.")

    def add(self, keys: ValueKeys, values: StoredValues) -> None:
        """Store values; of a key that comes twice, the first one counts.

        Raises:
            OSError: the disk is full, or the store cannot be written.
        """
        if not len(keys):
            return
        if not self._files:
            self._describe()
        keys, first = np.unique(keys, return_index=True)
        self._files.append(write_values(self.folder, keys, values[first]))

    def use(self, keys: ValueKeys) -> None:
        """Note that a run that keeps notes used these keys: ``collect_garbage`` leaves them."""
        if self._uses and len(keys):
            keys = np.unique(keys)
            write_values(self._uses, keys, np.zeros(len(keys), dtype=np.uint8))

    def _look(self, wanted: ValueKeys, known: BoolArray, values: StoredValues) -> bool:
        """Fill in what the files have; return whether all of them were there."""
        all_there = True
        for path in list(self._files):
            open_places = np.flatnonzero(~known)
            if not len(open_places):
                return True
            asked = wanted[open_places]
            if not _may_have(path, asked):
                continue
            try:
                for places, data in find_in_file(path, asked):
                    values[open_places[places]] = np.frombuffer(data, dtype=self._value)
                    known[open_places[places]] = True
            except DamagedFile:
                self._set_aside(path)
            except FileNotFoundError:
                all_there = False
        return all_there

    def _set_aside(self, path: str) -> None:
        self._files.remove(path)
        self.damaged += set_aside(path)

    def _describe(self) -> None:
        path = storage.join(self.folder, MODEL)
        if not storage.exists(path):
            data = json.dumps(self._description, indent=1, ensure_ascii=False).encode()
            storage.write_file(path, partial(_write, data))


def embedding_shelf(place: StorePlace, description: Mapping[str, Any]) -> Shelf:
    """Return the shelf of a bi-encoder's embeddings, float32, shape (n, dimension)."""
    value = np.dtype(("<f4", (description["dimension"],)))
    return Shelf(place, EMBEDDINGS, description, EMBEDDING_KEY, value)


def logit_shelf(place: StorePlace, description: Mapping[str, Any]) -> Shelf:
    """Return the shelf of a cross-encoder's logits: rows of ``LOGIT_ROW``, shape (n,)."""
    return Shelf(place, LOGITS, description, LOGIT_KEY, LOGIT_ROW)


def shelf_folder(root: str, kind: str, fingerprint: str) -> str:
    return storage.join(root, kind, fingerprint[:_FINGERPRINT])


def value_files_in(folder: str) -> list[str]:
    """Return the paths of a folder's files of values, sorted."""
    if storage.is_local(folder):  # a folder's name may hold what a glob takes for a pattern
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return sorted(os.path.join(folder, name) for name in names if parse_name(name))
    return [path for path in storage.list_files(storage.join(folder, "*")) if parse_name(path)]


def write_values(folder: str, keys: ValueKeys, values: StoredValues) -> str:
    """Write a file of values, whole or not at all; return its path. Keys are sorted, each once."""
    name, data = packed(keys, values)
    path = storage.join(folder, name)
    storage.write_file(path, partial(_write, data))
    return path


def set_aside(path: str) -> bool:
    """Move a damaged file into the folder `damaged` beside it; return whether it was there."""
    folder, name = path.rsplit("/", 1)
    target = storage.join(folder, ASIDE, name)
    try:
        if storage.is_local(path):
            Path(target).parent.mkdir(exist_ok=True)
            os.replace(path, target)
        else:
            data = storage.read_file(path)
            storage.write_file(target, partial(_write, data))
            storage.delete_file(path)
    except OSError:
        if storage.exists(path):
            raise
        return False  # another process did
    return True


def _may_have(path: str, keys: ValueKeys) -> bool:
    """Return whether sorted keys reach into a file's range."""
    named = parse_name(path)
    assert named is not None
    heads = first_bytes(keys) >> 16
    return bool(np.searchsorted(heads, named.first, "left") < np.searchsorted(heads, named.last, "right"))


def _write(data: bytes, sink: IO[bytes]) -> None:
    sink.write(data)

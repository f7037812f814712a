"""Notes of which run used what: `uses/RUN/`, so that what no kept output uses can be dropped.

`begun.json` says which output the notes belong to; files of keys follow while the run goes, and `ended.json` at its
end. Notes count as long as their output is there, or their run may still be going on.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from hardneg.transforms.core import storage

VALUES, USES = "values", "uses"
BEGUN, ENDED = "begun.json", "ended.json"


@dataclass(frozen=True)
class StorePlace:
    """Where a run's models store what they compute.

    Attributes:
        root: the store's folder of values.
        use: the name of the run's notes of what it used; None: nobody else uses the store, so there are none.
    """

    root: str
    use: str | None = None


def values_of(store: str) -> str:
    """Return the folder of values of a store, which holds other things, too."""
    return storage.join(store, VALUES)


def use_name(output: str) -> str:
    """Return the name of the notes of the run that writes an output."""
    return hashlib.sha256(_absolute(output).encode()).hexdigest()[:16]


def use_folder(place: StorePlace, kind: str, fingerprint: str) -> str:
    """Return the folder of the keys that a run used of a shelf."""
    assert place.use is not None
    return storage.join(place.root, USES, place.use, kind, fingerprint[:32])


def begin_use(place: StorePlace, output: str) -> None:
    """Begin a run's notes; those of an earlier run that wrote the same output are dropped."""
    if place.use is None:
        return
    folder = storage.join(place.root, USES, place.use)
    drop_use(folder)
    _note(storage.join(folder, BEGUN), {"output": _absolute(output), "time": time.time()})


def end_use(place: StorePlace) -> None:
    """Say that a run's notes are complete; may be called twice."""
    if place.use is not None:
        _note(storage.join(place.root, USES, place.use, ENDED), {"time": time.time()})


def drop_use(folder: str) -> None:
    """Delete a run's notes, the one that makes them count first."""
    for name in (ENDED, BEGUN):
        storage.delete_file(storage.join(folder, name))
    if storage.is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        storage.delete_files(storage.join(folder, "**"))


def _absolute(output: str) -> str:
    return os.path.abspath(output) if storage.is_local(output) else output


def _note(path: str, what: dict[str, Any]) -> None:
    data = json.dumps(what).encode()
    storage.write_file(path, partial(_write_note, data))


def _write_note(data: bytes, sink: IO[bytes]) -> None:
    sink.write(data)

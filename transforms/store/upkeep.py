"""The upkeep of a store: what is in it, whether it is sound, and dropping what no kept output uses."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hardneg.transforms.core import storage
from hardneg.transforms.store.shelf import EMBEDDINGS, LOGITS, MODEL, set_aside, value_files_in, write_values
from hardneg.transforms.store.uses import BEGUN, ENDED, USES, drop_use
from hardneg.transforms.store.value_files import DamagedFile, check_file, read_range, rows_in

_PART_BYTES = 64 << 20  # of the files that are made of many small ones: what is held at a time
_DEAD_AFTER = 2 * 86400.0  # seconds after which a run that has not ended is taken for dead
_HEADS = 1 << 32


class ShelfSummary(NamedTuple):
    """What a store has of one model.

    Attributes:
        kind: ``embeddings`` or ``logits``.
        model: as it was named.
        fingerprint: of the model.
        values: how many.
        files: how many.
        bytes: of all files.
        last_used: seconds since 1970 when the last run that keeps notes began to use it; None: no notes.
    """

    kind: str
    model: str
    fingerprint: str
    values: int
    files: int
    bytes: int
    last_used: float | None


@dataclass(frozen=True)
class Use:
    """A run's notes.

    Attributes:
        folder: of the notes.
        output: what the run writes.
        begun: seconds since 1970.
        ended: whether they are complete.
    """

    folder: str
    output: str
    begun: float
    ended: bool

    def under_way(self, now: float) -> bool:
        """Return whether the run may still be going on."""
        return not self.ended and now - self.begun < _DEAD_AFTER

    @property
    def kept(self) -> bool:
        """Whether what the run wrote is there."""
        file = self.output if self.output.endswith(".json") else storage.join(self.output, "manifest.json")
        return storage.exists(file)


class Dropped(NamedTuple):
    """What the upkeep of a shelf did: values before and after, bytes before and after."""

    kind: str
    model: str
    before: int
    after: int
    bytes_before: int
    bytes_after: int


def list_shelves(root: str) -> list[ShelfSummary]:
    """Return what a store's folder of values holds, by model; damaged files are left out."""
    uses = uses_in(root)
    found = []
    for kind, folder in _shelves(root):
        description, files = _model(folder), value_files_in(folder)
        notes = [use.begun for use in uses if value_files_in(storage.join(use.folder, kind, _name(folder)))]
        rows = sum(_rows(path) for path in files)
        found.append(
            ShelfSummary(
                kind,
                str(description.get("model", "?")),
                str(description.get("fingerprint", _name(folder))),
                rows,
                len(files),
                sum(_size(path) for path in files),
                max(notes, default=None),
            )
        )
    return found


def verify_shelves(root: str) -> Iterator[tuple[str, bool]]:
    """Read every file of values again; yield (path, whether it is sound). Damaged ones are set aside."""
    for _, folder in _shelves(root):
        for path in value_files_in(folder):
            try:
                check_file(path)
            except DamagedFile:
                set_aside(path)
                yield path, False
            except FileNotFoundError:
                continue  # another process has put files together
            else:
                yield path, True


def collect_garbage(root: str, now: Callable[[], float] = time.time) -> Iterator[Dropped]:
    """Drop the values that no kept output uses, and put small files together; yield what became of each shelf.

    Notes whose output is gone, and whose run has ended or is taken for dead, are dropped first. What was written since
    a run that may still be going on began stays. Held at a time: 64 MB of values. Safe beside other runs: new files are
    there before old ones go, and a reader whose file is gone looks again.
    """
    uses, kept = uses_in(root), []
    for use in uses:
        if use.kept or use.under_way(now()):
            kept.append(use)
        else:
            drop_use(use.folder)
    since = min((use.begun for use in kept if use.under_way(now())), default=None)
    for kind, folder in _shelves(root):
        yield _collect(kind, folder, [storage.join(use.folder, kind, _name(folder)) for use in kept], since)


def uses_in(root: str) -> list[Use]:
    """Return the runs that have notes in a store."""
    found = []
    for folder in _subfolders(storage.join(root, USES)):
        try:
            begun = json.loads(storage.read_file(storage.join(folder, BEGUN)))
            ended = storage.exists(storage.join(folder, ENDED))
            found.append(Use(folder, str(begun["output"]), float(begun["time"]), ended))
        except (OSError, ValueError, KeyError):
            continue  # being written, or dropped
    return found


def _collect(kind: str, folder: str, notes: Sequence[str], since: float | None) -> Dropped:
    files = [path for path in value_files_in(folder) if since is None or _time(path) < since]
    model = str(_model(folder).get("model", "?"))
    before, size = sum(_rows(path) for path in files), sum(_size(path) for path in files)
    if not files:
        return Dropped(kind, model, 0, 0, 0, 0)
    parts = -(-size // _PART_BYTES)
    used = [path for note in notes for path in value_files_in(note)]
    made, after = [], 0
    for part in range(parts):
        low, high = _HEADS * part // parts, _HEADS * (part + 1) // parts
        # A damaged file gives nothing, and its values have no width that goes with the others'.
        loaded = [found for path in files if len((found := _range(path, low, high))[0])]
        if not loaded:
            continue
        keys, first = np.unique(np.concatenate([keys for keys, _ in loaded]), return_index=True)
        values = np.concatenate([values for _, values in loaded])[first]
        asked = [_range(path, low, high)[0] for path in used]
        wanted = np.isin(keys, np.concatenate([keys[:0], *asked]))
        after += int(wanted.sum())
        if wanted.any():
            made.append(write_values(folder, keys[wanted], values[wanted]))
    for path in set(files) - set(made):
        storage.delete_file(path)
    return Dropped(kind, model, before, after, size, sum(_size(path) for path in made))


def _range(path: str, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        return read_range(path, low, high)
    except DamagedFile:
        set_aside(path)
    except FileNotFoundError:
        pass
    return np.empty(0, "S1"), np.empty(0, "V1")


def _rows(path: str) -> int:
    try:
        return rows_in(path)
    except (DamagedFile, FileNotFoundError):
        return 0


def _shelves(root: str) -> Iterator[tuple[str, str]]:
    for kind in (EMBEDDINGS, LOGITS):
        for folder in _subfolders(storage.join(root, kind)):
            yield kind, folder


def _subfolders(folder: str) -> list[str]:
    if storage.is_local(folder):
        return sorted(str(path) for path in Path(folder).glob("*") if path.is_dir())
    inside = [path[len(folder) + 1 :].split("/")[0] for path in storage.list_files(storage.join(folder, "**"))]
    return [storage.join(folder, name) for name in sorted(set(inside))]


def _model(folder: str) -> dict[str, Any]:
    try:
        return json.loads(storage.read_file(storage.join(folder, MODEL)))
    except (OSError, ValueError):
        return {}


def _name(folder: str) -> str:
    return folder.rsplit("/", 1)[-1]


def _size(path: str) -> int:
    return os.path.getsize(path) if storage.is_local(path) else storage.match(path)[0].size_in_bytes


def _time(path: str) -> float:
    return os.path.getmtime(path) if storage.is_local(path) else storage.match(path)[0].last_updated_in_seconds

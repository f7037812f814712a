"""The published results of a store, by date: which there are, and which one readers are to take.

``STORE/LATEST`` is one small JSON object that names a folder of ``STORE/snapshots``. It is overwritten last, so who
reads it is never between two.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime

from hardneg.errors import RunError
from hardneg.transforms.core import storage
from hardneg.transforms.output.manifest import MANIFEST

LATEST = "LATEST"
SNAPSHOTS = "snapshots"
REFUSED = "refused"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{4}(\d{2})?)?")


def is_date(text: str) -> bool:
    """Return whether a snapshot may be called so: a date, or a date with a time of day."""
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def snapshot_folder(store: str, date: str) -> str:
    """Return the folder of a snapshot."""
    return storage.join(store, SNAPSHOTS, date)


def refused_folder(store: str, date: str) -> str:
    """Return the folder of a snapshot that did not pass its gates."""
    return storage.join(store, REFUSED, date)


def snapshot_dates(store: str, kind: str = SNAPSHOTS) -> list[str]:
    """Return the dates of the snapshots that are whole, ascending."""
    folder = storage.join(store, kind)
    if storage.is_local(store):
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return sorted(name for name in names if is_date(name) and os.path.isfile(os.path.join(folder, name, MANIFEST)))
    paths = storage.list_files(storage.join(folder, "*", MANIFEST))
    return sorted(name for path in paths if is_date(name := path.split("/")[-2]))


def latest_snapshot(store: str) -> str | None:
    """Return the date of the snapshot that ``LATEST`` names; None if nothing was published yet.

    Raises:
        RunError: the file is damaged, or its snapshot is not there.
    """
    path = storage.join(store, LATEST)
    if not storage.exists(path):
        return None
    try:
        date = json.loads(storage.read_file(path))["snapshot"]
        if not is_date(date):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise RunError(
            f"{path} is damaged; `hardneg refresh --store {store} --rollback DATE` writes it again.", path=path
        ) from None
    if not storage.exists(storage.join(snapshot_folder(store, date), MANIFEST)):
        raise RunError(
            f"{path} names {date}, which is not in {storage.join(store, SNAPSHOTS)}; `hardneg refresh --store {store} "
            "--rollback DATE` names another.",
            path=path,
        )
    return date


def point_at(store: str, date: str) -> None:
    """Let ``LATEST`` name a snapshot; one small object, replaced whole."""
    told = {"snapshot": date, "path": f"{SNAPSHOTS}/{date}"}
    data = (json.dumps(told) + "\n").encode()
    storage.write_file(storage.join(store, LATEST), lambda sink: sink.write(data))


def prune(store: str, keep: int) -> list[str]:
    """Delete all but the newest snapshots, published and refused apart; return the dates of those that went.

    The one that ``LATEST`` names stays, however old. A snapshot's manifest goes first, so that none looks whole that
    is not.
    """
    latest, gone = latest_snapshot(store), []
    for kind in (SNAPSHOTS, REFUSED):
        for date in snapshot_dates(store, kind)[:-keep]:
            if kind == REFUSED or date != latest:
                folder = storage.join(store, kind, date)
                storage.delete_files(storage.join(folder, MANIFEST))
                storage.delete_folder(folder)
                gone.append(date)
    return gone


def earlier_snapshot(store: str, date: str) -> str | None:
    """Return the last snapshot before a date; None if there is none."""
    return max((each for each in snapshot_dates(store) if each < date), default=None)


def free_date(store: str, now: datetime, asked: str | None = None) -> str:
    """Return the name of a new snapshot: the day's, or, where that is taken, with the time of day.

    Args:
        store: the store.
        now: the time.
        asked: a name to begin with instead of the day's.
    """
    taken = {*snapshot_dates(store), *snapshot_dates(store, REFUSED)}
    day = (asked or now.strftime("%Y-%m-%d")).partition("T")[0]
    names = [asked or day, now.strftime(f"{day}T%H%M"), now.strftime(f"{day}T%H%M%S")]
    for name in names:
        if name not in taken:
            return name
    raise RunError(f"{store} has a snapshot of this very second already; start again.")

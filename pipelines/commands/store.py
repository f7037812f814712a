"""`hardneg store`: what a store holds, whether it is sound, and dropping what no kept output uses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hardneg.errors import RunError
from hardneg.transforms.core import storage
from hardneg.transforms.store.upkeep import collect_garbage, list_shelves, verify_shelves
from hardneg.transforms.store.uses import values_of


class Store:
    """What models computed for earlier runs, kept for later ones; `mine --store` and `refresh` fill it.

    Args:
        root: the store's folder, local or in an object store.

    Raises:
        RunError: there is none.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._values = values_of(root)
        if storage.is_local(root) and not storage.exists(self._values):
            raise RunError(
                f"{root} is no store: it has no folder {self._values.rsplit('/', 1)[-1]}; give the folder of "
                "`mine --store` or `refresh --store`.",
                path=root,
            )

    def shelves(self) -> list[dict[str, Any]]:
        """Return, of each model: kind, model, fingerprint, values, files, bytes, last_used (ISO 8601, or None)."""
        rows = [shelf._asdict() for shelf in list_shelves(self._values)]
        for row in rows:
            if row["last_used"] is not None:
                row["last_used"] = datetime.fromtimestamp(row["last_used"], UTC).isoformat(timespec="seconds")
        return rows

    def verify(self) -> dict[str, Any]:
        """Read everything again; return how many files are sound, and which were damaged and have been set aside."""
        found = list(verify_shelves(self._values))
        damaged = [path for path, sound in found if not sound]
        return {"files": len(found), "sound": len(found) - len(damaged), "damaged": damaged}

    def collect(self) -> list[dict[str, Any]]:
        """Drop what no kept output uses; return, of each model: values and bytes before and after."""
        return [dropped._asdict() for dropped in collect_garbage(self._values)]

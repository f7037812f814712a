"""hardneg: denoised hard negatives for embedding models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hardneg.api import Run, audit, load_candidates, mine
    from hardneg.compat.drop_in import mine_hard_negatives
    from hardneg.pipelines.commands.store import Store
    from hardneg.snapshots import Snapshot, latest, refresh

__version__ = "0.1.0"
__all__ = [
    "Run",
    "Snapshot",
    "Store",
    "__version__",
    "audit",
    "latest",
    "load_candidates",
    "mine",
    "mine_hard_negatives",
    "refresh",
]

# Imported when first asked for: most of them load Beam and torch.
_MODULES = {
    **dict.fromkeys(("Run", "audit", "load_candidates", "mine"), "hardneg.api"),
    **dict.fromkeys(("Snapshot", "latest", "refresh"), "hardneg.snapshots"),
    "Store": "hardneg.pipelines.commands.store",
    "mine_hard_negatives": "hardneg.compat.drop_in",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

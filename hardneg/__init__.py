"""hardneg: denoised hard negatives for embedding models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hardneg.api import Run, Snapshot, audit, latest, load_candidates, mine, refresh
    from hardneg.compat.drop_in import mine_hard_negatives
    from hardneg.pipelines.commands.store import Store

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
    **dict.fromkeys(("Run", "Snapshot", "audit", "latest", "load_candidates", "mine", "refresh"), "hardneg.api"),
    "Store": "hardneg.pipelines.commands.store",
    "mine_hard_negatives": "hardneg.compat.drop_in",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""hardneg: denoised hard negatives for embedding models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hardneg.st_compat import mine_hard_negatives

__version__ = "0.1.0"
__all__ = ["__version__", "mine_hard_negatives"]

_MODULES = {"mine_hard_negatives": "hardneg.st_compat"}  # imported when first asked for: they load torch


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

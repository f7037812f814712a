"""``mine_hard_negatives`` of sentence-transformers, with hardneg"s policies: in memory, over live models."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "drop_in": ["mine_hard_negatives"],
    },
)

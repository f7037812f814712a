"""One module for each command; its function has the command"s name, and prints nothing."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["audit", "calibrate", "driver", "estimate", "evaluate", "export", "publish", "refresh", "train_judge"],
    submod_attrs={
        "audit": ["AuditReport", "Example", "Fault"],
        "driver": ["make_plan", "mine", "mine_tables"],
        "evaluate": ["Evaluation"],
    },
)

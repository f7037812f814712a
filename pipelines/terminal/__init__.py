"""What a person sees in a terminal: progress while a command works, tables of what it found."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "display": ["TrainingDisplay", "watching"],
        "tables": ["fault_table", "figure_table", "judge_table", "pair_table", "write_json"],
    },
)

"""What `hardneg report` tells of a finished run: its figures, its page, and the story of one pair."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["report", "why"],
    submod_attrs={
        "html": ["write_report"],
        "reason_texts": ["meaning"],
        "report": ["Report"],
        "tables": ["denoising_line", "denoising_text"],
        "why": ["Why"],
        "why_table": ["why_table"],
    },
)

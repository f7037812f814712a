"""Beam graphs of a run: read, retrieve, calibrate, mine, write; and the same from a finished run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibrate_and_mine": ["add_calibration"],
        "mine": ["build", "build_reading", "retrieve"],
        "remine": ["build_from_run", "read_back", "stored_manifest"],
    },
)

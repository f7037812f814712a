"""How many cases hypothesis tries: `HYPOTHESIS_PROFILE=ci` all that a test asks for, `fast` the first few of them."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

FEW = 25

settings.register_profile("ci", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=FEW)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")


def examples(number: int, few: int = FEW, **more: Any) -> settings:
    """Return the settings of a test that asks for a number of cases of its own, and for fewer where it must be fast."""
    return settings(deadline=None, max_examples=min(number, few) if PROFILE == "fast" else number, **more)

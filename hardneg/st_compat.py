"""The name under which ``mine_hard_negatives`` stood first; it stands in ``hardneg.compat`` now."""

from __future__ import annotations

from hardneg.compat.drop_in import mine_hard_negatives

__all__ = ["mine_hard_negatives"]

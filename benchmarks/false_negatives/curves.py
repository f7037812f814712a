"""Whether one miner's curve of false negatives against hardness lies below another's, and where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.false_negatives.figures import Point

YIELD_TOLERANCE = 0.0005  # yields that print alike


@dataclass(frozen=True)
class Comparison:
    """Our curve where the peer has a point.

    Attributes:
        setting: the peer's.
        hardness: the peer's.
        softest: that of our softest point.
        peer_mined: how many it mined.
        peer_rate: its false-negative rate.
        peer_yield: its yield.
        rate: ours at this hardness, interpolated, or that of our softest point where that is harder; None where all
            of our curve is softer.
        yielded: our yield there.
    """

    setting: str
    hardness: float
    softest: float
    peer_mined: int
    peer_rate: float
    peer_yield: float
    rate: float | None
    yielded: float | None

    @property
    def is_below(self) -> bool:
        """Whether our rate is lower, at no lower yield."""
        return self.has_lower_rate and not self.has_lower_yield

    @property
    def has_lower_rate(self) -> bool:
        return self.rate is not None and self.rate < self.peer_rate

    @property
    def is_out_of_reach(self) -> bool:
        """Whether we have no point of this hardness, nor one that is better on both axes."""
        return self.rate is None or (self.hardness < self.softest and not self.has_lower_rate)

    @property
    def has_lower_yield(self) -> bool:
        return self.yielded is not None and self.yielded < self.peer_yield - YIELD_TOLERANCE


def compare(ours: Sequence[Point], peer: Sequence[Point]) -> list[Comparison]:
    """Compare our curve with each of the peer's points, at equal hardness.

    Where the peer's point is softer than all of our curve, with our softest point: harder, and if its rate is lower
    too, better on both axes.
    """
    usable = [point for point in ours if point.hardness.value is not None]
    points = sorted(usable, key=lambda point: (point.hardness.value or 0.0, point.rate.value or 0.0))
    hardness = np.array([point.hardness.value for point in points], dtype=np.float64)
    rate = np.array([point.rate.value for point in points], dtype=np.float64)
    yielded = np.array([point.yielded.value for point in points], dtype=np.float64)
    found = []
    for other in peer:
        if other.hardness.value is None or other.rate.value is None or other.yielded.value is None or not points:
            continue
        at = other.hardness.value
        values: tuple[float | None, float | None] = (None, None)
        if at <= hardness[-1]:  # np.interp stays at the first point below it
            values = float(np.interp(at, hardness, rate)), float(np.interp(at, hardness, yielded))
        theirs = other.mined, other.rate.value, other.yielded.value
        found.append(Comparison(other.setting, at, float(hardness[0]), *theirs, *values))
    return found


def sentence(name: str, found: Sequence[Comparison]) -> str:
    """Return in one sentence over how much of the peer's range our curve lies below its own, and where not."""
    if not found:
        return f"{name}: nothing to compare."
    span = f"{min(each.hardness for each in found):.3f} to {max(each.hardness for each in found):.3f}"
    if all(each.is_below for each in found):
        return f"{name}: below the peer's curve over its whole range of hardness ({span}), at no lower yield."
    below = sum(each.is_below for each in found)
    said = [f"{name}: below the peer's curve, at no lower yield, at {below} of {len(found)} of its points ({span})"]
    for what, which in (
        ("at a lower yield", [each for each in found if each.has_lower_rate and each.has_lower_yield]),
        ("not below", [each for each in found if not each.has_lower_rate and not each.is_out_of_reach]),
        ("harder than all of ours", [each for each in found if each.rate is None]),
        ("softer than all of ours", [each for each in found if each.rate is not None and each.is_out_of_reach]),
    ):
        if which:
            said.append(f"{what}: " + ", ".join(map(_place, which)))
    return "; ".join(said) + "."


def _place(each: Comparison) -> str:
    if each.rate is None or each.yielded is None:
        return f"{each.setting} (hardness {each.hardness:.3f})"
    return (
        f"{each.setting} (hardness {each.hardness:.3f}: {each.rate:.1%} against {each.peer_rate:.1%} "
        f"of {each.peer_mined:,}, "
        f"yield {each.yielded:.1%} against {each.peer_yield:.1%})"
    )

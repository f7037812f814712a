"""From all pairs of a run to the mined ones, step by step, with what left at each step and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hardneg.transforms.filters.registry import meanings
from hardneg.transforms.filters.verdicts import Verdict

# What a pair is counted by: its verdict and its reason.
PairKind = tuple[str, str | None]

# Each step's name, and what becomes of what it takes out.
_STAGES = {
    "not known relevant": "known relevant",
    "past the masks": "known to be no negative",
    "past the guards": "stopped by a guard",
    "judged": "never judged",
    "passed": "failed a threshold",
}
_STAGE_OF = {"mask": "past the masks", "guard": "past the guards"}


@dataclass(frozen=True)
class Step:
    """A step of the funnel.

    Attributes:
        name: what is true of the pairs that are left.
        left: how many they are.
        gone_as: what is true of the pairs that the step took out.
        gone: how many they are, by verdict and reason, most first.
    """

    name: str
    left: int
    gone_as: str = ""
    gone: tuple[tuple[PairKind, int], ...] = ()


def funnel(kinds: Mapping[PairKind, int], mined: int) -> list[Step]:
    """Return the steps from all pairs of ``candidates/`` to the mined ones, in the order in which they are taken.

    Args:
        kinds: pairs by verdict and reason.
        mined: the negatives that were selected.
    """
    stages: dict[str, Counter[PairKind]] = {name: Counter() for name in _STAGES}
    for kind, pairs in kinds.items():
        if (stage := _taken_out_by(kind)) is not None:
            stages[stage][kind] += pairs
    left = sum(kinds.values())
    steps = [Step("retrieved, or known relevant", left)]
    for name, gone in stages.items():
        left -= gone.total()
        steps.append(Step(name, left, _STAGES[name], tuple(sorted(gone.items(), key=_most_first))))
    spare = (((str(Verdict.NEGATIVE), None), left - mined),) if left > mined else ()
    return [*steps, Step("mined", mined, "passed, but not needed", spare)]


def _most_first(counted: tuple[PairKind, int]) -> tuple[int, str, str]:
    (verdict, reason), pairs = counted
    return -pairs, verdict, reason or ""


def _taken_out_by(kind: PairKind) -> str | None:
    verdict, reason = kind
    if verdict == Verdict.NEGATIVE:
        return None
    if verdict == Verdict.POSITIVE:
        return "not known relevant"
    if verdict == Verdict.UNSCORED:
        return "judged"
    known = meanings().get(reason or "")
    return _STAGE_OF.get(known.kind, "passed") if known else "passed"

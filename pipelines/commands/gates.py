"""Whether a snapshot is sound: each gate's figure beside its limit; ``gates.json``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hardneg.pipelines.commands.audit import audit
from hardneg.pipelines.options.finished import AuditOptions
from hardneg.pipelines.options.gates import GateOptions

GATES = "gates.json"
ACCIDENT = 0.01  # a drift whose p-value is not below this may be one


@dataclass(frozen=True)
class Gate:
    """One gate.

    Attributes:
        name: as in the options.
        limit: what is asked.
        figure: what the snapshot came to; None: it has no such figure.
        passed: whether it holds.
        sentence: in words.
    """

    name: str
    limit: float | int | bool
    figure: float | int | None
    passed: bool
    sentence: str


def check_gates(asked: GateOptions, told: dict[str, Any], result: str, holdout: list[str]) -> list[Gate]:
    """Hold a snapshot against its gates.

    Args:
        asked: the gates.
        told: its ``diff.json``.
        result: its folder.
        holdout: its evaluation sets.

    Raises:
        HardnegError: it can't be audited.
    """
    found = [*_of_rows(asked, told), *_of_figures(asked, told), *_of_drift(asked, told)]
    return [*found, *_of_audit(asked, told, result, holdout)]


def _now(told: dict[str, Any], name: str) -> Any:
    return told["figures"][name][1]


def _of_rows(asked: GateOptions, told: dict[str, Any]) -> Iterator[Gate]:
    rows = _now(told, "triplets")
    if asked.min_rows is not None:
        yield Gate(
            "min-rows", asked.min_rows, rows, rows >= asked.min_rows, f"{rows:,} triplets, at least {asked.min_rows:,}"
        )
    before = told["figures"]["triplets"][0]
    if asked.max_drop is not None and before:
        drop = max(0.0, 1 - rows / before)
        sentence = f"{rows:,} triplets are {drop:.1%} fewer than {before:,}, at most {asked.max_drop:.1%}"
        yield Gate("max-drop", asked.max_drop, drop, drop <= asked.max_drop, sentence)
    if asked.max_churn is not None and told["triplets"] and (churn := told["triplets"]["churn"]) is not None:
        sentence = f"{churn:.1%} of the last snapshot's triplets are gone or changed, at most {asked.max_churn:.1%}"
        yield Gate("max-churn", asked.max_churn, churn, churn <= asked.max_churn, sentence)


def _of_figures(asked: GateOptions, told: dict[str, Any]) -> Iterator[Gate]:
    limit = asked.max_false_negative_rate
    if limit is not None:
        bound = _now(told, "false_negative_rate_at_most")
        said = f"the false-negative rate is at most {bound:.2%}" if bound is not None else "the rate has no bound"
        yield Gate(
            "max-false-negative-rate", limit, bound, bound is not None and bound <= limit, f"{said}, asked {limit:.2%}"
        )
    limit = asked.max_without_negatives
    if limit is not None:
        share = _now(told, "share_without_negatives")
        passed = share is not None and share <= limit
        sentence = f"{share or 0:.1%} of the queries have no negative, at most {limit:.1%}"
        yield Gate("max-without-negatives", limit, share, passed, sentence)


def _of_drift(asked: GateOptions, told: dict[str, Any]) -> Iterator[Gate]:
    moved, limit = told["drift"], asked.max_drift
    if limit is None or moved is None:
        return
    statistic, chance = moved["statistic"], moved["p_value"]
    test = f"(Kolmogorov-Smirnov, p {chance:.2g})"
    sentence = f"the positives' judge scores moved by {statistic:.3f} {test}, at most {limit:.3f}"
    yield Gate("max-drift", limit, statistic, statistic <= limit or chance >= ACCIDENT, sentence)


def _of_audit(asked: GateOptions, told: dict[str, Any], result: str, holdout: list[str]) -> Iterator[Gate]:
    if not asked.audit or not _now(told, "triplets"):
        return
    faults = audit([result], AuditOptions.model_validate({"holdout": holdout})).faults
    count = sum(fault.count for fault in faults)
    said = "; ".join(f"{fault.count:,} {fault.title}" for fault in faults) or "nothing"
    yield Gate("audit", True, count, not faults, f"the audit found {said}")

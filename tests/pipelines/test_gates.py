"""What a snapshot must come to before it is published, and what is said where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from finished_run import candidate, write_run

from hardneg.errors import OptionError
from hardneg.pipelines.commands.gates import Gate, check_gates
from hardneg.pipelines.options.gates import GateOptions, gates_of
from hardneg.pipelines.options.refresh import BEFORE, config_of_refresh, with_rollback

EVERYTHING_OFF = ["min-rows=off", "max-drop=off", "max-drift=off", "audit=off"]


def told(**given: Any) -> dict[str, Any]:
    """Return what diff.json says, as far as gates go by it."""
    figures = {
        "triplets": [100, 80],
        "false_negative_rate_at_most": [0.01, 0.03],
        "share_without_negatives": [0.0, 0.25],
    }
    drift = {"statistic": 0.2, "p_value": 0.001}
    return {"figures": figures, "triplets": {"churn": 0.4}, "drift": drift} | given


def asked(*given: str, table: dict[str, Any] | None = None) -> GateOptions:
    return gates_of(table or {}, [*EVERYTHING_OFF, *given])


def checked(*given: str, **diff: Any) -> Gate:
    (gate,) = check_gates(asked(*given), told(**diff), "", [])
    return gate


@pytest.mark.parametrize(
    ("passes", "fails", "sentence"),
    [
        ("min-rows=80", "min-rows=81", "80 triplets, at least 81"),
        ("max-drop=0.2", "max-drop=0.19", "80 triplets are 20.0% fewer than 100, at most 19.0%"),
        ("max-churn=0.4", "max-churn=0.39", "40.0% of the last snapshot's triplets are gone or changed, at most 39.0%"),
        (
            "max-false-negative-rate=0.03",
            "max-false-negative-rate=0.02",
            "the false-negative rate is at most 3.00%, asked 2.00%",
        ),
        (
            "max-without-negatives=0.25",
            "max-without-negatives=0.2",
            "25.0% of the queries have no negative, at most 20.0%",
        ),
        (
            "max-drift=0.2",
            "max-drift=0.1",
            "the positives' judge scores moved by 0.200 (Kolmogorov-Smirnov, p 0.001), at most 0.100",
        ),
    ],
)
def test_each_gate_passes_up_to_its_limit(passes: str, fails: str, sentence: str) -> None:
    assert checked(passes).passed
    gate = checked(fails)
    assert (gate.name, gate.passed, gate.sentence) == (fails.partition("=")[0], False, sentence)


def test_what_may_be_an_accident_is_no_drift() -> None:
    assert checked("max-drift=0.1", drift={"statistic": 0.2, "p_value": 0.02}).passed


def test_a_first_snapshot_is_compared_with_nothing() -> None:
    first = told(triplets=None, drift=None)
    first["figures"]["triplets"] = [None, 80]
    gates = check_gates(asked("min-rows=1", "max-drop=0", "max-churn=0", "max-drift=0"), first, "", [])
    assert [gate.name for gate in gates] == ["min-rows"]


def test_a_rate_without_a_bound_fails() -> None:
    diff = told()
    diff["figures"]["false_negative_rate_at_most"] = [None, None]
    (gate,) = check_gates(asked("max-false-negative-rate=0.5"), diff, "", [])
    assert not gate.passed
    assert gate.sentence.startswith("the rate has no bound")


def test_what_the_audit_finds_fails(tmp_path: Path) -> None:
    texts = {"p1": "one", "p2": "two"}
    for name, negative, passes in (("sound", "p2", True), ("wrong", "p1", False)):
        rows = [
            candidate("q1", "p1", "positive", logit=1.0),
            candidate("q1", negative, "negative", logit=-1.0, selected=1),
        ]
        folder = write_run(tmp_path / name, {"q1": "question"}, texts, rows, negatives=1)
        (gate,) = check_gates(asked("audit=on"), told(), str(folder), [])
        assert gate.passed == passes
    assert "negatives that are a positive of their query" in gate.sentence


def test_options_win_over_the_table() -> None:
    gates = gates_of({"max-drop": 0.2, "min-rows": 5}, ["max-drop=0.3", "max-drift=off"])
    assert (gates.max_drop, gates.min_rows, gates.max_drift, gates.audit) == (0.3, 5, None, True)
    assert gates_of({"audit": "off"}, []).audit is False


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("drop=0.1", r"gate drop: there is no such gate; there are min-rows, max-drop, .*, audit"),
        ("max-drop", "gate max-drop: write NAME=VALUE"),
        ("max-drop=2", "max_drop: input should be less than or equal to 1"),
    ],
)
def test_a_gate_that_is_none_is_named(given: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        gates_of({}, [given])
    with pytest.raises(OptionError, match="gates is a table"):
        gates_of(3, [])


def test_what_the_store_decides_is_refused() -> None:
    with pytest.raises(OptionError, match="output is not for a refresh: store decides it"):
        config_of_refresh({"output": "there"}, "store", "2026-11-28", None)


def test_a_pinned_judge_brings_its_own_threshold() -> None:
    config = config_of_refresh({"target_leak_rate": 0.1, "gates": {}, "keep": 3}, "store", "2026-11-28", "judge.json")
    assert (config.judge_file, config.target_leak_rate) == ("judge.json", None)
    assert (config.output, config.work_folder) == ("store/snapshots/2026-11-28", "store/work")


def test_rollback_needs_no_date() -> None:
    assert with_rollback(["refresh", "--rollback"]) == ["refresh", "--rollback", BEFORE]
    assert with_rollback(["refresh", "--rollback", "--store", "s"])[2] == BEFORE
    assert with_rollback(["refresh", "--rollback", "2026-11-28"])[2] == "2026-11-28"

"""What a person reads of a snapshot's difference: on a terminal of 80 columns, and on the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hardneg.errors import RunError
from hardneg.pipelines.report.difference import (
    change_line,
    change_rows,
    difference_table,
    drift_line,
    figure_rows,
    read_difference,
    store_line,
)

HOSTILE = "<script>alert(1)</script>"
TOLD: dict[str, Any] = {
    "before": "2026-11-27T0215",
    "now": "2026-11-28T0215",
    "same_judge": True,
    "changed": ["the inputs"],
    "triplets": {
        "churn": 0.125,
        "added": {"count": 1234567, "examples": [["q1", HOSTILE, "p2"]]},
        "removed": {"count": 7, "examples": []},
        "changed": {"count": 0, "examples": []},
    },
    "queries": {"gained": {"count": 2, "examples": [["q9"]]}, "lost": {"count": 0, "examples": []}},
    "figures": {"triplets": [1234567, 2345678], "yield": [0.5, 0.75], "hardness": [None, 0.4]},
    "scores": {},
    "drift": {"statistic": 0.0312, "p_value": 0.4, "positives": [3, 4], "medians": [1.0, 2.0]},
    "store": {"pairs": 0.95, "passages": None, "queries": 1.0},
}


def test_it_fits_a_terminal() -> None:
    console = Console(width=80, record=True)
    console.print(difference_table(TOLD))
    lines = console.export_text().splitlines()
    assert any("2026-11-27T0215" in line and "2026-11-28T0215" in line for line in lines)
    assert all("…" not in line for line in lines), "nothing is cut"


def test_its_sentences() -> None:
    assert change_line(TOLD) == (
        "Triplets: 1,234,567 added, 7 removed, 0 changed (12.5% of 2026-11-27T0215 gone or another). "
        "Queries: 2 gained, 0 lost."
    )
    assert drift_line(TOLD) == "The positives' judge scores moved by 0.031 (Kolmogorov-Smirnov, p 0.4)."
    assert drift_line(TOLD | {"same_judge": False}) == "Another judge than before: its scores do not compare."
    assert store_line(TOLD) == "Found in the store: pairs 95.0%, passages unknown, queries 100.0%."
    assert figure_rows(TOLD)[0] == ("triplets", "1,234,567", "2,345,678")
    assert change_rows(TOLD)[0] == ("triplets added", 1234567, [f"q1 / {HOSTILE} / p2"])


def test_a_first_snapshot_has_no_changes() -> None:
    first = TOLD | {"before": None, "triplets": None, "queries": None, "drift": None}
    assert (change_rows(first), change_line(first), drift_line(first)) == ([], None, None)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert read_difference(str(tmp_path)) is None
    (tmp_path / "diff.json").write_text(json.dumps([]))
    with pytest.raises(RunError, match=r"diff\.json is no diff\.json of ours"):
        read_difference(str(tmp_path))

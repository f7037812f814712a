"""Both DAGs are read without an error, and ask of Airflow what they should; what exit codes come to."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from conftest import DAGS
from hardneg_commands import COMMON, HardnegOperator, may_pass, settings_of


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(str(DAGS))


def test_both_are_read(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == {"hardneg_refresh", "hardneg_refresh_dataflow"}


@pytest.mark.parametrize("name", ["hardneg_refresh", "hardneg_refresh_dataflow"])
def test_one_run_at_a_time_no_run_of_the_past_and_attempts_that_go_on(bag: DagBag, name: str) -> None:
    dag = bag.dags[name]
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    assert [task.task_id for task in dag.topological_sort()] == ["refresh", "publish", "audit", "notify"]
    assert min(task.retries or 0 for task in dag.tasks) >= 1
    assert all(task.retry_delay > timedelta(0) for task in dag.tasks)


def test_dataflow_is_started_by_a_flex_template(bag: DagBag, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is asked of it, once the settings are in it."""
    settings = {"store": "gs://bucket/store", "project": "mine", "region": "europe-west1", "template": "gs://b/t.json"}
    monkeypatch.setenv("AIRFLOW_VAR_HARDNEG_REFRESH_DATAFLOW", json.dumps(settings))
    dag = bag.dags["hardneg_refresh_dataflow"]
    task = dag.get_task("refresh")
    assert isinstance(task, DataflowStartFlexTemplateOperator)
    assert task.deferrable
    told = task.render_template([task.body, task.project_id, task.location], dag.user_defined_macros or {})
    launch = told[0]["launchParameter"]
    assert told[1:] == ["mine", "europe-west1"]
    assert (launch["containerSpecGcsPath"], launch["parameters"]["store"]) == ("gs://b/t.json", "gs://bucket/store")


class Told:
    """What a task instance is asked for here."""

    def __init__(self) -> None:
        self.pushed: Any = None

    def xcom_push(self, key: str, value: Any) -> None:
        assert key == "return_value"
        self.pushed = value


def ended(monkeypatch: pytest.MonkeyPatch, program: str) -> tuple[BaseException | None, Any]:
    """Return what a task raises whose command is a Python program, and its XCom."""
    settings = {"store": "/store", "executable": [sys.executable, "-c", program]}
    monkeypatch.setenv("AIRFLOW_VAR_TRIED", json.dumps(settings))
    task = HardnegOperator(
        task_id="tried",
        variable="tried",
        defaults=COMMON,
        arguments=lambda settings, ti: ["try", "a b;$(id)", "--", "x"],
    )
    ti = Told()
    try:
        return None, task.execute({"ti": ti})
    except AirflowException as error:
        return error, ti.pushed


def line(code: int, **told: Any) -> str:
    """Return a program that ends as a command does."""
    said = json.dumps({"command": "try", "exit": code, "outcome": "..."} | told)
    return f"import sys; print('{{not JSON'); print({said!r}); print('late', file=sys.stderr); sys.exit({code})"


def test_arguments_reach_the_command_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell between, and --json before what is Beam's."""
    program = "import json, sys; print(json.dumps({'command': 'try', 'exit': 0, 'outcome': sys.argv[1:]}))"
    error, told = ended(monkeypatch, program)
    assert error is None
    assert told["outcome"] == ["try", "a b;$(id)", "--json", "--", "x"]


@pytest.mark.parametrize(
    ("program", "again"),
    [
        (line(1, outcome="faults found"), False),
        (line(1, outcome="faults found", error={"code": "bug", "message": "OSError: ..."}), True),
        (line(2, error={"code": "option", "message": "..."}), False),
        (line(2, error={"code": "service", "message": "..."}), True),
        (line(3, refused=["..."]), False),
        (line(4, error={"code": "locked", "message": "..."}), True),
        (line(5, error={"code": "not-ended", "message": "..."}), True),
        (line(130), True),
        ("import os; os.kill(os.getpid(), 9)", True),
        # An older line, and then a death: what counts is how it ended.
        (line(0).replace("sys.exit(0)", "sys.exit(137)"), True),
    ],
)
def test_what_another_attempt_may_change_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, program: str, again: bool
) -> None:
    error, told = ended(monkeypatch, program)
    assert isinstance(error, AirflowException)
    assert isinstance(error, AirflowFailException) is not again
    assert may_pass(told) is again
    assert told["command"] == "try"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"store": "/s", "shop": "x"}, "'shop': there is no such setting"),
        ({"store": "/s", "executable": "hardneg --x"}, "write a list of strings"),
        ({}, "names no store"),
    ],
)
def test_settings_that_do_not_hold(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_TRIED", json.dumps(settings))
    with pytest.raises(AirflowFailException, match=message):
        settings_of("tried", COMMON)


def test_a_command_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_TRIED", json.dumps({"store": "/s", "executable": [str(tmp_path / "none")]}))
    task = HardnegOperator(
        task_id="tried", variable="tried", defaults=COMMON, arguments=lambda settings, ti: ["audit", "/s"]
    )
    with pytest.raises(AirflowFailException, match="can't be started"):
        task.execute({"ti": Told()})

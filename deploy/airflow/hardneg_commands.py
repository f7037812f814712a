"""hardneg's commands as tasks of Airflow 3: started as argument lists, told apart by their exit codes.

hardneg lives in an environment of its own, which `executable` names; Airflow's needs none of its libraries. What the
codes mean stands in docs/nightly.md.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from airflow.sdk import BaseOperator, Variable
from airflow.sdk.exceptions import AirflowException, AirflowFailException

Settings = dict[str, Any]
Arguments = Callable[[Settings, Any], list[str]]

DONE, FAULTS, USER_ERROR, REFUSED = 0, 1, 2, 3
# Of these another attempt would say the same. A server that does not answer is a 2, too, but may answer later.
FOR_A_PERSON = (USER_ERROR, REFUSED)
MAY_PASS = ("service",)

# What every DAG here reads of its Variable; a DAG adds its own.
COMMON: Settings = {
    "executable": ["hardneg"],
    "store": "",
    "env": {},
    "notify": [],
}
# How a DAG that refreshes every night is scheduled: one night after the other, and none that was missed.
NIGHTLY: dict[str, Any] = {
    "schedule": "15 2 * * *",
    "start_date": datetime(2026, 1, 1),
    "catchup": False,
    "max_active_runs": 1,
    "tags": ["hardneg"],
}


def settings_of(variable: str, defaults: Settings) -> Settings:
    """Return a DAG's settings: its own, and those of the Airflow Variable (JSON) of its name before them.

    Raises:
        AirflowFailException: the Variable has a setting that there is not, or one of another type, or lacks the store.
    """
    given = Variable.get(variable, default={}, deserialize_json=True)
    if not isinstance(given, dict):
        raise AirflowFailException(f"The Variable {variable} is no JSON object of settings.")
    for name, value in given.items():
        if name not in defaults:
            known = ", ".join(sorted(defaults))
            raise AirflowFailException(
                f"The Variable {variable} has {name!r}: there is no such setting; there are {known}."
            )
        wanted = type(defaults[name])
        if not isinstance(value, wanted) or (wanted is list and not all(isinstance(each, str) for each in value)):
            kind = {list: "a list of strings", dict: "an object"}.get(wanted, "a string")
            raise AirflowFailException(f"The Variable {variable} has {name} = {value!r}: write {kind}.")
    settings = defaults | given
    if not settings["store"]:
        raise AirflowFailException(f'The Variable {variable} names no store, as in {{"store": "/data/store"}}.')
    return settings


def publish_arguments(settings: Settings, ti: Any) -> list[str]:
    """Return the arguments of `hardneg publish` for the work folder of a store's refresh."""
    return ["publish", f"{settings['store'].rstrip('/')}/work"]


def audit_arguments(settings: Settings, ti: Any) -> list[str]:
    """Return the arguments of `hardneg audit` for the snapshot that was published."""
    return ["audit", ti.xcom_pull(task_ids="publish")["paths"]["output"]]


class HardnegOperator(BaseOperator):
    """Run one command of hardneg; the last line of its ``--json`` is its XCom, also where it failed.

    A failure is retried, and the same command goes on from the store, unless it is for a person: a refusal by the
    gates, a mistake in the options or the data.
    """

    def __init__(self, *, variable: str, defaults: Settings, arguments: Arguments, **kwargs: Any) -> None:
        """Set the command.

        Args:
            variable: the Airflow Variable that holds the settings.
            defaults: the settings where it has none.
            arguments: returns the command and its arguments, without ``--json``, of the settings and the task instance.
            **kwargs: as of any operator.
        """
        super().__init__(**kwargs)
        self.variable = variable
        self.defaults = defaults
        self.arguments = arguments
        self._running: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the command; return what it told."""
        settings = settings_of(self.variable, self.defaults)
        told = self._run(_with_json(self.arguments(settings, context["ti"])), settings)
        if told["exit"] == DONE:
            return told
        context["ti"].xcom_push(key="return_value", value=told)
        raise (AirflowException if may_pass(told) else AirflowFailException)(sentence_of(told))

    def _run(self, arguments: list[str], settings: Settings) -> dict[str, Any]:
        command = [*settings["executable"], *arguments]
        self.log.info("Command: %s", command)
        try:
            # A session of its own, so that on_kill reaches the workers that it starts.
            self._running = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, **settings["env"]},
                start_new_session=True,
            )
        except OSError as error:
            raise AirflowFailException(f"{command[0]} can't be started: {error}; see `executable`.") from error
        told = last_line(self._logged(self._running.stdout or ()))
        code = self._running.wait()
        if told.get("exit") != code:  # it was killed, or did not come as far as that line
            told = {"command": arguments[0], "exit": code, "outcome": "ended without its last line"}
        return told

    def _logged(self, lines: Iterable[str]) -> Iterable[str]:
        for line in lines:
            self.log.info("%s", line.rstrip())
            yield line

    def on_kill(self) -> None:
        """End the command with all its workers."""
        if self._running is not None and self._running.poll() is None:
            os.killpg(self._running.pid, signal.SIGTERM)


def _with_json(arguments: list[str]) -> list[str]:
    """Return the arguments with ``--json`` among ours: what follows ``--`` is Beam's."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [*arguments[:end], "--json", *arguments[end:]]


def last_line(lines: Iterable[str]) -> dict[str, Any]:
    """Return the last line that is a line of ``--json``; {} if none is."""
    told: dict[str, Any] = {}
    for line in lines:
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if "command" in found and "exit" in found:
                told = found
    return told


def may_pass(told: Mapping[str, Any]) -> bool:
    """Return whether a command that failed may succeed at another attempt."""
    error = (told.get("error") or {}).get("code")
    if told["exit"] == FAULTS and told.get("outcome") == "faults found":
        return error is not None  # a bug, or what looks like one: the machine may have been at fault
    return told["exit"] not in FOR_A_PERSON or error in MAY_PASS


def sentence_of(told: Mapping[str, Any]) -> str:
    """Return what a person is to know of a command that ended."""
    said = " ".join(told.get("refused") or ()) or (told.get("error") or {}).get("message") or ""
    if faults := (told.get("figures") or {}).get("faults"):
        said = said or ", ".join(f"{count} {kind}" for kind, count in faults.items())
    end = f" {told['snapshot']}" if told.get("snapshot") else ""
    if told.get("changed") == [] and told["exit"] == DONE:
        said = said or "nothing changed"
    elif "triplets" in (told.get("figures") or {}):
        said = said or f"{told['figures']['triplets']} triplets"
    return f"hardneg {told['command']}{end}: {told['outcome']} (exit code {told['exit']}){': ' if said else ''}{said}"


class NotifyOperator(BaseOperator):
    """Say how a run ended, whatever it came to; the run is as red as it would be without this task.

    The setting ``notify`` is a command that gets the message on its standard input, one JSON object, as in
    ``["/usr/local/bin/tell-us"]``; without it the message is only logged.
    """

    def __init__(self, *, variable: str, defaults: Settings, commands: list[str], **kwargs: Any) -> None:
        """Set whom to ask.

        Args:
            variable: the Airflow Variable that holds the settings.
            defaults: the settings where it has none.
            commands: the ids of the tasks whose lines are told; the run ended well if the last one did.
            **kwargs: as of any operator.
        """
        super().__init__(trigger_rule="all_done", **kwargs)
        self.variable = variable
        self.defaults = defaults
        self.commands = commands

    def execute(self, context: Any) -> dict[str, Any]:
        """Tell; then fail, where the run did."""
        ti = context["ti"]
        lines = {name: told for name in self.commands if (told := ti.xcom_pull(task_ids=name))}
        well = (lines.get(self.commands[-1]) or {}).get("exit") == DONE
        said = [sentence_of(told) for told in lines.values()]
        message = {
            "dag": ti.dag_id,
            "run": ti.run_id,
            "ended": "well" if well else "badly",
            "text": "\n".join(said) or "No command told anything: see the log of the first task that failed.",
            "commands": lines,
        }
        self.log.info("%s", message["text"])
        if command := settings_of(self.variable, self.defaults)["notify"]:
            subprocess.run(command, input=json.dumps(message, ensure_ascii=False), text=True, check=True)
        if not well:
            raise AirflowFailException(message["text"])
        return message

"""Every night: refresh a store, publish, audit what was published, tell. A DAG for Airflow 3.

Settings are those below; the Airflow Variable `hardneg_refresh` (a JSON object; or AIRFLOW_VAR_HARDNEG_REFRESH in the
environment) has a say before them. It needs `store`, as a rule `config`, and `executable`: hardneg in its own
environment.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG
from hardneg_commands import (
    COMMON,
    NIGHTLY,
    HardnegOperator,
    NotifyOperator,
    Settings,
    audit_arguments,
    publish_arguments,
)

DAG_ID = "hardneg_refresh"
SETTINGS: Settings = {
    **COMMON,  # executable, store, env (added to the environment), notify (a command that gets the message)
    "config": "",  # the TOML file of options: inputs, models, policy, gates
    "refresh": [],  # further options of `hardneg refresh`, as in ["--recalibrate"]
    "beam": [],  # options of Apache Beam, the runner included
}
# The scheduler reads this file anew, so that the environment it runs in decides.
BETWEEN_ATTEMPTS = timedelta(minutes=float(os.environ.get("HARDNEG_RETRY_MINUTES", "10")))


def refresh_arguments(settings: Settings, ti: Any) -> list[str]:
    """Return the arguments of `hardneg refresh`; no date: an attempt that was cut off is found by its state."""
    config = ["--config", settings["config"]] if settings["config"] else []
    beam = ["--", *settings["beam"]] if settings["beam"] else []
    return ["refresh", "--store", settings["store"], *config, *settings["refresh"], *beam]


with DAG(
    DAG_ID,
    description="Mine again what changed; publish what is sound",
    doc_md=__doc__,
    **NIGHTLY,
    default_args={"retry_delay": BETWEEN_ATTEMPTS},
):
    shared: dict[str, Any] = {"variable": DAG_ID, "defaults": SETTINGS}
    # The same command goes on where the attempt before was cut off; where another refresh holds the store, it waits.
    refresh = HardnegOperator(task_id="refresh", arguments=refresh_arguments, retries=3, **shared)
    # A refresh whose launcher waits has published, and this says so. One that leaves when the job is submitted has
    # not: until the pipeline has ended, this is tried again.
    publish = HardnegOperator(task_id="publish", arguments=publish_arguments, retries=36, **shared)
    audit = HardnegOperator(task_id="audit", arguments=audit_arguments, retries=1, **shared)
    notify = NotifyOperator(task_id="notify", commands=["refresh", "publish", "audit"], retries=2, **shared)
    refresh >> publish >> audit >> notify

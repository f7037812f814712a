"""Every night on Dataflow: start the Flex Template and wait for its job, publish, audit, tell. A DAG for Airflow 3.

Settings are those below; the Airflow Variable `hardneg_refresh_dataflow` (a JSON object) has a say before them. It
needs `project`, `region`, `template` and `store`. Airflow needs apache-airflow-providers-google[apache-beam], its
connection to Google Cloud, and for a deferred task its triggerer; `publish` and `audit` run hardneg where Airflow's
workers are, with access to the store.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.sdk import DAG
from hardneg_commands import (
    COMMON,
    NIGHTLY,
    HardnegOperator,
    NotifyOperator,
    Settings,
    audit_arguments,
    publish_arguments,
    settings_of,
)

DAG_ID = "hardneg_refresh_dataflow"
SETTINGS: Settings = {
    **COMMON,  # executable, store (gs://...), env (added to the environment), notify (a command that gets the message)
    "config": "",  # the TOML file of options, where the launcher reads it
    "project": "",
    "region": "",
    "template": "",  # gs://.../hardneg.json, the specification of the Flex Template
    "account": "",  # the service account of the workers
    "staging": "",  # gs://..., for what the launcher stages
}


def setting(name: str) -> Any:
    """Return a setting when a task starts: the scheduler, which reads this file often, asks for no Variable."""
    return settings_of(DAG_ID, SETTINGS)[name]


with DAG(
    DAG_ID,
    description="Mine again what changed, on Dataflow; publish what is sound",
    doc_md=__doc__,
    **NIGHTLY,
    user_defined_macros={"setting": setting},
    default_args={"retry_delay": timedelta(minutes=10)},
):
    shared: dict[str, Any] = {"variable": DAG_ID, "defaults": SETTINGS}
    refresh = DataflowStartFlexTemplateOperator(
        task_id="refresh",
        project_id="{{ setting('project') }}",
        location="{{ setting('region') }}",
        body={
            "launchParameter": {
                # One name: Dataflow refuses a second job of this name while the first runs.
                "jobName": "hardneg-refresh",
                "containerSpecGcsPath": "{{ setting('template') }}",
                "parameters": {"store": "{{ setting('store') }}", "config": "{{ setting('config') }}"},
                "environment": {
                    "serviceAccountEmail": "{{ setting('account') }}",
                    "stagingLocation": "{{ setting('staging') }}",
                },
            }
        },
        append_job_name=False,
        deferrable=True,  # no worker of Airflow waits for the job
        retries=3,
    )
    publish = HardnegOperator(task_id="publish", arguments=publish_arguments, retries=3, **shared)
    audit = HardnegOperator(task_id="audit", arguments=audit_arguments, retries=1, **shared)
    notify = NotifyOperator(task_id="notify", commands=["publish", "audit"], retries=2, **shared)
    refresh >> publish >> audit >> notify

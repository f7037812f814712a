"""A real Airflow with a home of its own, and a store that was refreshed by it once."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
DAGS = ROOT / "deploy" / "airflow"
HARDNEG_PYTHON = os.environ.get("HARDNEG_PYTHON", str(ROOT / ".venv" / "bin" / "python"))

# Airflow reads these when it is imported, which test modules do; so they are set here.
HOME = tempfile.TemporaryDirectory(prefix="airflow-")
os.environ |= {
    "AIRFLOW_HOME": HOME.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "HARDNEG_RETRY_MINUTES": "0.02",
    "PYTHONDONTWRITEBYTECODE": "1",
}
sys.path.insert(0, str(DAGS))


@pytest.fixture(scope="session", autouse=True)
def _home() -> Iterator[None]:
    yield
    HOME.cleanup()


@dataclass
class Night:
    """One run of the DAG: how Airflow ended, what became of its tasks, and what they told."""

    code: int
    log: str
    states: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)


class Nights:
    """Runs of hardneg_refresh on one store, by ``airflow dags test``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.message = folder / "message.json"
        self.settings: dict[str, Any] = {
            "executable": [HARDNEG_PYTHON, str(DAGS / "tests" / "cut_off_once.py"), str(self.store)],
            "store": str(self.store),
            "config": str(folder / "nightly.toml"),
            "env": {"PYTHONPATH": str(ROOT)},
            "notify": ["tee", str(self.message)],
            "beam": ["--runner", "FnApiRunner"],
        }

    def run(self, **settings: Any) -> Night:
        """Run the DAG once."""
        told = json.dumps(self.settings | settings)
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "dags", "test", "hardneg_refresh"],
            env=os.environ | {"AIRFLOW_VAR_HARDNEG_REFRESH": told},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        night = Night(done.returncode, done.stdout)
        with sqlite3.connect(Path(HOME.name) / "airflow.db") as database:
            (run,) = database.execute("SELECT run_id FROM dag_run ORDER BY id DESC LIMIT 1").fetchone()
            asked = "SELECT task_id, state, try_number FROM task_instance WHERE run_id = ?"
            for task, state, attempt in database.execute(asked, (run,)):
                night.states[task], night.attempts[task] = state, attempt
            asked = "SELECT task_id, value FROM xcom WHERE run_id = ? AND key = 'return_value'"
            for task, value in database.execute(asked, (run,)):
                night.told[task] = json.loads(value)
        return night

    def latest(self) -> str:
        """Return the snapshot that LATEST names."""
        return json.loads((self.store / "LATEST").read_text(encoding="utf-8"))["snapshot"]


@pytest.fixture(scope="session")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """A collection, models and options for nights, and Airflow's database."""
    folder = tmp_path_factory.mktemp("nights")
    command = [HARDNEG_PYTHON, str(DAGS / "tests" / "tonight.py"), str(folder)]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=300)
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, timeout=300, capture_output=True)
    return Nights(folder)


@pytest.fixture(scope="session")
def first_night(nights: Nights) -> Night:
    """The first run of the DAG on the store, whose first attempt is killed."""
    return nights.run()

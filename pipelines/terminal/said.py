"""Where a command says what it has to say: to a person, on two streams, and in the line of ``--json``.

Of other libraries' logs a person sees nothing, but for the line by which a launcher finds its Dataflow job.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

from rich.console import Console

# What was found; and what a person should know meanwhile.
OUTPUT = Console(soft_wrap=True, highlight=False)
LOG = Console(stderr=True)
# What the line of --json is to say, filled by the command that runs: figures, paths.
TOLD: dict[str, Any] = {}


def tell(line: str) -> None:
    """Tell a person something that is no result, as it is."""
    LOG.print(line, markup=False, highlight=False, soft_wrap=True)


def warn(line: str) -> None:
    """Tell a person something to look at."""
    LOG.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


# Airflow's operators find the job's id in this line, wherever it is printed.
DATAFLOW_LOGGER = "apache_beam.runners.dataflow.internal.apiclient"
JOB_LINE = "Created job with id: ["


class _JobLines(logging.Filter):
    """Lets the line through that names a job."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.getMessage().startswith(JOB_LINE)


class _ToStderr(logging.Handler):
    """Writes to what is stderr by then."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def quiet() -> None:
    """Keep other libraries' chatter out; their warnings name things that our users cannot change."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    for name in ("transformers", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Beam logs every exception of a worker with its traceback, and raises it too.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    jobs = logging.getLogger(DATAFLOW_LOGGER)
    jobs.setLevel(logging.INFO)
    jobs.propagate = False
    if not any(isinstance(each, _JobLines) for handler in jobs.handlers for each in handler.filters):
        handler = _ToStderr()
        handler.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
        handler.addFilter(_JobLines())
        jobs.addHandler(handler)

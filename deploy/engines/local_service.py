"""Beam's Python engine behind its job server, with several workers at a job.

local_service.py PORT WORKERS. Beam's own program (`local_job_service_main`) is the same with one worker: it does not
hand the option `direct_num_workers` on to the engine.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.local_job_service import BeamJob, LocalJobServicer


def job_type(workers: int) -> type[BeamJob]:
    """Return jobs of so many workers."""

    class Job(BeamJob):
        def _invoke_runner(self) -> Any:
            runner = FnApiRunner(provision_info=self._provision_info)
            runner._num_workers = workers
            return runner.run_via_runner_api(self._pipeline_proto, self.pipeline_options())

    return Job


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    LocalJobServicer(beam_job_type=job_type(int(sys.argv[2]))).start_grpc_server(int(sys.argv[1]))
    threading.Event().wait()

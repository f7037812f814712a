"""A worker process ends with its run."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from hardneg.transforms.core.orphans import ending_with_this_process

WORKER = """
import sys, time
from hardneg.transforms.core.orphans import end_with_the_run
end_with_the_run()
print("here", flush=True)
time.sleep(60)
print("still here")
"""
# Beam starts its workers through a shell.
RUN = """
import shlex, subprocess, sys, time
from hardneg.transforms.core.orphans import ending_with_this_process
with ending_with_this_process():
    subprocess.Popen(shlex.join([sys.executable, "-c", sys.argv[1]]) + "; true", shell=True)
    time.sleep(300)
"""


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a process cannot be asked for")
def test_a_worker_ends_when_its_run_is_killed() -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN, WORKER], stdout=subprocess.PIPE, start_new_session=True)
    assert run.stdout is not None
    try:
        assert run.stdout.readline() == b"here\n"
        time.sleep(0.1)
        assert run.poll() is None
        run.kill()
        run.wait(30)
        assert run.stdout.read() == b"", "the pipe is closed when the worker, too, has ended"
    finally:
        if run.poll() is None:
            run.kill()
        run.stdout.close()


def test_the_environment_is_as_before() -> None:
    before = dict(os.environ)
    with ending_with_this_process():
        assert dict(os.environ) != before
    assert dict(os.environ) == before

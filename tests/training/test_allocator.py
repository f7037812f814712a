"""Memory that is freed stays in the process: pages are not asked of the system again and again."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from hardneg.transforms.training.judge_training import keep_freed_memory

# 64 MiB: glibc asks the system for every block above 32 MiB.
SCRIPT = """
import resource
import numpy as np
from hardneg.transforms.training.judge_training import keep_freed_memory

def faults():
    np.ones(2**23)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), keep_freed_memory(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told so")
def test_freed_memory_is_kept() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    before, kept, after = done.stdout.split()
    assert kept == "True"
    assert int(after) < 0.1 * int(before), "page faults of taking the same 64 MiB again"


@pytest.mark.parametrize(("system", "library"), [("linux", object()), ("darwin", None)])
def test_other_systems_are_left_alone(system: str, library: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert not keep_freed_memory()

"""Memory that is freed stays in the process: pages are not asked of the system again and again."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from hardneg.transforms.training.judge_training import keep_freed_memory

SCRIPT = """
import resource, sys
import numpy as np
from hardneg.transforms.training.judge_training import keep_freed_memory

print(keep_freed_memory() if sys.argv[1] == "keep" else "")
np.ones(2**25)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**25)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told so")
def test_freed_memory_is_kept() -> None:
    said = {
        how: subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True).stdout
        for how in ("keep", "plain")
    }
    kept, faults = said["keep"].splitlines()
    assert kept == "True"
    assert int(faults) < 0.1 * int(said["plain"].split()[-1]), "page faults of taking the same 256 MiB again"


@pytest.mark.parametrize(("system", "library"), [("linux", object()), ("darwin", None)])
def test_other_systems_are_left_alone(system: str, library: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert not keep_freed_memory()

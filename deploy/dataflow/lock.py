"""The versions of everything that hardneg runs on, with Beam's libraries of Google Cloud, as installed here.

python deploy/dataflow/lock.py > requirements-dataflow.txt

The closure of what requirements.txt names and of apache-beam[gcp], by the packages' own metadata; without CUDA's
libraries, which come with PyTorch's build for GPUs alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
_OF_GPUS = re.compile(r"^(nvidia-|cuda-|triton$)")
_HEAD = """\
# Everything that hardneg runs on where Dataflow runs it: the image of deploy/Dockerfile, and `make test-dataflow`.
# Made by deploy/dataflow/lock.py; every package is named, so install it with --no-deps. requirements.txt has the same
# versions, but for what apache-beam[gcp] asks for otherwise. torch: from PyTorch's index of CPU or CUDA builds."""


def closure(names: list[str]) -> Iterator[str]:
    """Yield ``name==version`` of some requirements and of everything that they need, by name."""
    seen: dict[tuple[str, str], None] = {}
    queue = [Requirement(name) for name in names]
    found = set()
    while queue:
        wanted = queue.pop()
        name = canonicalize_name(wanted.name)
        for extra in ("", *wanted.extras):
            if (name, extra) in seen or _OF_GPUS.match(name):
                continue
            seen[name, extra] = None
            found.add(name)
            needs = [Requirement(each) for each in distribution(name).requires or ()]
            queue += [each for each in needs if not each.marker or each.marker.evaluate({"extra": extra})]
    return (f"{name}=={version(name)}" for name in sorted(found))


def named() -> list[str]:
    """Return what requirements.txt names, with Beam's extra for Google Cloud."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [line.partition("==")[0] for line in lines if line and not line.startswith("#")]
    return [f"{name}[gcp]" if name == "apache-beam" else name for name in names]


if __name__ == "__main__":
    try:
        lines = list(closure(named()))
    except PackageNotFoundError as error:
        sys.exit(f"{error}: run this in the environment of `make test-dataflow`.")
    print("\n".join([_HEAD, "", *lines]))

"""What is asked of a model is told without loading Beam or torch: options, plans and dry runs need no more."""

from __future__ import annotations

import subprocess
import sys

import pytest

ROOM = "hardneg.transforms.models"
LIGHT = [
    ROOM,
    f"{ROOM}.backends",
    f"{ROOM}.backends.backend",
    f"{ROOM}.backends.registry",
    f"{ROOM}.canonical_shapes",
    f"{ROOM}.cross_encoder",
    f"{ROOM}.files",
    f"{ROOM}.fingerprint",
    f"{ROOM}.loaded",
    f"{ROOM}.served",
    f"{ROOM}.served.client",
    f"{ROOM}.served.forms",
    f"{ROOM}.served.spec",
    f"{ROOM}.spec",
    f"{ROOM}.tokens",
]


def test_neither_beam_nor_torch_is_loaded() -> None:
    code = "import sys, {}; print(*({{'apache_beam', 'torch'}} & set(sys.modules)))".format(", ".join(LIGHT))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize("room", [ROOM, f"{ROOM}.backends", f"{ROOM}.served"])
def test_a_face_has_what_it_says(room: str) -> None:
    package = __import__(room, fromlist=["*"])
    assert package.__all__
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


def test_a_run_is_planned_without_torch() -> None:
    """Its stages load it when they need it: it takes seconds, and where vectors are given no network runs at all."""
    code = (
        "import sys, hardneg.pipelines.commands.driver; print(*({'torch', 'transformers', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr

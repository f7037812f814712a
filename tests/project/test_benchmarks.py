"""Every question of benchmarks/ is listed in its README, and its program can still be loaded."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

import benchmarks

QUESTIONS = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.ispkg)
README = (Path(benchmarks.__path__[0]) / "README.md").read_text(encoding="utf-8")


def test_the_list_is_whole() -> None:
    assert "promise" in QUESTIONS
    assert [name for name in QUESTIONS if f"`python -m benchmarks.{name}" not in README] == []


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_says_what_it_asks_and_loads(name: str) -> None:
    package = importlib.import_module(f"benchmarks.{name}")
    assert (package.__doc__ or "").rstrip().endswith("?")
    program = importlib.import_module(f"benchmarks.{name}.__main__")
    assert f"    python -m benchmarks.{name}" in (program.__doc__ or "")

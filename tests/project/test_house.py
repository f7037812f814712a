"""What may be imported by whom, and how the rooms are kept: Beam and torch stay where they are needed."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import hardneg

ROOT = Path(hardneg.__path__[0]).parent
HEAVY = ("apache_beam", "torch")
# Whoever reads a folder knows by these names where Beam begins.
STAGES = re.compile(r"\.(stages|\w+_stages?)$")
# Besides: what hands coders to Beam, and models. Whoever can, takes a module off these lists.
BEAM_TOO = {"core.coders", "models.served.cross_encoder"}
TORCH_TOO = {
    "training.judge_training",
    "models.backends.torch_backend",
    "models.bi_encoder",
    "models.pooling",
    "training.judge_card",
}
LONGEST, SHORTEST = 400, 30
# Short on purpose: one function, one table, one format.
SMALL: set[str] = set()
# Rooms whose face is not drawn yet, and names that stand in two modules: these lists are to become empty.
FACELESS: set[str] = set()
TWICE: set[str] = set()


def modules_of(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the path of each module below a folder, ``__init__`` as its folder's name."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        yield ".".join([name, *parts]), path


TRANSFORMS = dict(modules_of(ROOT / "transforms", "hardneg.transforms"))
PIPELINES = dict(modules_of(ROOT / "pipelines", "hardneg.pipelines"))
ROOMS = sorted(
    f"hardneg.{house}.{path.parent.name}"
    for house in ("transforms", "pipelines")
    for path in (ROOT / house).glob("*/__init__.py")
)


def short(module: str) -> str:
    return module.removeprefix("hardneg.transforms.")


def imported_at_once(tree: ast.Module) -> Iterator[str]:
    """Yield the modules that importing a module imports; those under ``TYPE_CHECKING`` or in a function are not."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def loads(module: str, library: str) -> bool:
    """Return whether importing a module of transforms/ loads a library, by what the files say."""
    for name in imported_at_once(parsed(TRANSFORMS[module])):
        if name.partition(".")[0] == library or (name != module and name in TRANSFORMS and loads(name, library)):
            return True
    return False


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def may_load(module: str, library: str) -> bool:
    if library == "apache_beam":
        return bool(STAGES.search(module)) or short(module) in BEAM_TOO
    return short(module) in TORCH_TOO


@pytest.mark.parametrize("library", HEAVY)
def test_what_loads_a_heavy_library_is_known_to(library: str) -> None:
    loading = {module for module in TRANSFORMS if loads(module, library)}
    assert {short(module) for module in loading if not may_load(module, library)} == set()
    listed = {f"hardneg.transforms.{name}" for name in (BEAM_TOO if library == "apache_beam" else TORCH_TOO)}
    assert {short(module) for module in listed - loading} == set(), "no longer: take them off the list"


def test_plain_modules_load_neither() -> None:
    """Not through a third library either, which the files do not show: they are imported in one fresh process."""
    plain = [module for module in TRANSFORMS if not any(loads(module, library) for library in HEAVY)]
    assert "hardneg.transforms.filters.order" in plain
    code = (
        "import importlib, json, sys\n"
        "blame = {}\n"
        f"for module in {plain!r}:\n"
        "    importlib.import_module(module)\n"
        f"    for library in {HEAVY!r}:\n"
        "        if library in sys.modules:\n"
        "            blame.setdefault(library, module)\n"
        "print(json.dumps(blame))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert json.loads(done.stdout) == {}


def test_modules_are_neither_long_nor_scraps() -> None:
    lengths = {
        name: len(path.read_text(encoding="utf-8").splitlines())
        for name, path in (
            TRANSFORMS | PIPELINES | dict(modules_of(ROOT / "hardneg" / "compat", "hardneg.compat"))
        ).items()
        if path.name != "__init__.py"
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}
    scraps = {short(name) for name, lines in lengths.items() if lines < SHORTEST}
    assert scraps - SMALL == set()
    assert SMALL - scraps == set(), "no longer: take them off the list"


def test_a_public_name_is_defined_once() -> None:
    places = defaultdict(list)
    for module, path in TRANSFORMS.items():
        for name in defined_in(parsed(path)):
            if not name.startswith("_"):
                places[name].append(short(module))
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert {name: found for name, found in twice.items() if name not in TWICE} == {}
    assert TWICE - twice.keys() == set(), "no longer: take them off the list"


def defined_in(tree: ast.Module) -> set[str]:
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                names |= {each.id for each in ast.walk(target) if isinstance(each, ast.Name)}
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for_and_shows_its_face(room: str) -> None:
    package = importlib.import_module(room)
    drawn = bool(package.__doc__) and "TODO" not in package.__doc__
    assert drawn != (room.removeprefix("hardneg.") in FACELESS)
    assert [name for name in getattr(package, "__all__", ()) if not hasattr(package, name)] == []


def test_rooms_use_each_other_by_their_faces() -> None:
    """What a module imports from another room is in that room's face."""
    beside = []
    for module, path in (TRANSFORMS | PIPELINES).items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hardneg.transforms."):
                room = ".".join(str(node.module).split(".")[:3])
                if module.startswith(f"{room}.") or room == module or room.removeprefix("hardneg.") in FACELESS:
                    continue
                face = getattr(importlib.import_module(room), "__all__", ())
                # A face shows modules too, for names that read better with theirs.
                inner = str(node.module).removeprefix(room).removeprefix(".")
                if inner not in face:
                    beside += [f"{module}: {node.module}.{each.name}" for each in node.names if each.name not in face]
    assert "\n".join(beside) == ""

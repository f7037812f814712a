"""What is installed: pins within bounds, one importable name, and the model files that were meant."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hardneg
import hardneg.pipelines
import hardneg.transforms

ROOT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, Requirement]:
    """Return the requirements of a file by canonical name, without those that it includes."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    assert len({canonicalize_name(pin.name) for pin in found}) == len(found), f"{name} names a package twice"
    return {canonicalize_name(pin.name): pin for pin in found}


def setup_argument(name: str) -> object:
    """Return the value of an argument of setup.py's setup(), which must be a literal."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    call = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setup"
    )
    return ast.literal_eval(next(keyword.value for keyword in call.keywords if keyword.arg == name))


def version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "==", f"{pin} is not an exact pin"
    return specifier.version


def test_every_requirement_is_pinned_within_the_bounds_of_setup_py() -> None:
    pinned = pins("requirements.txt")
    required = setup_argument("install_requires")
    assert isinstance(required, list)
    for bound in map(Requirement, required):
        pin = pinned.get(canonicalize_name(bound.name))
        assert pin is not None, f"setup.py asks for {bound.name}, requirements.txt does not pin it"
        assert bound.specifier.contains(version(pin)), f"{pin} is outside {bound}"


def test_extras_are_pinned_within_their_bounds() -> None:
    pinned = pins("requirements.txt") | pins("requirements-dev.txt")
    extras = setup_argument("extras_require")
    assert isinstance(extras, dict)
    for extra, bounds in extras.items():
        for bound in map(Requirement, bounds):
            if canonicalize_name(bound.name) == "hardneg-models":  # installed from ./models
                continue
            pin = pinned.get(canonicalize_name(bound.name))
            assert pin is not None, f"the extra {extra} asks for {bound.name}, which is pinned nowhere"
            assert bound.specifier.contains(version(pin)), f"{pin} is outside {bound}"


def test_the_extras_of_the_models_are_pinned_within_their_bounds() -> None:
    pinned = pins("requirements.txt") | pins("requirements-dev.txt")
    project = tomllib.loads((ROOT / "models" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = [Requirement(each) for extra in project["optional-dependencies"].values() for each in extra]
    assert bounds
    for bound in bounds:
        pin = pinned.get(canonicalize_name(bound.name))
        assert pin is not None, f"hardneg-models asks for {bound.name}, which is pinned nowhere"
        assert bound.specifier.contains(version(pin)), f"{pin} is outside {bound}"


def test_the_models_wheel_has_every_module_and_file() -> None:
    """Its packages and files are named, so one that is added and not named would be missing in a wheel."""
    tools = tomllib.loads((ROOT / "models" / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folder = ROOT / "models" / "hardneg_models"
    modules = {path.parent for path in folder.rglob("*.py")}
    assert {"hardneg_models" + "".join(f".{part}" for part in each.relative_to(folder).parts) for each in modules} == (
        set(tools["packages"])
    )
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    others = {name for name in files if not name.endswith((".py", ".pyc"))}
    assert others == set(tools["package-data"]["hardneg_models"])


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirement_files_hold_exact_pins_and_nothing_else(name: str) -> None:
    for pin in pins(name).values():
        assert version(pin)
        assert pin.url is None
    options = re.findall(r"^-.*$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert options == ([] if name == "requirements.txt" else ["-r requirements.txt"])


def test_packages_resolve_to_the_folders_of_the_checkout() -> None:
    for package, folder in ((hardneg.pipelines, "pipelines"), (hardneg.transforms, "transforms")):
        assert package.__name__ == f"hardneg.{folder}"
        assert package.__file__ is not None
        assert Path(package.__file__).resolve() == (ROOT / folder / "__init__.py").resolve()


@pytest.mark.slow
def test_wheel_installs_one_top_level_name(tmp_path: Path) -> None:
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("building a wheel without isolation needs setuptools here")
    # A copy, so that building leaves nothing in the checkout; the links are what a checkout has, too.
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for folder in ("hardneg", "pipelines", "transforms"):
        shutil.copytree(
            ROOT / folder, source / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    build += ["--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, timeout=120, capture_output=True)
    (wheel,) = tmp_path.glob("hardneg-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"hardneg", f"hardneg-{hardneg.__version__}.dist-info"}
    expected = {f"hardneg/{path.name}" for path in (ROOT / "hardneg").glob("*.py")} | {"hardneg/py.typed"}
    for base, folder in ((ROOT, "pipelines"), (ROOT, "transforms"), (ROOT / "hardneg", "compat")):
        for pattern in ("*.py", "*.html"):
            expected |= {f"hardneg/{path.relative_to(base)}" for path in (base / folder).rglob(pattern)}
    assert expected <= set(names)
    assert len(names) == len(set(names))


def checkout_models() -> ModuleType:
    """Import hardneg_models from the checkout, whether or not it is installed."""
    path = ROOT / "models" / "hardneg_models" / "__init__.py"
    spec = importlib.util.spec_from_file_location("checkout_hardneg_models", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def installed_models() -> ModuleType:
    return pytest.importorskip("hardneg_models", reason="hardneg-models is not installed: pip install ./models")


@pytest.mark.parametrize("models", [checkout_models, installed_models])
def test_model_files_have_the_declared_digests(models) -> None:
    module = models()
    folder = module.cross_encoder_path()
    files = {path.name for path in folder.iterdir()} - {"README.md"}
    assert files == set(module.CROSS_ENCODER_SHA256)
    for name, sha256 in module.CROSS_ENCODER_SHA256.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256, name
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("---\nlicense: apache-2.0")


def test_installed_models_are_those_of_the_checkout() -> None:
    assert installed_models().CROSS_ENCODER_SHA256 == checkout_models().CROSS_ENCODER_SHA256

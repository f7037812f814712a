"""The Python environment of a worker: our built wheel, and no checkout.

worker_env.py FOLDER. The heavy libraries (torch, Beam) are those of the environment that runs this, reached by a path
file, so that nothing is installed twice; hardneg itself is installed from its wheel alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_INSTALLED = ".wheel"  # says which sources the environment holds


def make_environment(folder: Path) -> Path:
    """Make or renew the environment; return its Python."""
    python = folder / "bin" / "python"
    newest = str(max(path.stat().st_mtime_ns for path in _sources()))
    mark = folder / _INSTALLED
    if mark.exists() and mark.read_text(encoding="utf-8") == newest:
        return python
    venv.create(folder, with_pip=True, clear=True)
    packages = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    heavy = [path for path in sys.path if path.endswith("site-packages")]
    with tempfile.TemporaryDirectory() as wheels:
        quiet = ("--disable-pip-version-check", "--quiet", "--no-deps")
        # With what the environment that runs this has: nothing is fetched.
        copy = _copied(Path(wheels) / "sources")
        _run(Path(sys.executable), "-m", "pip", "wheel", *quiet, "--no-build-isolation", "-w", wheels, str(copy))
        _run(python, "-m", "pip", "install", *quiet, *map(str, Path(wheels).glob("hardneg-*.whl")))
    (packages / "heavy.pth").write_text("\n".join(heavy) + "\n", encoding="utf-8")
    mark.write_text(newest, encoding="utf-8")
    return python


def _copied(folder: Path) -> Path:
    """Copy what the wheel is built from: a build leaves a folder there, of which the next one would take modules."""
    folder.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    for name in ("hardneg", "pipelines", "transforms"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _sources() -> list[Path]:
    return [ROOT / "setup.py", *(path for room in ("hardneg", "pipelines", "transforms") for path in _python(room))]


def _python(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def _run(python: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(python), *arguments], env=environment, cwd="/", capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    print(make_environment(Path(sys.argv[1])))

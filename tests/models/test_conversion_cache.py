"""Converted models: made once, whole or not there, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hardneg_models.multilingual import ConversionError
from hardneg_models.multilingual.conversion_cache import cache_folder, cached_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARDNEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Builder:
    """Writes two files, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "part").mkdir()
        (folder / "part" / "a.txt").write_text("a")
        (folder / "b.txt").write_text("b")


def failing(error: BaseException) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        (folder / "b.txt").write_text("b")
        raise error

    return build


def inside(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HARDNEG_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "hardneg"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "hardneg"
    monkeypatch.setenv("HARDNEG_CACHE", "~/y")
    assert cache_folder() == tmp_path / "y"
    monkeypatch.setenv("HARDNEG_CACHE", "")
    assert cache_folder() == tmp_path / "x" / "hardneg"


def test_nobody_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARDNEG_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(ConversionError, match=r"^there is no home folder .* set HARDNEG_CACHE to a folder\.$"):
        cache_folder()


def test_a_model_is_built_once(cache: Path) -> None:
    build = Builder()
    folder = cached_model("m", build)
    assert folder == cache / "m"
    assert (folder / "part" / "a.txt").read_text() == "a"
    assert cached_model("m", build) == folder
    assert build.calls == 1
    assert inside(cache) == {"m", "m.lock"}
    # Hidden files are a file manager's.
    (folder / ".DS_Store").write_text("")
    cached_model("m", build)
    assert build.calls == 1


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "more", "manifest", "no manifest", "empty"])
def test_a_damaged_model_is_built_again(cache: Path, damage: str) -> None:
    build = Builder()
    folder = cached_model("m", build)
    if damage == "cut":
        (folder / "b.txt").write_text("")
    elif damage == "changed":
        (folder / "part" / "a.txt").write_text("A")
    elif damage == "missing":
        (folder / "b.txt").unlink()
    elif damage == "more":
        (folder / "modeling.py").write_text("")
    elif damage == "manifest":
        (folder / "hardneg.json").write_text("[")
    elif damage == "no manifest":
        (folder / "hardneg.json").unlink()
    else:
        for path in (folder / "b.txt", folder / "part" / "a.txt"):
            path.unlink()
        (folder / "hardneg.json").write_text("{}")
    cached_model("m", build)
    assert build.calls == 2
    assert {path.name for path in folder.rglob("*")} == {"part", "a.txt", "b.txt", "hardneg.json"}
    assert (folder / "part" / "a.txt").read_text() + (folder / "b.txt").read_text() == "ab"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(cache: Path, code: int) -> None:
    with pytest.raises(ConversionError) as raised:
        cached_model("m", failing(OSError(code, os.strerror(code))))
    assert str(raised.value) == (
        f"there is no room for it in {cache} ({os.strerror(code)}); make some, or set HARDNEG_CACHE to a "
        "folder on another disk."
    )
    assert inside(cache) == {"m.lock"}
    assert cached_model("m", Builder()) == cache / "m"


@pytest.mark.parametrize("error", [ConversionError("no source"), KeyboardInterrupt()])
def test_what_building_raises_comes_through(cache: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        cached_model("m", failing(error))
    assert inside(cache) == {"m.lock"}


def test_a_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(ConversionError) as raised:
        cached_model("m", Builder())
    assert str(raised.value) == (
        f"the cache folder {cache} cannot be written (File exists); set HARDNEG_CACHE to a folder that can."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_cache_without_write_permission(cache: Path) -> None:
    folder = cached_model("m", Builder())
    cache.chmod(0o555)
    try:
        assert cached_model("m", Builder()) == folder  # reading is enough once it is there
        with pytest.raises(ConversionError, match="cannot be written"):
            cached_model("n", Builder())
    finally:
        cache.chmod(0o755)


def test_a_file_system_without_locks(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two build at once, the slower one takes what the faster one made; nobody's work is removed."""
    fcntl = pytest.importorskip("fcntl", reason="this system has no flock")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    cache.mkdir()
    (cache / ".m.new-other").mkdir()
    fast, slow = Builder(), Builder()

    def build(folder: Path) -> None:
        slow(folder)
        cached_model("m", fast)
        (cache / "m" / ".fast").touch()

    cached_model("m", build)
    assert (fast.calls, slow.calls) == (1, 1)
    assert (cache / "m" / ".fast").exists()
    assert inside(cache) == {"m", "m.lock", ".m.new-other"}


PROCESS = """
import sys, time
from pathlib import Path
from hardneg_models.multilingual.conversion_cache import cached_model

def build(folder):
    (folder / "config.json").write_text("half")
    with open(sys.argv[1], "a") as log:
        log.write("x")
    time.sleep(float(sys.argv[2]))
    (folder / "config.json").write_text("whole")

print((cached_model("m", build) / "config.json").read_text())
"""


def start(log: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, str(log), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_several_processes_at_once(cache: Path, tmp_path: Path) -> None:
    processes = [start(tmp_path / "log", 3) for _ in range(3)]
    assert [process.communicate(timeout=120)[0] for process in processes] == ["whole\n"] * 3
    assert (tmp_path / "log").read_text() == "x"


def test_a_process_killed_midway(cache: Path, tmp_path: Path) -> None:
    process = start(tmp_path / "log", 300)
    deadline = time.monotonic() + 120
    while not (tmp_path / "log").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (cache / "m").exists()
    assert len(list(cache.glob(".m.new-*"))) == 1
    cached_model("m", Builder())  # its lock ended with it
    assert inside(cache) == {"m", "m.lock"}

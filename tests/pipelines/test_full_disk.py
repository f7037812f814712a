"""A disk that is full at any moment is a sentence and no bus error, and the same command goes on once there is room."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mined_runs import TinyModels
from refreshed import OPTIONS, Collection, digests, refresh_in_child

from hardneg.errors import HardnegError
from hardneg.pipelines.runs.output_place import explaining_full_disks


def test_whoever_was_writing() -> None:
    with (
        pytest.raises(HardnegError, match=r"A disk is full \(/data/x\); make room and start the same command again"),
        explaining_full_disks(),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", "/data/x")
    with pytest.raises(PermissionError), explaining_full_disks():
        raise PermissionError(errno.EACCES, "Permission denied")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, whose size the test changes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a tmpfs can't be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up(small_disk: Path, tiny_models: TinyModels, tmp_path: Path) -> None:
    """Each time there is a little more room, until it is enough."""
    collection = Collection(5).write(tmp_path / "collection")
    options = tiny_models.options | OPTIONS | {"input": str(collection)}
    refresh_in_child(str(tmp_path / "undisturbed"), options, "2026-11-01")
    expected = digests(tmp_path / "undisturbed" / "snapshots" / "2026-11-01")
    code = (
        "import json, sys\n"
        "from hardneg.errors import HardnegError\n"
        "from refreshed import refresh_in_child\n"
        "try:\n"
        "    refresh_in_child(sys.argv[1], json.loads(sys.argv[2]), '2026-11-01')\n"
        "except HardnegError as error:\n"
        "    print(error); sys.exit(2)\n"
    )
    import json

    store, full = small_disk / "store", 0
    for kilobytes in (16, 64, 160, 320, 640, 65536):
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(small_disk)], check=True)
        done = subprocess.run(
            [sys.executable, "-c", code, str(store), json.dumps(options)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        assert done.returncode in (0, 2), (kilobytes, done.returncode, done.stderr[-2000:])
        if done.returncode == 0:
            break
        full += 1
        assert "A disk is full" in done.stdout, (kilobytes, done.stdout)
        assert not (store / "LATEST").exists()
    assert done.returncode == 0
    assert full
    assert digests(store / "snapshots" / "2026-11-01") == expected
    shutil.rmtree(store)

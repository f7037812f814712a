"""One refresh at a time: a store's lock, its lease, and who may take it over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hardneg.errors import LockedError, OptionError
from hardneg.pipelines.runs.lock import holding

DEAD = 2**22 + 1  # no process has that number


def lock_of(store: Path, **fields: Any) -> None:
    store.mkdir(exist_ok=True)
    told = {"host": socket.gethostname(), "process": DEAD, "since": 0.0, "until": time.time() + 600, "token": "other"}
    (store / "lock").write_text(json.dumps(told | fields))


def enter(store: Path, said: list[str] | None = None) -> None:
    with holding(str(store), [].append if said is None else said.append):
        pass


def test_it_is_held_and_let_go_of(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with holding(str(store)) as held:
        held.check()
        told = json.loads((store / "lock").read_text())
        assert (told["host"], told["process"]) == (socket.gethostname(), os.getpid())
        with pytest.raises(
            LockedError, match=rf"store is being refreshed by another process \(process {os.getpid()} on"
        ):
            enter(store)
    assert not (store / "lock").exists()


def test_a_dead_holder_of_this_machine_is_followed(tmp_path: Path) -> None:
    said: list[str] = []
    lock_of(tmp_path)
    enter(tmp_path, said)
    assert said[0].endswith("which is dead: this process takes over.")
    # As after the restart of a container: the same host and process number, but it is not this process's lock.
    lock_of(tmp_path, process=os.getpid())
    enter(tmp_path, said)
    assert len(said) == 2


def test_another_machine_is_waited_for_until_its_lease_ends(tmp_path: Path) -> None:
    lock_of(tmp_path, host="elsewhere", process=7, since=1_700_000_000.0)
    with pytest.raises(
        LockedError, match=r"process 7 on elsewhere, since 2023-11-1\d .*wait for it, or, if it is dead, delete"
    ):
        enter(tmp_path)
    said: list[str] = []
    lock_of(tmp_path, host="elsewhere", process=7, until=time.time() - 1)
    enter(tmp_path, said)
    assert "has not renewed it since: this process takes over." in said[0]


def test_a_damaged_lock_is_no_ones(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("{")
    enter(tmp_path)
    assert not (tmp_path / "lock").exists()


def test_it_is_renewed_while_it_is_held(tmp_path: Path) -> None:
    with holding(str(tmp_path), seconds=0.5):
        first = json.loads((tmp_path / "lock").read_text())
        deadline = time.monotonic() + 30
        while (now := json.loads((tmp_path / "lock").read_text())) == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert now["until"] > first["until"]
        assert now["token"] == first["token"]


def test_who_was_held_up_for_too_long_publishes_nothing(tmp_path: Path) -> None:
    with holding(str(tmp_path)) as held:
        lock_of(tmp_path, host="elsewhere")
        with pytest.raises(LockedError, match="another process took over the lock while this one did not renew it"):
            held.check()
    assert json.loads((tmp_path / "lock").read_text())["host"] == "elsewhere", "the other's lock stays"


def test_of_many_at_once_one_has_it(tmp_path: Path) -> None:
    """They all find the lock of a dead process, and only one of them follows it."""
    lock_of(tmp_path)
    code = (
        "import sys, time\n"
        "from hardneg.errors import LockedError\n"
        "from hardneg.pipelines.runs.lock import holding\n"
        "try:\n"
        "    with holding(sys.argv[1]):\n"
        "        print('held', flush=True); sys.stdin.readline()\n"
        "except LockedError:\n"
        "    print('locked', flush=True)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=-1, stdout=-1, text=True) for _ in range(4)
    ]
    said = [process.stdout.readline().strip() for process in processes if process.stdout]
    for process in processes:
        process.communicate("\n")
    assert sorted(said) == ["held", "locked", "locked", "locked"]
    assert not (tmp_path / "lock").exists()


def test_a_store_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match=r"store .*file/store: it cannot be made \(Not a directory\)"):
        enter(tmp_path / "file" / "store")

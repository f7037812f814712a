"""Where an output goes: not over another without leave, and there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hardneg.errors import HardnegError, OptionError, parameter
from hardneg.transforms.core import storage
from hardneg.transforms.output.manifest import MANIFEST

FULL_DISK = "A disk is full; make room and start the same command again: it goes on from its work folder."
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def explaining_full_disks() -> Iterator[None]:
    """Say in a sentence that a disk is full, whoever was writing.

    Raises:
        HardnegError: it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL and "[Errno 28]" not in str(error):
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise HardnegError(FULL_DISK.replace(";", f"{where};", 1)) from error


def refuse_existing(output: str, overwrite: bool) -> None:
    """Refuse to write where something stands, unless it may be replaced.

    Args:
        output: a folder, or a file whose name ends in ``.json``. In an object store, whose folders are not there until
            something is in them, a folder stands where a manifest does.
        overwrite: whether it may.

    Raises:
        OptionError: it may not.
    """
    if overwrite:
        return
    if storage.is_local(output):
        there = Path(output).exists()
    else:
        there = storage.exists(output if output.endswith(".json") else storage.join(output, MANIFEST))
    if there:
        raise OptionError(
            f"{parameter('output')} {output}: it exists; choose another name, or pass {parameter('overwrite')} to "
            "replace it.",
            path=output,
        )


def replaced_by(output: str) -> Path:
    """Return where a local output is kept that a new one replaces."""
    path = Path(output)
    return path.with_name(f"{path.name}.old")


def put_in_place(made: str | Path, output: str, keep: bool = True) -> None:
    """Move a finished folder to its place; the last step is one rename, so a kill leaves the old or the new whole.

    Args:
        made: it may lie on another disk than its place.
        output: its place, local; what stands there is replaced.
        keep: whether that is kept as ``replaced_by`` says.

    Raises:
        OSError: it can't be written.
    """
    place = Path(output)
    new, aside = (place.with_name(f".{place.name}.{suffix}") for suffix in ("new", "old"))
    old = replaced_by(output) if keep else aside
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(new, ignore_errors=True)
    shutil.move(made, new)
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(place, old)
    os.replace(new, place)
    if not keep:
        shutil.rmtree(old, ignore_errors=True)

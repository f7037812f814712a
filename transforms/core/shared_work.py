"""The work folder as workers on other machines see it: it must be the same everywhere."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from hardneg.errors import RunError, parameter
from hardneg.transforms.core.storage import is_local


def require_copy(work: str, path: str) -> None:
    """Check that a worker sees a copy of an input that was put into the work folder.

    Raises:
        RunError: it does not.
    """
    with shared_work(work):
        if is_local(path):
            os.stat(path)


@contextmanager
def shared_work(work: str) -> Iterator[None]:
    """Say in a sentence that a worker does not find in the work folder what another one left there.

    Raises:
        RunError: a file is missing.
    """
    try:
        yield
    except FileNotFoundError as error:
        if not is_local(work) or not str(error.filename).startswith(work):
            raise
        raise RunError(
            f"{work}: the worker on {socket.gethostname()} does not find there what another worker wrote "
            f"({error.filename}); give {parameter('work')} a folder that all workers see, or an object store.",
            path=str(error.filename),
        ) from error

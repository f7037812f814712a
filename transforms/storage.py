"""Files and folders on any Beam filesystem: written whole or not at all, read through a local copy."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems


def is_local(path: str) -> bool:
    """Return whether a path lies on this machine's disks rather than in an object store."""
    return "://" not in path


def join(base: str, *parts: str) -> str:
    """Join path parts the way the path's filesystem does."""
    return FileSystems.join(base, *parts)


def exists(path: str) -> bool:
    return FileSystems.exists(path)


def write_file(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that it is there whole or not at all; an existing one is replaced.

    Locally through a temporary file and a rename; an object store's file appears when it is closed.
    """
    if not is_local(path):
        with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            write(file)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_file(path: str) -> bytes:
    """Return a file's bytes, not decompressed."""
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return file.read()


def list_files(pattern: str) -> list[str]:
    """Return the paths that match a pattern, sorted."""
    return sorted(metadata.path for metadata in FileSystems.match([pattern])[0].metadata_list)


@contextmanager
def publishing(folder: str) -> Iterator[Path]:
    """Yield an empty local folder whose files are put into ``folder`` when the block ends without error."""
    if is_local(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    # Locally the scratch folder is made inside the target: a rename must not cross filesystems.
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=folder if is_local(folder) else None))
    try:
        yield scratch
        for file in sorted(path for path in scratch.rglob("*") if path.is_file()):
            target = join(folder, *file.relative_to(scratch).parts)
            if is_local(folder):
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
            else:
                write_file(target, partial(_copy_into, file))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy_into(file: Path, sink: IO[bytes]) -> None:
    with file.open("rb") as source:
        shutil.copyfileobj(source, sink)


def local_copy(path: str, cache: Path) -> Path:
    """Return a local path with a file's content: the file itself, or a copy of it under ``cache``."""
    if is_local(path):
        return Path(path)
    copy = cache / path.replace("://", "/")
    if not copy.exists():
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as source:
            write_file(str(copy), lambda sink: shutil.copyfileobj(source, sink))
    return copy

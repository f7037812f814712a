"""Files and folders on any Beam filesystem: written whole or not at all, read through a local copy.

Beam is imported when a file of an object store is first touched: for local ones, loading it would take longer than
most of what is done with them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hardneg.transforms.core.local_files import match_local

if TYPE_CHECKING:
    from apache_beam.io.filesystem import FileMetadata
    from apache_beam.io.filesystems import FileSystems

    from hardneg.transforms.core.local_files import MatchedFile


def _file_systems() -> type[FileSystems]:
    from apache_beam.io.filesystems import FileSystems

    if FileSystems._pipeline_options is None:  # before any pipeline is made; S3's client refuses to be without
        from apache_beam.options.pipeline_options import PipelineOptions

        FileSystems.set_options(PipelineOptions([]))
    return FileSystems


_AS_IT_IS = "uncompressed"  # CompressionTypes.UNCOMPRESSED


def is_local(path: str) -> bool:
    """Return whether a path lies on this machine's disks rather than in an object store."""
    return "://" not in path


def join(base: str, *parts: str) -> str:
    """Join path parts the way the path's filesystem does."""
    return os.path.join(base, *parts) if is_local(base) else _file_systems().join(base, *parts)


def exists(path: str) -> bool:
    return os.path.exists(path) if is_local(path) else bool(_file_systems().exists(path))


def write_file(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that it is there whole or not at all; an existing one is replaced.

    Locally through a temporary file and a rename; an object store's file appears when it is closed.
    """
    if not is_local(path):
        # Closing publishes, also where an exception closes: so nothing is created before all is there.
        with tempfile.TemporaryFile() as whole:
            write(whole)
            whole.seek(0)
            with _file_systems().create(path, compression_type=_AS_IT_IS) as file:
                shutil.copyfileobj(whole, file)
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


def open_file(path: str) -> IO[bytes]:
    """Open a file for reading, not decompressed."""
    return open(path, "rb") if is_local(path) else _file_systems().open(path, compression_type=_AS_IT_IS)


def checksum(path: str) -> str:
    """Return an object store's own checksum of a file."""
    return str(_file_systems().checksum(path))


def read_file(path: str) -> bytes:
    """Return a file's bytes, not decompressed."""
    with open_file(path) as file:
        return file.read()


def match(pattern: str) -> Sequence[MatchedFile | FileMetadata]:
    """Return what matches a path or glob, sorted by path.

    Raises:
        BeamIOError: the object store cannot be asked.
    """
    if is_local(pattern):
        # A glob without a folder in it is about the working folder.
        return match_local(pattern if os.path.dirname(pattern) else os.path.join(os.curdir, pattern))
    found = _file_systems().match([pattern])[0].metadata_list
    return sorted(found, key=lambda metadata: metadata.path)


def list_files(pattern: str) -> list[str]:
    """Return the paths that match a pattern, sorted."""
    return [metadata.path for metadata in match(pattern)]


def delete_files(pattern: str) -> None:
    """Delete the files that match a pattern; there may be none."""
    # Object stores' clients delete by exact name: a folder's name deletes nothing there.
    delete_all(list_files(pattern))


def delete_all(paths: list[str]) -> None:
    """Delete files by their exact names, and local folders with all that is in them."""
    for path in filter(is_local, paths):
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    if elsewhere := [path for path in paths if not is_local(path)]:
        _file_systems().delete(elsewhere)


def delete_folder(folder: str) -> None:
    """Delete a folder and all that is in it; it need not be there."""
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        delete_files(join(folder, "**"))


def copy_file(source: str, target: str) -> None:
    """Copy a file; on an object store its service does it, and no byte passes through here."""
    if is_local(source) or is_local(target):
        with open_file(source) as file:
            write_file(target, partial(shutil.copyfileobj, file))
        return
    _file_systems().copy([source], [target])


def delete_file(path: str) -> None:
    """Delete one file, whatever its name has in it; it may be gone."""
    if is_local(path):
        Path(path).unlink(missing_ok=True)
    elif exists(path):
        _file_systems().delete([path])


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


def copy_files(pattern: str, cache: Path) -> int:
    """Bring copies of an object store's files under ``cache`` up to date; return how many were copied."""
    copied = 0
    for found in match(pattern):
        copy = cache / found.path.replace("://", "/")
        # An earlier run may have left another file of that name here: the original's time tells them apart.
        updated = round(found.last_updated_in_seconds * 1e6) * 1000
        if copy.exists() and (copy.stat().st_size, copy.stat().st_mtime_ns) == (found.size_in_bytes, updated):
            continue
        with open_file(found.path) as source:
            write_file(str(copy), partial(shutil.copyfileobj, source))
        os.utime(copy, ns=(updated, updated))
        copied += 1
    return copied

"""Models converted once on this machine, in a folder whose files are all there and unchanged, or made again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from hardneg_models.multilingual import ConversionError

VARIABLE = "HARDNEG_CACHE"
_MANIFEST = "hardneg.json"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def cache_folder() -> Path:
    """Return ``HARDNEG_CACHE``, else ``hardneg`` in the user's cache folder; it need not exist.

    Raises:
        ConversionError: the user has no home folder.
    """
    try:
        if given := os.environ.get(VARIABLE):
            return Path(given).expanduser().absolute()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "hardneg"
    except RuntimeError:
        raise ConversionError(
            f"there is no home folder to keep converted models in; set {VARIABLE} to a folder."
        ) from None


def cached_model(name: str, build: Callable[[Path], object]) -> Path:
    """Return the folder ``name`` of the cache, made by ``build`` unless it is there, whole and unchanged.

    ``build`` writes into an empty folder, which is renamed when all is there: killed at any moment, it leaves nothing
    under ``name``, and the next call removes what it left. Of several processes, one builds and the others wait.
    A folder that lacks a file, has one too many or holds a changed one is built again.

    Raises:
        ConversionError: the cache folder cannot be written, or is full; whatever ``build`` raises.
    """
    cache = cache_folder()
    folder = cache / name
    if _is_whole(folder):
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _waiting(cache / f"{name}.lock") as alone:
            if not _is_whole(folder):
                if alone:
                    _remove_leftovers(cache, name)
                _build(folder, build)
    except OSError as error:
        raise _refusal(error, cache) from error
    return folder


def _refusal(error: OSError, cache: Path) -> ConversionError:
    if error.errno in _FULL:
        return ConversionError(
            f"there is no room for it in {cache} ({error.strerror}); make some, or set {VARIABLE} to a folder "
            "on another disk."
        )
    return ConversionError(
        f"the cache folder {cache} cannot be written ({error.strerror or error}); set {VARIABLE} to a folder that can."
    )


@contextmanager
def _waiting(path: Path) -> Iterator[bool]:
    """Wait until no other process holds the lock; yield False where the file system has none.

    The system lets go of the lock of a process that ends, however it ends, so no lock is ever stale.
    """
    with ExitStack() as held:
        try:
            held.enter_context(FileLock(path, fallback_to_soft=False))
            alone = True
        except (OSError, NotImplementedError):
            alone = False
        yield alone


def _build(folder: Path, build: Callable[[Path], object]) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=_prefix(folder.name), dir=folder.parent))
    try:
        build(scratch)
        scratch.chmod(0o755)
        digests = {name: _sha256(scratch / name) for name in _files(scratch)}
        (scratch / _MANIFEST).write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        if _is_whole(folder):  # without a lock, another process was faster
            return
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _prefix(name: str) -> str:
    return f".{name}.new-"


def _remove_leftovers(cache: Path, name: str) -> None:
    for path in cache.glob(f"{_prefix(name)}*"):
        shutil.rmtree(path, ignore_errors=True)


def _sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_of(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256_of(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[str]:
    """Return a folder's files, relative, sorted, without its manifest and hidden ones, which file managers make."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name != _MANIFEST and "/." not in f"/{name}")


def _is_whole(folder: Path) -> bool:
    with suppress(OSError, ValueError):
        digests = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return bool(digests) and digests == {name: _sha256(folder / name) for name in _files(folder)}
    return False

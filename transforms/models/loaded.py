"""What a worker process loads once and keeps while its files are the same: models, and its share of the threads.

Beam's ``Shared`` keeps one object per handle, and fused stages keep only one token alive; a model that is
loaded again for each stage or bundle costs more than the work. So: one cache per process. A run in this process
lets go of all of it at its end; a worker process of another engine keeps it for the next job.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from hardneg.errors import ModelError
from hardneg.transforms.core.orphans import end_with_the_run
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.fingerprint import files_digest
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.models.spec import ModelSpec

if TYPE_CHECKING:  # each brings its libraries, when it is first asked for
    from hardneg.transforms.models.bi_encoder import BiEncoder
    from hardneg.transforms.models.cross_encoder import CrossEncoder
    from hardneg.transforms.models.served.cross_encoder import RemoteCrossEncoder

_T = TypeVar("_T")
Reranker: TypeAlias = "CrossEncoder | RemoteCrossEncoder"
_FILES = "files"

_lock = threading.RLock()
_cache: dict[tuple[Hashable, ...], Any] = {}
_runs = 0  # that are under way in this process


def cached(key: tuple[Hashable, ...], make: Callable[[], _T]) -> _T:
    """Return the process's object for a key, made when first asked for."""
    with _lock:
        if key not in _cache:
            _cache[key] = make()
        return _cache[key]


def evict(*prefix: Hashable) -> None:
    """Let go of the objects whose keys begin so."""
    with _lock:
        for key in [key for key in _cache if key[: len(prefix)] == prefix]:
            del _cache[key]


def clear() -> None:
    """Let go of all objects."""
    with _lock:
        _cache.clear()


def cache_size() -> int:
    """Return how many objects the process keeps."""
    return len(_cache)


@contextmanager
def run_in_this_process() -> Iterator[None]:
    """Keep what is loaded until the run ends, and nothing beyond it.

    While it lasts, a model whose files change is an error: half of the run would be scored by other weights.
    """
    global _runs
    with _lock:
        if not _runs:
            clear()
        _runs += 1
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            if not _runs:
                clear()


def bi_encoder(spec: ModelSpec) -> BiEncoder:
    """Return the process's bi-encoder; loaded again where its files have changed since, outside of a run.

    Raises:
        ModelError: it cannot be found or loaded, or its files changed during a run.
    """
    from hardneg.transforms.models.bi_encoder import BiEncoder

    return from_files(spec, lambda folder: BiEncoder(spec, folder))


def cross_encoder(spec: ModelSpec | RemoteSpec) -> Reranker:
    """Return the process's cross-encoder, as ``bi_encoder`` does; of a served one, its client."""
    if isinstance(spec, RemoteSpec):
        from hardneg.transforms.models.served.cross_encoder import RemoteCrossEncoder

        return cached((spec,), lambda: RemoteCrossEncoder(spec))
    from hardneg.transforms.models.cross_encoder import CrossEncoder

    return from_files(spec, lambda folder: CrossEncoder(spec, folder))


def from_files(spec: ModelSpec, read: Callable[[Path], _T], name: str = "model") -> _T:
    """Return what ``read`` makes of a model's folder, kept while the digest of its files is the same.

    Args:
        name: what is read, if it is not the model itself.

    Raises:
        ModelError: the model cannot be found, or its files changed during a run; whatever ``read`` raises.
    """
    with _lock:
        folder, digest = cached((spec, _FILES), lambda: _found(spec))
        now = files_digest(folder)
        if now != digest:
            if _runs:
                raise ModelError(
                    f"{spec.kind} {spec.model}: its files changed while the run was using them; start the run again.",
                    model=spec.model,
                )
            evict(spec)
            folder, digest = cached((spec, _FILES), lambda: _found(spec))
        return cached((spec, digest, name), lambda: read(folder))


def _found(spec: ModelSpec) -> tuple[Path, str]:
    folder = find_model(spec)
    return folder, files_digest(folder)


def use_threads(threads: int | None) -> None:
    """Limit torch and numba to this worker's share of the cores, and end it with its run.

    None: a worker of an engine of others, where torch goes by OMP_NUM_THREADS; numba's code runs in one thread anyway.
    """
    if not threads:
        return
    end_with_the_run()
    import numba
    import torch

    # The tokenizers library warns, and forks badly, when worker processes start after it was used in parallel.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true" if threads > 1 else "false")
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))

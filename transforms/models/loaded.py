"""What a worker process holds once and keeps: models, and its share of the machine's threads.

Beam's ``Shared`` keeps one object per handle, and fused stages keep only one token alive; a model that is
loaded again for each stage or bundle costs more than the work. So: one holder per process, for its life.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from hardneg.transforms.models.bi_encoder import BiEncoder
from hardneg.transforms.models.cross_encoder import CrossEncoder
from hardneg.transforms.models.files import ModelSpec
from hardneg.transforms.models.served.cross_encoder import RemoteCrossEncoder, RemoteSpec

T = TypeVar("T")
Reranker = CrossEncoder | RemoteCrossEncoder
_lock = threading.RLock()
_held: dict[Any, Any] = {}


def hold(key: Any, make: Callable[[], T]) -> T:
    """Return the process's object for a key, made when first asked for."""
    with _lock:
        if key not in _held:
            _held[key] = make()
        return _held[key]


def drop(*prefix: Any) -> None:
    """Let go of the objects whose keys are tuples that begin so."""
    with _lock:
        for key in [key for key in _held if isinstance(key, tuple) and key[: len(prefix)] == prefix]:
            del _held[key]


def bi_encoder(spec: ModelSpec) -> BiEncoder:
    return hold(spec, lambda: BiEncoder(spec))


def cross_encoder(spec: ModelSpec | RemoteSpec) -> Reranker:
    return hold(spec, lambda: RemoteCrossEncoder(spec) if isinstance(spec, RemoteSpec) else CrossEncoder(spec))


def use_threads(threads: int | None) -> None:
    """Limit torch and numba to this worker's share of the cores; None leaves them as they are."""
    if not threads:
        return
    import numba

    # The tokenizers library warns, and forks badly, when worker processes start after it was used in parallel.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true" if threads > 1 else "false")
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))

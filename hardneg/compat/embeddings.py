"""Embeddings of queries and corpus by a live model, kept in a folder if one is given.

Of the model no more is asked than to encode. So what tells a model from the same one with other weights is what it
answers: a probe, some of the texts encoded anew, whose embeddings are part of the stored ones' address.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardneg.errors import ModelError

_PROBE = 32  # texts, evenly spread over all

logger = logging.getLogger("hardneg.compat.drop_in")


@dataclass(frozen=True)
class Side:
    """The texts of one side, and how the model encodes them.

    Attributes:
        name: ``query`` or ``corpus``; begins the file's name.
        encode: ``encode_query`` or ``encode_document`` of the model.
        texts: distinct.
        prompt_name, prompt: as the model takes them.
        batch_size: texts at a time.
        show: whether to draw a progress bar.
    """

    name: str
    encode: Callable[..., Any]
    texts: list[str]
    prompt_name: str | None
    prompt: str | None
    batch_size: int
    show: bool

    def embed(self, texts: Sequence[str], pool: Any = None, show: bool | None = None) -> np.ndarray:
        """Return L2-normalised embeddings, shape (texts, d).

        Raises:
            HardnegError: the model gives something else, or values that are not finite.
        """
        values = np.asarray(
            self.encode(
                texts,
                pool=pool,
                batch_size=self.batch_size,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=self.show if show is None else show,
                prompt_name=self.prompt_name,
                prompt=self.prompt,
            )
        )
        if values.ndim != 2 or len(values) != len(texts):
            raise ModelError(f"The model gave an array of shape {values.shape} for {len(texts)} texts.")
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            text = texts[int(np.argmin(finite))]
            raise ModelError(f"The model's embedding of {text[:60]!r} is not finite: run it in float32.")
        return values

    def address(self) -> str:
        """Return 64 hex digits that change with the texts, the prompts, and what the model makes of some of them."""
        digest = hashlib.sha256(repr((self.name, self.prompt_name, self.prompt, len(self.texts))).encode())
        for text in self.texts:
            data = repr(text).encode()
            digest.update(len(data).to_bytes(8, "big") + data)
        places = np.unique(np.linspace(0, len(self.texts) - 1, _PROBE).astype(int))
        probe = self.embed([self.texts[place] for place in places], show=False)
        digest.update(repr((probe.shape, probe.dtype.str)).encode() + np.ascontiguousarray(probe).tobytes())
        return digest.hexdigest()


def embed_sides(
    model: Any, sides: Sequence[Side], cache_folder: str | None, use_multi_process: list[str] | bool
) -> list[np.ndarray]:
    """Return the embeddings of each side; those of the folder, if the same model left them there.

    Args:
        model: starts and stops the processes, if several are wanted.
        sides: what to encode.
        cache_folder: where ``SIDE_embeddings_ADDRESS.npy`` lie; None: nothing is kept.
        use_multi_process: as the model takes it; a list names the devices.
    """
    paths = [_path(cache_folder, side) if cache_folder else None for side in sides]
    found = [_stored(path, len(side.texts)) if path else None for path, side in zip(paths, sides, strict=True)]
    if all(values is not None for values in found):
        return [values for values in found if values is not None]
    pool = start_pool(model, use_multi_process)
    try:
        result = [
            side.embed(side.texts, pool) if values is None else values
            for side, values in zip(sides, found, strict=True)
        ]
    finally:
        if pool is not None:
            model.stop_multi_process_pool(pool)
    for path, former, values in zip(paths, found, result, strict=True):
        if path and former is None:
            _store(path, values)
    return result


def start_pool(model: Any, use_multi_process: list[str] | bool) -> Any:
    """Return a started pool of a model's processes, or None if one process is to do."""
    if not use_multi_process:
        return None
    devices = None if isinstance(use_multi_process, bool) else use_multi_process
    return model.start_multi_process_pool(target_devices=devices)


def _path(folder: str, side: Side) -> Path:
    return Path(folder) / f"{side.name}_embeddings_{side.address()}.npy"


def _stored(path: Path, texts: int) -> np.ndarray | None:
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError):
        logger.warning("%s is damaged; it is made again.", path)
        return None
    return values if values.ndim == 2 and len(values) == texts else None


def _store(path: Path, values: np.ndarray) -> None:
    """Write a file whole or not at all: another process may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", suffix=".npy", delete=False) as file:
        np.save(file, values, allow_pickle=False)
    os.replace(file.name, path)

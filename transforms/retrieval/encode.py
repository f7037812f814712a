"""Embeddings as they are kept: under their content's address, and as a column of a table."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from hardneg.errors import RunError
from hardneg.transforms.core import storage


def texts_digest(fingerprint: str, *texts: Sequence[str]) -> str:
    """Return the address of what a model computes from lists of texts of equal length."""
    digest = hashlib.sha256(fingerprint.encode())
    for group in texts:
        for text in group:
            data = text.encode()
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
    return digest.hexdigest()


def stored_array(path: str) -> np.ndarray | None:
    """Return an array that a former run left under its content's address, or None."""
    if not storage.exists(path):
        return None
    return np.load(io.BytesIO(storage.read_file(path)), allow_pickle=False)


def store_array(path: str, values: np.ndarray) -> None:
    storage.write_file(path, lambda sink: np.save(sink, values, allow_pickle=False))


def assemble(parts: Iterable[tuple[int, str]], rows: int, target: Path) -> None:
    """Bring a segment's embeddings together in one .npy file, float32, shape (rows, dimension).

    Args:
        parts: (first row, path of the array of some consecutive rows), in any order.
        rows: how many there are.
        target: the file.

    Raises:
        RunError: a part is not there any more.
    """
    whole: np.memmap | None = None
    for start, path in sorted(parts):
        values = stored_array(path)
        if values is None:
            raise RunError(f"{path} vanished while the run was using it; start the run again.", path=path)
        if whole is None:
            whole = np.lib.format.open_memmap(target, "w+", np.float32, (rows, values.shape[1]))
        whole[start : start + len(values)] = values
    if whole is not None:
        whole.flush()

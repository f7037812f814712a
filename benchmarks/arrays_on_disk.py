"""Arrays that a benchmark computes once: kept in a file under the digest of what they were computed from."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import numpy as np

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

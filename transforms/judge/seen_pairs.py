"""The pairs that a cross-encoder was trained on, as digests in its folder: calibrating on them would flatter it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.errors import ModelError
from hardneg.transforms.core.block import Block

DIGESTS = "training_pairs.npy"
SEEN = "seen_in_training"  # a column of candidates/

Digests = npt.NDArray[np.uint64]
NO_DIGESTS: Digests = np.zeros(0, dtype=np.uint64)


def pair_digest(query: bytes, passage: bytes) -> int:
    """Return the 64-bit digest of a pair of ``text.text_digest``s."""
    return int.from_bytes(hashlib.blake2b(query + passage, digest_size=8).digest(), "big")


def pair_digests(pairs: Iterable[tuple[bytes, bytes]]) -> Digests:
    return np.array([pair_digest(query, passage) for query, passage in pairs], dtype=np.uint64)


def write_digests(folder: Path, digests: Digests) -> None:
    """Write a model's training pairs, sorted, each once."""
    sink = io.BytesIO()
    np.save(sink, np.unique(digests), allow_pickle=False)
    (folder / DIGESTS).write_bytes(sink.getvalue())


def read_digests(folder: Path) -> Digests:
    """Return the pairs that the model in a folder was trained on, sorted; none if it does not say.

    Raises:
        ModelError: the file is damaged.
    """
    path = folder / DIGESTS
    if not path.is_file():
        return NO_DIGESTS
    try:
        digests = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (ValueError, OSError, EOFError):
        digests = None
    if digests is None or digests.dtype != np.uint64 or digests.ndim != 1:
        raise ModelError(f"{path} is damaged: get the model again, or delete that file if you know its training.")
    return digests


def seen(digests: Digests, training: Digests) -> npt.NDArray[np.bool_]:
    """Return which digests are in a sorted array of training pairs."""
    if not len(training):
        return np.zeros(len(digests), dtype=np.bool_)
    place = np.minimum(np.searchsorted(training, digests), len(training) - 1)
    return training[place] == digests


def mark_seen(block: Block, training: Digests | None) -> Block:
    """Return a block whose candidates say in the column ``SEEN`` which of them the judge learned from.

    Args:
        block: merged candidates.
        training: the judge's training pairs; None: no model is at hand, and what was stored is left as it is.
    """
    candidates = block.candidates
    if training is None:
        return block
    if SEEN in candidates.column_names:
        candidates = candidates.drop_columns([SEEN])
    marked = np.zeros(len(candidates), dtype=np.bool_)
    if len(training):
        queries = block.queries["text_digest"].take(candidates["query"]).to_pylist()
        marked = seen(pair_digests(zip(queries, candidates["text_digest"].to_pylist(), strict=True)), training)
    return Block(block.queries, candidates.append_column(SEEN, pa.array(marked)), block.texts)


def marked_seen(candidates: pa.Table) -> npt.NDArray[np.bool_]:
    """Return which candidates are marked as learned from."""
    if SEEN not in candidates.column_names:
        return np.zeros(len(candidates), dtype=np.bool_)
    return candidates[SEEN].fill_null(False).to_numpy()

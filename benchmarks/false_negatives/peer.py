"""The peer: ``sentence_transformers.util.mine_hard_negatives``, as installed, on stored embeddings.

The function encodes the corpus on every call. Here the model that it is given computes each embedding once,
through the library's own ``encode``, keeps it on disk, and looks it up from then on.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import mine_hard_negatives

from benchmarks.arrays_on_disk import store_array, stored_array, texts_digest
from benchmarks.withheld import Collection
from hardneg.transforms.models.backends.torch_backend import DTYPES
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.fingerprint import describe_model
from hardneg.transforms.models.spec import ModelSpec

RANGE_MAX = 100
_CHUNK_BATCHES = 32  # a killed run loses at most this many batches


class StoredEncoder(SentenceTransformer):
    """A model that keeps what it has encoded, under a digest of its files, dtype, arguments and the texts.

    Texts are sorted by length before they are cut into chunks of whole batches, as ``encode`` itself sorts them, so
    the batches are those of one call (but for texts of equal length, which may change places).

    Args:
        spec: the model, run in the spec's dtype on its device.
        store: a folder for the embeddings.
    """

    def __init__(self, spec: ModelSpec, store: Path) -> None:
        spec = spec.resolved()
        folder = find_model(spec)
        super().__init__(
            str(folder),
            device=spec.device,
            local_files_only=True,
            model_kwargs={"dtype": DTYPES[spec.dtype], "use_safetensors": True},
        )
        store.mkdir(parents=True, exist_ok=True)
        self._store = store
        self._description = describe_model(spec, folder, self.max_seq_length or 0)

    @property
    def description(self) -> dict[str, Any]:
        """What the embeddings depend on; ``dtype`` and ``fingerprint`` among it."""
        return self._description

    def encode(self, inputs: Any, *args: Any, batch_size: int = 32, **options: Any) -> Any:
        """Return the embeddings of texts, float32, shape (n, d), those of the library's ``encode``."""
        if args or isinstance(inputs, str) or options.get("pool") or not options.get("convert_to_numpy", True):
            raise ValueError("only lists of texts, options by name, one process and NumPy arrays are stored")
        texts = list(inputs)
        said = {"batch_size": batch_size, **options, "show_progress_bar": None}
        address = hashlib.sha256(f"{self._description['fingerprint']} {sorted(said.items())}".encode()).hexdigest()
        order = np.argsort([-len(text) for text in texts], kind="stable")
        step = batch_size * _CHUNK_BATCHES
        parts = []
        for start in range(0, len(texts), step):
            chunk = [texts[row] for row in order[start : start + step]]
            path = str(self._store / f"{texts_digest(address, chunk)}.npy")
            values = stored_array(path)
            if values is None:
                values = super().encode(chunk, batch_size=batch_size, **options | {"show_progress_bar": False})
                store_array(path, values)
                print(f"  {start + len(chunk):,} of {len(texts):,} texts encoded", flush=True)
            parts.append(values)
        result = np.empty((len(texts), parts[0].shape[1]), dtype=parts[0].dtype)
        result[order] = np.concatenate(parts)
        return result


def mine(encoder: SentenceTransformer, collection: Collection, **options: Any) -> list[tuple[str, str]]:
    """Mine a collection; return (query id, passage id) of each negative.

    The function takes texts and returns texts. Passages of one string are one passage, which goes by the first of
    their ids; a query's known positives are all given, one row each, as the function asks.

    Args:
        options: ``relative_margin``, ``num_negatives`` and so on, as the function names them.
    """
    pairs = [(query, passage) for query in collection.queries for passage in collection.known[query]]
    dataset = Dataset.from_dict(
        {
            "anchor": [collection.queries[query] for query, _ in pairs],
            "positive": [collection.passages[passage] for _, passage in pairs],
        }
    )
    corpus = list(collection.passages.values())
    with contextlib.redirect_stderr(io.StringIO()):  # it always draws a bar
        asked = {"range_max": RANGE_MAX, "verbose": False, **options}
        mined = mine_hard_negatives(dataset, encoder, corpus=corpus, **asked)
    passage_of = {text: passage for passage, text in reversed(collection.passages.items())}
    queries_of: dict[str, list[str]] = {}
    for query, text in collection.queries.items():
        queries_of.setdefault(text, []).append(query)
    found = dict.fromkeys(zip(mined["anchor"], mined["negative"], strict=True))  # once, not once a positive
    return [(query, passage_of[negative]) for anchor, negative in found for query in queries_of[anchor]]


def vectors(encoder: SentenceTransformer, collection: Collection) -> tuple[np.ndarray, np.ndarray]:
    """Return unit embeddings of the queries and of the passages: float64, shape (n, d), in the collection's order.

    They are the ones that the function itself encodes, so this computes nothing that it would not.
    """
    texts = list(dict.fromkeys(collection.passages.values()))
    questions = list(dict.fromkeys(collection.queries.values()))
    ours: dict[str, Any] = {"normalize_embeddings": True, "convert_to_numpy": True}
    passages = dict(zip(texts, encoder.encode_document(texts, **ours), strict=True))
    queries = dict(zip(questions, encoder.encode_query(questions, **ours), strict=True))
    return (
        _unit(np.stack([queries[text] for text in collection.queries.values()])),
        _unit(np.stack([passages[text] for text in collection.passages.values()])),
    )


def _unit(values: np.ndarray) -> np.ndarray:
    """Return rows of norm one in float64: a normalisation in bfloat16 leaves them off by a thousandth."""
    wide = values.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)

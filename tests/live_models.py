"""Live model objects that have nothing but what ``mine_hard_negatives`` may ask of them, and cost nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

GRID = 1 / 512  # scores of a query lie at least this far apart


def grid_scores(seed: int, query: str, size: int) -> np.ndarray:
    """Return distinct scores of a query for ``size`` documents, float32, between -1 and 1."""
    rng = np.random.default_rng([seed, int(query[1:])])
    return ((rng.permutation(1024)[:size] - 512) * GRID).astype(np.float32)


class TableModel:
    """Texts ``q3`` and ``d17``; a query's embedding is its row of scores, a document's is one-hot.

    So similarities are the table's values, bit for bit, whatever the blocks.
    """

    device = torch.device("cpu")
    model_card_data = SimpleNamespace(base_model="table")

    def __init__(self, seed: int, documents: int) -> None:
        self._seed, self._size = seed, documents
        self.encoded: list[str] = []
        self.bars: list[bool] = []
        self.pools: list[str] = []

    def encode_query(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        self._check(texts, options)
        return np.stack([grid_scores(self._seed, text, self._size) for text in texts])

    def encode_document(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        self._check(texts, options)
        return np.eye(self._size, dtype=np.float32)[[int(text[1:]) for text in texts]]

    def _check(self, texts: Sequence[str], options: dict[str, Any]) -> None:
        assert set(options) == {
            "pool",
            "batch_size",
            "normalize_embeddings",
            "convert_to_numpy",
            "show_progress_bar",
            "prompt_name",
            "prompt",
        }
        self.encoded += texts
        self.bars.append(options["show_progress_bar"])

    def get_embedding_dimension(self) -> int:
        return self._size

    def similarity(self, queries: Any, documents: Any) -> torch.Tensor:
        return torch.as_tensor(queries) @ torch.as_tensor(documents).T

    def similarity_pairwise(self, queries: Any, documents: Any) -> torch.Tensor:
        return (torch.as_tensor(queries) * torch.as_tensor(documents)).sum(1)

    def start_multi_process_pool(self, target_devices: list[str] | None = None) -> dict[str, Any]:
        self.pools.append(f"start {target_devices}")
        return {"processes": []}

    def stop_multi_process_pool(self, pool: dict[str, Any]) -> None:
        self.pools.append("stop")


class TableCrossEncoder:
    """Scores pairs by another table; ``sigmoids``: between 0 and 1."""

    def __init__(self, seed: int, documents: int, sigmoids: bool = False) -> None:
        self._seed, self._size, self._sigmoids = seed + 1, documents, sigmoids
        self.calls: list[int] = []
        self.pools: list[str] = []

    def score(self, query: str, document: str) -> float:
        value = float(grid_scores(self._seed, query, self._size)[int(document[1:])])
        return (value + 1) / 2 if self._sigmoids else 4 * value

    def predict(self, pairs: Sequence[Any], *, batch_size: int, convert_to_tensor: bool, pool: Any) -> torch.Tensor:
        assert convert_to_tensor
        self.calls.append(len(pairs))
        return torch.tensor([self.score(*pair) for pair in pairs], dtype=torch.float32)

    start_multi_process_pool = TableModel.start_multi_process_pool
    stop_multi_process_pool = TableModel.stop_multi_process_pool


class WordModel(TableModel):
    """Texts of words; an embedding is the normalised sum of the words' random vectors, turned by ``weights``."""

    def __init__(self, weights: int = 0, dimension: int = 16) -> None:
        super().__init__(weights, dimension)

    def _embed(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        self._check(texts, options)
        sums = np.stack([np.sum([self._word(word) for word in text.split()], axis=0) for text in texts])
        return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)

    encode_query = encode_document = _embed

    def _word(self, word: str) -> np.ndarray:
        digest = hashlib.blake2b(f"{self._seed} {word}".encode(), digest_size=8).digest()
        return np.random.default_rng(int.from_bytes(digest, "big")).normal(size=self._size)


class RuleCrossEncoder(TableCrossEncoder):
    """Scores pairs by a function of their texts."""

    def __init__(self, rule: Callable[[str, str], float]) -> None:
        super().__init__(0, 0)
        self.score = rule  # type: ignore[method-assign]


class ExactIndex:
    """What of ``faiss`` is used, over NumPy."""

    def __init__(self, dimension: int) -> None:
        self._documents = np.empty((0, dimension), np.float32)

    def add(self, documents: np.ndarray) -> None:
        self._documents = np.concatenate([self._documents, documents])

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        products = queries @ self._documents.T
        order = np.argsort(-products, axis=1, kind="stable")[:, :k]
        scores = np.full((len(queries), k), -3.4e38, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        scores[:, : order.shape[1]] = np.take_along_axis(products, order, axis=1)
        rows[:, : order.shape[1]] = order
        return scores, rows


def fake_faiss(gpus: int = 0) -> SimpleNamespace:
    return SimpleNamespace(IndexFlatIP=ExactIndex, get_num_gpus=lambda: gpus)

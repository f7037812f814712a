"""A second backend in one file, over NumPy: a token's embedding is its word's, and a logit is their weighted mean.

``ModelSpec(..., backend="toy_backend:TOY")`` runs any tiny BERT with it; its line in ``BACKENDS`` would give it a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from hardneg.transforms.models.backends.backend import Encoder, EncoderNetwork, RerankerNetwork, TokenIds
from hardneg.transforms.models.spec import ModelSpec


class ToyBackend:
    name = "toy"
    libraries = ("numpy",)

    def placed(self, device: str, dtype: str) -> tuple[str, str]:
        return "cpu", "float32"

    def encoder(self, spec: ModelSpec, folder: Path) -> Encoder:
        around = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        return Encoder(words_of(folder), around)

    def reranker(self, spec: ModelSpec, folder: Path) -> RerankerNetwork:
        words, weights = words_of(folder), load_file(folder / "model.safetensors")["classifier.weight"][0]

        def network(ids: TokenIds) -> npt.NDArray[np.float32]:
            here = ids["attention_mask"][..., None]
            mean = (words(ids)["token_embeddings"] * here).sum(axis=1) / here.sum(axis=1)
            return (mean * weights).sum(axis=1).astype(np.float32)

        return network


def words_of(folder: Path) -> EncoderNetwork:
    weights = load_file(folder / "model.safetensors")
    (table,) = (values for name, values in weights.items() if name.endswith("word_embeddings.weight"))

    def network(ids: TokenIds) -> Mapping[str, npt.NDArray[np.float32]]:
        return {"token_embeddings": table[ids["input_ids"]]}

    return network


TOY = ToyBackend()

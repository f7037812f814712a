"""The models that are trained: a static embedding distilled from the bundled bi-encoder, and the bi-encoder itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.spec import ModelSpec

BASES = ("static", "minilm", "minilm-reset")
RESET_LAYERS = 2
_DIMENSIONS = 256
_SIF = 1e-4
_TOKENS_AT_ONCE = 512


def load_base(name: str, work: Path, texts: Texts, seed: int = 0) -> SentenceTransformer:
    """Return a base, untrained, in float32.

    Args:
        name: ``static``; ``minilm``, the bundled bi-encoder; ``minilm-reset``, with its last layers drawn anew by the
            seed, for a model that has not seen such pairs.
        work: where the static table is kept.
        texts: all that it will be asked to read; the static base is cut to their tokens.
        seed: of the layers that are drawn.
    """
    if name == "static":
        table, tokens = _table(work), texts.tokens
        return SentenceTransformer(modules=[_CutStatic(texts, table[tokens])], device="cpu")
    model = SentenceTransformer(str(_bundled()), local_files_only=True, model_kwargs={"dtype": "float32"})
    if name == "minilm-reset":
        torch.manual_seed(seed)
        encoder: Any = model[0].auto_model
        for layer in encoder.encoder.layer[-RESET_LAYERS:]:
            layer.apply(encoder._init_weights)
    return model


def _bundled() -> Path:
    return find_model(ModelSpec("bi-encoder", "bundled"))


class Texts:
    """Texts as the static base reads them: each is taken apart once, and tokens that none has are left out.

    No gradient ever reaches those, so a training is the same without them, and takes a tenth of the time.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.tokenizer = Tokenizer.from_file(str(_bundled() / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        distinct = list(dict.fromkeys(texts))
        read = [each.ids for each in self.tokenizer.encode_batch(distinct, add_special_tokens=False)]
        self.tokens = np.unique(np.concatenate(read))
        self._ids = {text: np.searchsorted(self.tokens, ids) for text, ids in zip(distinct, read, strict=True)}

    def __getitem__(self, text: str) -> np.ndarray:
        return self._ids[text]


class _CutStatic(StaticEmbedding):
    def __init__(self, texts: Texts, table: np.ndarray) -> None:
        super().__init__(texts.tokenizer, embedding_weights=table)
        self._texts = texts

    def preprocess(self, inputs: Any, prompt: str | None = None, **_: Any) -> dict[str, torch.Tensor]:
        ids = [self._texts[text] for text in inputs]
        starts = np.cumsum([0, *map(len, ids[:-1])])
        return {"input_ids": torch.from_numpy(np.concatenate(ids)), "offsets": torch.from_numpy(starts)}


def _table(work: Path) -> np.ndarray:
    path = work / "static.npy"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".part").open("wb") as file:
            np.save(file, distilled(Tokenizer.from_file(str(_bundled() / "tokenizer.json"))))
        path.with_suffix(".part").rename(path)
    return np.load(path)


def distilled(tokenizer: Tokenizer) -> np.ndarray:
    """Return a vector for each token, float32, shape (vocabulary, 256).

    As model2vec distils: the model's mean over a token alone, projected onto its first principal components, times
    a / (a + p), where p is by Zipf's law what a token of that place in the vocabulary has. Its package is not used:
    what it distils with wants an older transformers.
    """
    whole = SentenceTransformer(str(_bundled()), local_files_only=True, model_kwargs={"dtype": "float32"})
    model: Any = whole[0].auto_model
    begin, end = (tokenizer.encode(token, add_special_tokens=False).ids[0] for token in ("[CLS]", "[SEP]"))
    size = tokenizer.get_vocab_size()
    parts = []
    with torch.inference_mode():
        for start in range(0, size, _TOKENS_AT_ONCE):
            tokens = torch.arange(start, min(size, start + _TOKENS_AT_ONCE))
            ids = torch.stack([torch.full_like(tokens, begin), tokens, torch.full_like(tokens, end)], dim=1)
            states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            parts.append(states.mean(dim=1).double().numpy())
    vectors = np.concatenate(parts)
    vectors -= vectors.mean(axis=0)
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    vectors = vectors @ axes[:, ::-1][:, :_DIMENSIONS]
    share = 1 / np.arange(1, size + 1)
    return (vectors * (_SIF / (_SIF + share / share.sum()))[:, None]).astype(np.float32)

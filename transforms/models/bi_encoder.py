"""Bi-encoders: texts to L2-normalised embeddings, the same bits whatever they are batched with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from hardneg.errors import HardnegError
from hardneg.transforms.models.canonical_shapes import run_canonical
from hardneg.transforms.models.files import (
    LOAD_ERRORS,
    ModelSpec,
    check_tokenizer,
    describe_model,
    find_model,
    token_limit,
)

Role = Literal["query", "passage"]

_PROMPT_NAMES: dict[Role, tuple[str, ...]] = {"query": ("query",), "passage": ("document", "passage", "corpus")}


class BiEncoder:
    """A sentence-transformers model, called on canonical shapes.

    ``SentenceTransformer.encode`` sorts, pads to the longest and leaves a short last batch, so its output
    depends on the batch; here the transformer runs in the spec's dtype, and pooling and normalisation in
    float32.

    Args:
        spec: the model, and how it is run.
        folder: where its files are, if that is known.

    Raises:
        HardnegError: the model cannot be found or is not a text transformer.
    """

    def __init__(self, spec: ModelSpec, folder: Path | None = None) -> None:
        from sentence_transformers import SentenceTransformer

        self.spec = spec.resolved()
        folder = folder or find_model(spec)
        try:
            model = SentenceTransformer(
                str(folder),
                device=self.spec.device,
                trust_remote_code=spec.trust_remote_code,
                local_files_only=True,
                model_kwargs={"dtype": self.spec.torch_dtype, "use_safetensors": True},
            ).eval()
        except LOAD_ERRORS as error:
            raise HardnegError(f"bi-encoder {spec.model}: {folder} could not be loaded: {error}") from error
        self._transformer, *self._head = list(model)
        if not hasattr(self._transformer, "auto_model"):
            raise HardnegError(
                f"bi-encoder {spec.model}: its first module is a {type(self._transformer).__name__}, and only "
                "transformers can be run; pass its vectors with --embeddings instead."
            )
        for module in self._head:
            module.float()
        self.tokenizer: Any = model.tokenizer
        check_tokenizer(spec, self.tokenizer)
        self.max_length = token_limit(spec, model.max_seq_length, self.tokenizer.model_max_length)
        self.dimension = int(model.get_embedding_dimension() or 0)
        self.prompts: dict[Role, str] = {
            "query": _prompt(spec.query_prompt, model.prompts, "query"),
            "passage": _prompt(spec.passage_prompt, model.prompts, "passage"),
        }
        self._pools_prompt = all(getattr(module, "include_prompt", True) for module in self._head)
        self.description = describe_model(
            self.spec, folder, self.max_length, prompts=self.prompts, dimension=self.dimension
        )

    @property
    def fingerprint(self) -> str:
        return self.description["fingerprint"]

    def encode(self, texts: Sequence[str], role: Role, on_batch: Callable[[int], None] | None = None) -> np.ndarray:
        """Return embeddings, float32, shape (len(texts), dimension), rows of norm one.

        Args:
            texts: passage strings or query texts, without prompts.
            role: which prompt is put before them.
            on_batch: told how many texts each finished batch held.
        """
        if not len(texts):
            return np.empty((0, self.dimension), dtype=np.float32)
        prompt = self.prompts[role]
        encoded = self.tokenizer(
            [prompt + text for text in texts], truncation=True, max_length=self.max_length, padding=False
        )
        lengths = np.array([len(ids) for ids in encoded["input_ids"]])
        prompt_length = None
        if prompt and not self._pools_prompt:
            ids = self.tokenizer(prompt)["input_ids"]
            prompt_length = len(ids) - (ids[-1] in self.tokenizer.all_special_ids)  # a closing token is no prompt

        def forward(rows: np.ndarray, length: int) -> torch.Tensor:
            batch = {name: [values[row] for row in rows] for name, values in encoded.items()}
            features = dict(self.tokenizer.pad(batch, padding="max_length", max_length=length, return_tensors="pt"))
            features = {name: value.to(self.spec.device) for name, value in features.items()}
            if prompt_length:
                features["prompt_length"] = prompt_length
            features = self._transformer(features)
            features["token_embeddings"] = features["token_embeddings"].float()
            for module in self._head:
                features = module(features)
            return torch.nn.functional.normalize(features["sentence_embedding"].float(), dim=-1)

        values = run_canonical(lengths, self.spec.shapes, self.max_length, forward, on_batch)
        if not np.isfinite(values).all():
            bad = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise HardnegError(
                f"bi-encoder {self.spec.model}: the embedding of {texts[bad][:60]!r} is not finite in "
                f"{self.spec.dtype}; run it with --dtype float32."
            )
        return values


def _prompt(given: str | None, stored: Mapping[str, str | None] | None, role: Role) -> str:
    if given is not None:
        return given
    return next((prompt for name in _PROMPT_NAMES[role] if (prompt := (stored or {}).get(name))), "")

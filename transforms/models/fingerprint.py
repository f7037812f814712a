"""The fingerprint of what a model computes: it decides whether a stored embedding or logit may be used again."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from hardneg.transforms.core.hashing import file_sha256
from hardneg.transforms.models.backends.registry import backend_named
from hardneg.transforms.models.spec import ModelSpec

# What stands around every network: tokens, and pooling.
_VERSIONED = ("torch", "transformers", "tokenizers", "sentence-transformers")


def files_digest(folder: Path) -> str:
    """Return the hex SHA-256 of a model's files and their names, without cards and hidden files."""
    files = {
        str(path.relative_to(folder)): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".md" and not f"/{path.relative_to(folder)}".count("/.")
    }
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def versions_of(spec: ModelSpec) -> dict[str, str]:
    """Return the versions of the libraries that a model's output depends on."""
    return {name: metadata.version(name) for name in (*_VERSIONED, *backend_named(spec.backend).libraries)}


def describe_model(spec: ModelSpec, folder: Path, max_length: int, **more: Any) -> dict[str, Any]:
    """Return everything that a model's output depends on, and its digest as ``fingerprint``.

    Args:
        spec: resolved.
        more: what its kind depends on besides, as JSON values.
    """
    backend = backend_named(spec.backend)
    parts = {
        "kind": spec.kind,
        "files": files_digest(folder),
        "max_length": max_length,
        "dtype": spec.dtype,
        "device": spec.device.split(":")[0],
        "backend": backend.name,
        "shapes": spec.shapes.described(),
        "versions": versions_of(spec),
        **more,
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return {"model": spec.model, **parts, "fingerprint": digest}

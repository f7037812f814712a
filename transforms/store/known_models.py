"""What is known of a model without loading it: its description, and how well it knows a corpus's words.

Both are functions of the model's files, of how it is run, and of library versions; they are remembered in the store
under the digest of all that, so that a run that computes nothing loads nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib import metadata
from typing import IO, Any

from hardneg import __version__
from hardneg.transforms.core import storage
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.fingerprint import files_digest, versions_of
from hardneg.transforms.models.loaded import bi_encoder, cross_encoder, from_files
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.store.uses import StorePlace

KNOWN = "models"


def described(place: StorePlace, spec: ModelSpec | RemoteSpec) -> dict[str, Any]:
    """Return a model's description, its ``fingerprint`` included; it is loaded only if the store does not know it.

    Raises:
        ModelError: it cannot be found or loaded.
    """
    if isinstance(spec, RemoteSpec):
        return cross_encoder(spec).description
    return from_files(
        spec, lambda _: _remembered(place, _address(spec), lambda: _loaded(spec)), f"description in {place.root}"
    )


def share_of_unknown_tokens(
    place: StorePlace, spec: ModelSpec, texts: Sequence[str], measure: Callable[[], float]
) -> float:
    """Return the share of unknown tokens in texts, measured only if the store does not know it.

    Raises:
        ModelError: whatever ``measure`` raises; it is not remembered.
    """
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    known = _remembered(place, f"{_address(spec)}-{digest[:32]}", lambda: {"share": measure()})
    return float(known["share"])


def _address(spec: ModelSpec) -> str:
    """Return the digest of everything that a model's description depends on."""
    parts = {
        "spec": asdict(spec.resolved()),
        "files": files_digest(find_model(spec)),
        "versions": versions_of(spec),
        "hardneg": __version__,
        "numpy": metadata.version("numpy"),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _loaded(spec: ModelSpec) -> dict[str, Any]:
    return (bi_encoder if spec.kind == "bi-encoder" else cross_encoder)(spec).description


def _remembered(place: StorePlace, address: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    path = storage.join(place.root, KNOWN, f"{address}.json")
    if storage.exists(path):
        try:
            known = json.loads(storage.read_file(path))
            if known["digest"] == _digest(known["value"]):
                return known["value"]
        except (ValueError, KeyError, TypeError):
            pass  # damaged: it is made again
    value = make()
    data = json.dumps({"value": value, "digest": _digest(value)}, ensure_ascii=False).encode()
    storage.write_file(path, partial(_write, data))
    return value


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _write(data: bytes, sink: IO[bytes]) -> None:
    sink.write(data)

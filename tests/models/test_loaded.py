"""What a process keeps of models: each once, as long as its files are the same, and nothing beyond a run."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_tiny

from hardneg.errors import ModelError
from hardneg.transforms.models.bi_encoder import BiEncoder
from hardneg.transforms.models.loaded import (
    bi_encoder,
    cache_size,
    cached,
    clear,
    cross_encoder,
    evict,
    from_files,
    run_in_this_process,
)
from hardneg.transforms.models.spec import ModelSpec


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    clear()
    yield
    clear()


def spec_of(folder: Path, kind: str = "cross-encoder") -> ModelSpec:
    return ModelSpec(kind, str(folder), dtype="float32", device="cpu")  # type: ignore[arg-type]


def logits(spec: ModelSpec) -> np.ndarray:
    return cross_encoder(spec).score(["otter", "lynx"], ["eats fish", "eats hares"])[0]


def test_an_object_is_made_once_and_evicted_by_the_start_of_its_key() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    assert cached(("a", 1), make) is cached(("a", 1), make)
    cached(("a", 2), make)
    cached(("b", 1), make)
    assert (len(made), cache_size()) == (3, 3)
    evict("a", 1)
    assert cached(("a", 2), make) is made[1]
    evict("a")
    assert cached(("b", 1), make) is made[2]
    assert cache_size() == 1


def test_a_model_is_loaded_once(tmp_path: Path) -> None:
    spec = spec_of(save_tiny(tmp_path / "m"))
    model = cross_encoder(spec)
    assert cross_encoder(spec) is model
    assert cross_encoder(ModelSpec("cross-encoder", spec.model, dtype="float32", device="cpu")) is model
    assert cross_encoder(ModelSpec("cross-encoder", spec.model, dtype="float16", device="cpu")) is not model


@pytest.mark.parametrize("kind", ["bi-encoder", "cross-encoder"])
def test_a_model_saved_again_is_loaded_again(tmp_path: Path, kind: str) -> None:
    """And the one before it goes."""
    spec = spec_of(save_tiny(tmp_path / "m", head=kind == "cross-encoder"), kind)
    load = bi_encoder if kind == "bi-encoder" else cross_encoder
    before, size = load(spec), cache_size()
    first, alive = before.fingerprint, weakref.ref(before)
    save_tiny(tmp_path / "m", head=kind == "cross-encoder", seed=1)
    assert load(spec).fingerprint != first
    assert cache_size() == size
    del before
    gc.collect()
    assert alive() is None


def test_other_weights_give_other_logits(tmp_path: Path) -> None:
    spec = spec_of(save_tiny(tmp_path / "m"))
    first = logits(spec)
    save_tiny(tmp_path / "m", seed=1)
    assert (logits(spec) != first).all()
    save_tiny(tmp_path / "m")
    assert logits(spec).tobytes() == first.tobytes()


def test_files_that_change_during_a_run_are_an_error(tmp_path: Path) -> None:
    """A half of the output by the one model and a half by the other would look whole."""
    spec = spec_of(save_tiny(tmp_path / "m"))
    with run_in_this_process():
        logits(spec)
        save_tiny(tmp_path / "m", seed=1)
        with pytest.raises(ModelError) as raised:
            logits(spec)
    assert str(raised.value) == (
        f"cross-encoder {tmp_path / 'm'}: its files changed while the run was using them; start the run again."
    )
    assert raised.value.fields == {"model": str(tmp_path / "m")}
    with run_in_this_process():
        assert np.isfinite(logits(spec)).all()


def test_nothing_is_kept_beyond_a_run(tmp_path: Path) -> None:
    spec = spec_of(save_tiny(tmp_path / "m", head=False), "bi-encoder")
    held: list[weakref.ref[BiEncoder]] = []

    @run_in_this_process()
    def failing_run() -> None:
        held.append(weakref.ref(bi_encoder(spec)))
        with run_in_this_process():  # as another thread's
            assert bi_encoder(spec) is held[0]()
        assert bi_encoder(spec) is held[0]()
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        failing_run()
    gc.collect()
    assert cache_size() == 0
    assert held[0]() is None


def test_what_lies_beside_a_model_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    spec = spec_of(save_tiny(tmp_path / "m"))
    (tmp_path / "m" / "notes.txt").write_text("first")
    read: list[str] = []

    def note(folder: Path) -> str:
        read.append((folder / "notes.txt").read_text())
        return read[-1]

    assert [from_files(spec, note, "notes") for _ in range(2)] == ["first", "first"]
    (tmp_path / "m" / "notes.txt").write_text("second")
    assert from_files(spec, note, "notes") == "second"
    assert read == ["first", "second"]

"""The cross-encoder with the real model: the same bits in any company, and what sentence-transformers would say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sentence_transformers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import save_tiny, with_embedding

from hardneg.errors import HardnegError
from hardneg.transforms.core.arrays import sigmoid
from hardneg.transforms.models.cross_encoder import CrossEncoder
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.loaded import cross_encoder
from hardneg.transforms.models.spec import ModelSpec

WORDS = ("the", "river", "is", "cold", "and", "fish", "wait", "near", "bank", "for", "food", "at", "night", "in", "ice")
# Three padded lengths, of which the first fills more than one batch: a few pairs, so that this is quick.
SIZES = [1, 2, 3, 4, 5, 6, 7, 8] * 2 + [3, 90, 20, 5, 21, 94]
QUERIES = [f"Where is the {WORDS[place % len(WORDS)]}?" for place in range(22)]
PASSAGES = [" ".join(WORDS[(place * 7 + n) % len(WORDS)] for n in range(size)) for place, size in enumerate(SIZES)]


# In float32, the same again takes three times as long.
@pytest.fixture(scope="module", params=["auto", pytest.param("float32", marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest) -> CrossEncoder:
    return cross_encoder(ModelSpec("cross-encoder", "bundled", dtype=request.param, device="cpu"))


@pytest.fixture(scope="module")
def reference(model: CrossEncoder) -> np.ndarray:
    return model.score(QUERIES, PASSAGES)[0]


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def scores(model: CrossEncoder, rows: np.ndarray | list[int]) -> bytes:
    logits, cut = model.score([QUERIES[row] for row in rows], [PASSAGES[row] for row in rows])
    assert logits.dtype == np.float32
    assert cut.dtype == bool
    return logits.tobytes()


def test_logits(reference: np.ndarray) -> None:
    assert reference.shape == (22,)
    assert np.isfinite(reference).all()
    # In bfloat16 heads, ties are the rule; with the head in float32 they are not.
    assert len(np.unique(reference)) == len(set(zip(QUERIES, PASSAGES, strict=True)))


def test_the_order_of_the_pairs_changes_nothing(model: CrossEncoder, reference: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(22)
    assert scores(model, order) == reference[order].tobytes()


def test_other_company_changes_nothing(model: CrossEncoder, reference: np.ndarray) -> None:
    for row in (0, 18, 21):
        assert scores(model, [row]) == reference[[row]].tobytes()
    assert scores(model, [4] * 17 + [9]) == reference[[4] * 17 + [9]].tobytes()
    logits, _ = model.score(
        ["other", *QUERIES[14:19], ""], ["A quite different passage of some length.", *PASSAGES[14:19], ""]
    )
    assert logits[1:6].tobytes() == reference[14:19].tobytes()


def test_pairs_that_fill_their_shape(model: CrossEncoder) -> None:
    """Attention may take another way where no row is padded: a pair that fills its length must not notice."""
    queries = ["fish"] * 16
    whole = [word for word in WORDS if len(model.tokenizer.tokenize(word)) == 1]
    room = 16 - len(model.tokenizer("fish", whole[0])["input_ids"]) + 1
    full = [" ".join(whole[(place + n) % len(whole)] for n in range(room)) for place in range(15)]
    assert {len(ids) for ids in model.tokenizer(queries[:15], full)["input_ids"]} == {16}
    unpadded, _ = model.score(queries, [*full, full[0]])
    padded, _ = model.score(queries, [*full, "ice"])
    assert unpadded[:15].tobytes() == padded[:15].tobytes()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.usefixtures("threads")
def test_threads_change_nothing(model: CrossEncoder, reference: np.ndarray, count: int) -> None:
    torch.set_num_threads(count)
    assert scores(model, np.arange(22)) == reference.tobytes()


def test_several_threads_may_share_a_model(model: CrossEncoder, reference: np.ndarray) -> None:
    """Some runners call one process's model from several threads."""
    found: list[bytes] = []
    rows = [3, 1, 18]
    workers = [threading.Thread(target=lambda: found.append(scores(model, rows))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [reference[rows].tobytes()] * 4


def test_float32_logits_are_those_of_sentence_transformers() -> None:
    """Always the raw logit: by its config, this model would be put through a sigmoid, or not."""
    model = cross_encoder(ModelSpec("cross-encoder", "bundled", dtype="float32", device="cpu"))
    theirs = sentence_transformers.CrossEncoder(
        str(find_model(model.spec)),
        device="cpu",
        local_files_only=True,
        model_kwargs={"dtype": torch.float32},
        activation_fn=torch.nn.Identity(),
    )
    long = " ".join(WORDS * 40)  # cut to the model's 512 tokens by both
    pairs = [*zip(QUERIES, PASSAGES, strict=True), ("Who waits?", long), (long, "The ice.")]
    expected = theirs.predict(pairs, show_progress_bar=False)
    logits, cut = model.score([query for query, _ in pairs], [passage for _, passage in pairs])
    np.testing.assert_allclose(logits, expected, atol=2e-5)
    assert cut.tolist() == [False] * 22 + [True] * 2
    assert logits.min() < -1 or logits.max() > 1, "no sigmoid was applied"


def test_the_default_dtype_stays_close_to_float32(reference: np.ndarray) -> None:
    exact = cross_encoder(ModelSpec("cross-encoder", "bundled", dtype="float32", device="cpu"))
    np.testing.assert_allclose(reference, exact.score(QUERIES, PASSAGES)[0], atol=0.15)


def test_no_pairs(model: CrossEncoder) -> None:
    logits, cut = model.score([], [])
    assert (logits.shape, logits.dtype, cut.shape, cut.dtype) == ((0,), np.float32, (0,), bool)


def test_parts_come_batch_by_batch(model: CrossEncoder, reference: np.ndarray) -> None:
    """Each pair once, in none but small parts, whatever number is put in order of length at a time."""
    parts = list(model.parts(QUERIES, PASSAGES, at_a_time=7))
    rows, logits, cut = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert sorted(rows.tolist()) == list(range(len(QUERIES)))
    assert max(len(part[0]) for part in parts) <= 7
    assert logits.tobytes() == reference[rows].tobytes()
    assert cut.dtype == bool


def test_odd_texts_have_logits(model: CrossEncoder) -> None:
    odd = ["", " ", "\x00", "🦦" * 9, "水獺在河裡游泳。"]
    logits, cut = model.score(["", *odd], [*odd, ""])
    assert np.isfinite(logits).all()
    assert not cut.any()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


def load(folder: Path, **options: str | int) -> CrossEncoder:
    return CrossEncoder(ModelSpec("cross-encoder", str(folder), dtype="float32", device="cpu", **options))  # type: ignore[arg-type]


def test_prompts_stand_before_both_texts(tiny: Path) -> None:
    prompted = load(tiny, query_prompt="Query: ", passage_prompt="Document: ")
    bare = load(tiny)
    assert prompted.score(QUERIES[:4], PASSAGES[:4])[0].tolist() == (
        bare.score([f"Query: {text}" for text in QUERIES[:4]], [f"Document: {text}" for text in PASSAGES[:4]])[
            0
        ].tolist()
    )
    assert prompted.score(QUERIES[:4], PASSAGES[:4])[0].tolist() != bare.score(QUERIES[:4], PASSAGES[:4])[0].tolist()
    assert prompted.fingerprint != bare.fingerprint


@pytest.mark.parametrize("length", [16, 50, 512])
def test_the_maximum_length_cuts(tiny: Path, length: int) -> None:
    """The pair, its query and its three marks; and it says which pairs it has cut."""
    model = load(tiny, max_length=length)
    query = "cold fish"
    fits = " ".join(["river"] * (length - 5))
    logits, cut = model.score([query] * 3, [fits, f"{fits} night", f"{fits} night night ice"])
    assert cut.tolist() == [False, True, True]
    assert logits[0] == logits[1] == logits[2], "what is cut off does not count"


@pytest.mark.parametrize("outputs", [2, 3])
def test_a_classifier_of_several_outputs_is_refused(tmp_path: Path, outputs: int) -> None:
    folder = save_tiny(tmp_path, outputs=outputs)
    with pytest.raises(HardnegError) as raised:
        load(folder)
    assert str(raised.value) == (
        f"cross-encoder {folder}: it has {outputs} outputs, and a score needs one; choose a re-ranker, not a "
        "classifier or an encoder without a trained head."
    )


def test_a_model_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    """transformers would make its last layer up."""
    folder = save_tiny(tmp_path, head=False)
    with pytest.raises(HardnegError) as raised:
        load(folder)
    assert str(raised.value) == (
        f"cross-encoder {folder}: the weights classifier.bias, classifier.weight are missing from its files and would "
        "be random numbers; choose a trained re-ranker."
    )


def test_a_bi_encoder_is_refused() -> None:
    with pytest.raises(HardnegError, match="it has 2 outputs, and a score needs one"):
        load(find_model(ModelSpec("bi-encoder", "bundled")))


def test_logits_that_are_not_finite_are_an_error(tiny: Path, tmp_path: Path) -> None:
    model = load(with_embedding(tiny, tmp_path / "m", "ice", float("inf")))
    assert np.isfinite(model.score(["fish"], ["food"])[0]).all()
    with pytest.raises(HardnegError, match=r"it scored the query 'ice\?' and a passage as nan in float32; run it"):
        model.score(["fish", "ice?"], ["food", "food"])


@settings(deadline=None)
@given(st.lists(st.floats(-120, 120, width=32), min_size=1, max_size=40))
def test_sigmoid(values: list[float]) -> None:
    """Right to float32, never outside [0, 1], and of each value alone."""
    logits = np.array(values, dtype=np.float32)
    result = sigmoid(logits)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, 1 / (1 + np.exp(-logits.astype(np.float64))), atol=1e-7)
    assert ((result >= 0) & (result <= 1)).all()
    assert result.tobytes() == b"".join(sigmoid(logits[place : place + 1]).tobytes() for place in range(len(logits)))
    order = np.argsort(logits, kind="stable")
    assert (np.diff(result[order]) >= 0).all()


def test_sigmoid_of_what_is_no_number() -> None:
    assert sigmoid(np.array([np.inf, -np.inf, 0], np.float32)).tolist() == [1, 0, 0.5]
    assert np.isnan(sigmoid(np.array([np.nan], np.float32))).all()

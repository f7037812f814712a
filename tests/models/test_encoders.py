"""Bi-encoders with the real model: the same bits in any company, and what sentence-transformers would say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tiny_models import save_tiny, with_embedding

from hardneg.errors import HardnegError
from hardneg.transforms.models.bi_encoder import BiEncoder
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.loaded import bi_encoder
from hardneg.transforms.models.spec import ModelSpec

WORDS = ("the", "river", "is", "cold", "and", "fish", "wait", "near", "bank", "for", "food", "at", "night", "in", "ice")
# Three padded lengths, of which the first fills more than one batch: a few texts, so that this is quick.
SIZES = [2, 3, 4, 5, 6, 7, 8, 9] * 2 + [3, 90, 20, 5, 21, 94]
TEXTS = [" ".join(WORDS[(place * 7 + n) % len(WORDS)] for n in range(size)) for place, size in enumerate(SIZES)]
OTHERS = ["", "x", "A different text, as long as others are.", " ".join(WORDS[:3])]


# In float32, the same again takes three times as long.
@pytest.fixture(scope="module", params=["auto", pytest.param("float32", marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest) -> BiEncoder:
    return bi_encoder(ModelSpec("bi-encoder", "bundled", dtype=request.param, device="cpu"))


@pytest.fixture(scope="module")
def reference(model: BiEncoder) -> np.ndarray:
    return model.encode(TEXTS, "passage")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def bits(values: np.ndarray) -> bytes:
    assert values.dtype == np.float32
    return np.ascontiguousarray(values).tobytes()


def test_embeddings_are_unit_vectors(model: BiEncoder, reference: np.ndarray) -> None:
    assert reference.shape == (len(TEXTS), 384)
    assert model.dimension == 384
    np.testing.assert_allclose(np.linalg.norm(reference, axis=1), 1, atol=3e-7)
    assert len(np.unique(reference, axis=0)) == len(set(TEXTS))


def test_the_order_of_the_texts_changes_nothing(model: BiEncoder, reference: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(len(TEXTS))
    shuffled = model.encode([TEXTS[place] for place in order], "passage")
    assert bits(shuffled) == bits(reference[order])


def test_other_company_changes_nothing(model: BiEncoder, reference: np.ndarray) -> None:
    """Alone, in pairs, beside other texts, and beside copies of itself."""
    for place in (0, 5, 18, 21):
        assert bits(model.encode([TEXTS[place]], "passage")) == bits(reference[place : place + 1])
    mixed = model.encode([*OTHERS, *TEXTS[14:19], *OTHERS], "passage")
    assert bits(mixed[len(OTHERS) : len(OTHERS) + 5]) == bits(reference[14:19])
    assert bits(model.encode([TEXTS[3]] * 19, "passage")) == bits(np.repeat(reference[3:4], 19, axis=0))


def test_texts_that_fill_their_shape(model: BiEncoder) -> None:
    """Attention may take another way where no row is padded: a text that fills its length must not notice."""
    full = [" ".join(WORDS[(place + n) % len(WORDS)] for n in range(14)) for place in range(15)]
    assert {len(ids) for ids in model.tokenizer(full)["input_ids"]} == {16}
    unpadded = model.encode([*full, full[0]], "passage")
    padded = model.encode([*full, " ".join(WORDS[:3])], "passage")
    assert bits(unpadded[:15]) == bits(padded[:15])


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.usefixtures("threads")
def test_threads_change_nothing(model: BiEncoder, reference: np.ndarray, count: int) -> None:
    torch.set_num_threads(count)
    assert bits(model.encode(TEXTS, "passage")) == bits(reference)


def test_float32_embeddings_are_those_of_sentence_transformers() -> None:
    model = bi_encoder(ModelSpec("bi-encoder", "bundled", dtype="float32", device="cpu"))
    theirs = SentenceTransformer(
        str(find_model(model.spec)), device="cpu", local_files_only=True, model_kwargs={"dtype": torch.float32}
    )
    long = " ".join(WORDS * 30)  # cut to the model's 256 tokens by both
    expected = theirs.encode([*TEXTS, long], normalize_embeddings=True)
    np.testing.assert_allclose(model.encode([*TEXTS, long], "passage"), expected, atol=2e-6)


def test_the_default_dtype_stays_close_to_float32(reference: np.ndarray) -> None:
    exact = bi_encoder(ModelSpec("bi-encoder", "bundled", dtype="float32", device="cpu")).encode(TEXTS, "passage")
    assert (np.sum(exact * reference, axis=1) > 0.999).all()


def test_pooling_and_normalising_run_in_float32() -> None:
    """A mean in bfloat16 loses digits, and its norm is not one."""
    model = bi_encoder(ModelSpec("bi-encoder", "bundled", dtype="bfloat16", device="cpu"))
    seen: list[torch.dtype] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]["token_embeddings"].dtype))
        for module in model.pooling.modules
    ]
    model.encode(TEXTS[:1], "query")
    for hook in hooks:
        hook.remove()
    assert seen == [torch.float32] * len(hooks)
    assert hooks


def test_no_texts(model: BiEncoder) -> None:
    assert model.encode([], "query").shape == (0, 384)
    assert model.encode([], "query").dtype == np.float32


def test_parts_are_of_every_text_once(model: BiEncoder) -> None:
    parts = list(model.parts(TEXTS[:9], "passage"))
    assert sorted(int(row) for rows, _ in parts for row in rows) == list(range(9))
    whole = model.encode(TEXTS[:9], "passage")
    assert all(values.tobytes() == whole[rows].tobytes() for rows, values in parts)


def test_odd_texts_have_embeddings(model: BiEncoder) -> None:
    odd = ["", " ", "\x00", "🦦" * 9, "水獺在河裡游泳。", "e\u0301" * 9]
    values = model.encode(odd, "passage")
    assert np.isfinite(values).all()
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=3e-7)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sentence-transformers model that stores prompts and leaves them out of its mean."""
    base = tmp_path_factory.mktemp("tiny")
    save_tiny(base / "plain", head=False)
    prompts = {"query": "Represent this question: ", "passage": "passage: "}
    model = SentenceTransformer(str(base / "plain"), device="cpu", prompts=prompts)
    model.save(str(base / "with-prompts"))
    model[1].include_prompt = False
    model.save(str(base / "without-its-prompt"))
    return base


def plain(folder: Path, **options: str | int) -> BiEncoder:
    return BiEncoder(ModelSpec("bi-encoder", str(folder), dtype="float32", device="cpu", **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["with-prompts", "without-its-prompt"])
def test_stored_prompts_are_used(tiny: Path, name: str) -> None:
    model = plain(tiny / name)
    theirs = SentenceTransformer(str(tiny / name), device="cpu", local_files_only=True)
    assert model.prompts == {"query": "Represent this question: ", "passage": "passage: "}
    for role in ("query", "passage"):
        expected = theirs.encode(TEXTS[:8], prompt_name=role, normalize_embeddings=True)
        np.testing.assert_allclose(model.encode(TEXTS[:8], role), expected, atol=1e-5)  # type: ignore[arg-type]
    assert bits(model.encode(TEXTS[:8], "query")) != bits(model.encode(TEXTS[:8], "passage"))


def test_prompts_that_are_given_win(tiny: Path) -> None:
    model = plain(tiny / "with-prompts", query_prompt="Q: ", passage_prompt="")
    assert model.prompts == {"query": "Q: ", "passage": ""}
    bare = plain(tiny / "plain")
    assert bare.prompts == {"query": "", "passage": ""}
    assert bits(model.encode(TEXTS[:3], "passage")) == bits(bare.encode(TEXTS[:3], "passage"))
    assert bits(model.encode(TEXTS[:3], "query")) == bits(bare.encode([f"Q: {text}" for text in TEXTS[:3]], "query"))
    prints = {model.fingerprint, bare.fingerprint, plain(tiny / "with-prompts").fingerprint}
    assert len(prints) == 3


def test_the_maximum_length_cuts(tiny: Path) -> None:
    short = plain(tiny / "plain", max_length=10)
    assert short.max_length == 10
    first, same = (short.encode([" ".join([*WORDS[:8], *more])], "passage") for more in (["fish"] * 9, ["food"] * 200))
    assert bits(first) == bits(same), "both have the same first eight words, and two tokens mark the ends"
    assert bits(short.encode([" ".join(WORDS[:7])], "passage")) != bits(first)
    assert short.fingerprint != plain(tiny / "plain").fingerprint


def test_values_that_are_not_finite_are_an_error(tiny: Path, tmp_path: Path) -> None:
    """As in float16 with some models: NaN must not become a similarity."""
    model = plain(with_embedding(tiny / "plain", tmp_path / "m", "ice", float("nan")))
    assert np.isfinite(model.encode(["fish wait"], "passage")).all()
    with pytest.raises(HardnegError, match="the embedding of 'the ice' is not finite in float32; run it with dtype"):
        model.encode(["fish wait", "the ice"], "passage")


def test_a_model_that_is_no_transformer(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(find_model(ModelSpec("cross-encoder", "bundled")) / "tokenizer.json"))
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu").save(str(tmp_path))
    with pytest.raises(HardnegError, match=r"its first module is a StaticEmbedding, and only transformers can be run"):
        plain(tmp_path)

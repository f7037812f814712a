"""Batches of one padded length: what the tokenizer itself would make of them."""

from __future__ import annotations

import numpy as np
import pytest
from mined_runs import TinyModels
from transformers import AutoTokenizer

from hardneg.errors import ModelError
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.models.tokens import check_tokenizer, padded_ids

TEXTS = ["rain", "rain is water that falls", "", "a cat and a dog and a bird"]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("second", [None, ["what", "", "water", "the bird"]])
def test_rows_are_padded_as_the_tokenizer_pads_them(
    tiny_models: TinyModels, side: str, second: list[str] | None
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_models.cross_encoder, padding_side=side)
    encoded = tokenizer(TEXTS, second, padding=False, return_special_tokens_mask=True)
    rows = np.array([3, 0, 0, 1])
    batch = {name: [values[row] for row in rows] for name, values in encoded.items()}
    expected = tokenizer.pad(batch, padding="max_length", max_length=24, return_tensors="np")
    made = padded_ids(tokenizer, encoded, rows, 24)
    assert set(made) == set(expected) >= {"input_ids", "attention_mask"}
    for name, values in made.items():
        assert (values.dtype, values.tolist()) == (np.int64, expected[name].tolist())


def test_a_list_of_a_tokenizers_own_is_left_to_it(tiny_models: TinyModels) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_models.cross_encoder)
    encoded = dict(tokenizer(["rain is water"], padding=False))
    encoded["its_own"] = [[7] * 8]
    made = padded_ids(tokenizer, encoded, np.array([0]), 8)
    assert made["its_own"].tolist() == [[7] * 8]
    assert made["input_ids"].shape == (1, 8)


def test_a_tokenizer_without_padding_is_a_sentence(tiny_models: TinyModels) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_models.cross_encoder)
    tokenizer.pad_token = None
    with pytest.raises(ModelError, match="no padding token, and texts of several lengths need one"):
        check_tokenizer(ModelSpec("cross-encoder", "some/model"), tokenizer)

"""Batches of one padded length: what the tokenizer itself would make of them."""

from __future__ import annotations

import numpy as np
import pytest
from mined_runs import TinyModels
from transformers import AutoTokenizer

from hardneg.transforms.models.tokens import padded_ids

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

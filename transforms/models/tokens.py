"""Tokenizers: whether one knows the language, how long a text may be, and batches of one padded length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hardneg.errors import ModelError, parameter
from hardneg.transforms.models.spec import MULTILINGUAL, ModelSpec

UNKNOWN_SHARE_LIMIT = 0.10
# What each of a tokenizer's lists is filled up by.
_FILLED_BY: dict[str, Callable[[Any], int]] = {
    "input_ids": lambda tokenizer: tokenizer.pad_token_id,
    "token_type_ids": lambda tokenizer: tokenizer.pad_token_type_id,
    "attention_mask": lambda tokenizer: 0,
    "special_tokens_mask": lambda tokenizer: 1,
}


def token_limit(spec: ModelSpec, *limits: int | None) -> int:
    """Return the tokens a text or pair is cut to: as asked, never above the model's limits; 512 unless asked."""
    limit = min([int(limit) for limit in limits if limit] or [512])
    return min(spec.max_length or 512, limit)


def padded_ids(
    tokenizer: Any, encoded: Mapping[str, list[list[int]]], rows: npt.NDArray[np.int64], length: int
) -> dict[str, npt.NDArray[np.int64]]:
    """Return some rows of tokenised texts, padded: ``input_ids`` and the like, int64, shape (len(rows), length).

    What ``tokenizer.pad`` gives, in less of the time, which is felt where texts are short.
    """
    if not set(encoded) <= set(_FILLED_BY):  # a list of its own that a tokenizer gives
        batch = {name: [values[row] for row in rows] for name, values in encoded.items()}
        return dict(tokenizer.pad(batch, padding="max_length", max_length=length, return_tensors="np"))
    left = tokenizer.padding_side == "left"
    padded = {}
    for name, values in encoded.items():
        filled = np.full((len(rows), length), _FILLED_BY[name](tokenizer), dtype=np.int64)
        for place, row in enumerate(rows):
            ids = values[row]
            start = length - len(ids) if left else 0
            filled[place, start : start + len(ids)] = ids
        padded[name] = filled
    return padded


def check_tokenizer(spec: ModelSpec, tokenizer: Any) -> None:
    """Raise ModelError for a tokenizer without padding, or without words, which is made up where files are missing."""
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ModelError(f"{spec.kind} {spec.model}: its tokenizer has no words; save its tokenizer with the model.")
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"{spec.kind} {spec.model}: its tokenizer has no padding token, and texts of several lengths need one; set "
            "its pad_token and save it with the model.",
            model=spec.model,
        )


def unknown_share(tokenizer: Any, texts: list[str]) -> float:
    """Return the share of a tokenizer's tokens over ``texts`` that are its unknown token."""
    unknown_id = tokenizer.unk_token_id
    if unknown_id is None or not texts:
        return 0.0
    unknown = total = 0
    for ids in tokenizer(texts, add_special_tokens=False, truncation=True, max_length=512)["input_ids"]:
        unknown += ids.count(unknown_id)
        total += len(ids)
    return unknown / total if total else 0.0


def check_unknown_tokens(spec: ModelSpec, tokenizer: Any, texts: list[str], allow: bool) -> float:
    """Return the unknown share of a sample, refusing a model that cannot read the corpus unless allowed.

    Raises:
        ModelError: more than ``UNKNOWN_SHARE_LIMIT`` of the tokens are unknown, and that is not allowed.
    """
    share = unknown_share(tokenizer, texts)
    if share > UNKNOWN_SHARE_LIMIT and not allow:
        other = spec.kind == "bi-encoder" and spec.model != MULTILINGUAL
        such_as = f", such as {parameter('bi_encoder')} {MULTILINGUAL}," if other else ","
        raise ModelError(
            f"{spec.kind} {spec.model}: its tokenizer turns {share:.0%} of a sample of {len(texts):,} passages into "
            f"unknown tokens, so it cannot read this language; choose a multilingual model{such_as} or pass "
            f"{parameter('allow_unknown_tokens')}.",
            model=spec.model,
            unknown_share=share,
        )
    return share

"""The cross-encoder: (query, passage) pairs to raw logits, the same bits whatever they are batched with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hardneg.errors import HardnegError
from hardneg.transforms.models.canonical_shapes import run_batches
from hardneg.transforms.models.files import (
    LOAD_ERRORS,
    ModelSpec,
    check_tokenizer,
    describe_model,
    find_model,
    token_limit,
)

Part = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows, their logits, whether they were cut
_PAIRS_AT_A_TIME = 2048  # that are put in order of length: of fewer, more batches are filled up with copies


class CrossEncoder:
    """A sequence-classification model with one output, called on canonical shapes, its head in float32.

    In bfloat16 a head gives 22 distinct logits for 48 pairs; in float32 on the same features, ties are rare.

    Args:
        spec: the model, and how it is run.
        folder: where its files are, if that is known.

    Raises:
        HardnegError: the model cannot be found, has more than one output, or has no trained head.
    """

    def __init__(self, spec: ModelSpec, folder: Path | None = None) -> None:
        self.spec = spec.resolved()
        folder = folder or find_model(spec)
        self._model, self.tokenizer = _load(self.spec, str(folder))
        positions = getattr(self._model.config, "max_position_embeddings", None)
        self.max_length = token_limit(spec, self.tokenizer.model_max_length, positions)
        self.prompts = {"query": spec.query_prompt or "", "passage": spec.passage_prompt or ""}
        self.description = describe_model(self.spec, folder, self.max_length, prompts=self.prompts)

    @property
    def fingerprint(self) -> str:
        return self.description["fingerprint"]

    def score(self, queries: Sequence[str], passages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs' logits and whether each pair was cut to the maximum length.

        Args:
            queries: one query text a pair.
            passages: one passage string a pair.

        Returns:
            logits (float32, shape (n,)) and cut (bool, shape (n,)).

        Raises:
            HardnegError: the model returned NaN or infinity.
        """
        logits, cut = np.empty(len(queries), dtype=np.float32), np.empty(len(queries), dtype=bool)
        for rows, scores, were_cut in self.parts(queries, passages):
            logits[rows], cut[rows] = scores, were_cut
        return logits, cut

    def parts(self, queries: Sequence[str], passages: Sequence[str]) -> Iterator[Part]:
        """Yield (rows, logits, cut) of each batch as it is computed; arguments and errors as of ``score``."""
        for start in range(0, len(queries), _PAIRS_AT_A_TIME):
            chunk = slice(start, start + _PAIRS_AT_A_TIME)
            for rows, logits, cut in self._batches(queries[chunk], passages[chunk]):
                yield start + rows, logits, cut

    def _batches(self, queries: Sequence[str], passages: Sequence[str]) -> Iterator[Part]:
        encoded = self.tokenizer(
            [self.prompts["query"] + text for text in queries],
            [self.prompts["passage"] + text for text in passages],
            truncation=True,
            max_length=self.max_length,
            padding=False,
        )
        lengths = np.array([len(ids) for ids in encoded["input_ids"]])
        cut = np.array([bool(encoding.overflowing) for encoding in encoded.encodings])

        def forward(rows: np.ndarray, length: int) -> torch.Tensor:
            batch = {name: [values[row] for row in rows] for name, values in encoded.items()}
            features = self.tokenizer.pad(batch, padding="max_length", max_length=length, return_tensors="pt")
            return self._model(**features.to(self.spec.device)).logits[:, 0]

        for rows, logits in run_batches(lengths, self.spec.shapes, self.max_length, forward):
            if not np.isfinite(logits).all():
                bad = int(np.flatnonzero(~np.isfinite(logits))[0])
                raise HardnegError(
                    f"cross-encoder {self.spec.model}: it scored the query {queries[rows[bad]][:60]!r} and a passage "
                    f"as {logits[bad]} in {self.spec.dtype}; run it with --dtype float32."
                )
            yield rows, logits, cut[rows]


def _load(spec: ModelSpec, folder: str) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    shared = {"trust_remote_code": spec.trust_remote_code, "local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(folder, **shared)
        if config.num_labels != 1:
            raise HardnegError(
                f"cross-encoder {spec.model}: it has {config.num_labels} outputs, and a score needs one; choose a "
                "re-ranker, not a classifier or an encoder without a trained head."
            )
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=spec.torch_dtype, use_safetensors=True, output_loading_info=True, **shared
        )
        model = model.eval().to(spec.device)
        tokenizer = AutoTokenizer.from_pretrained(folder, **shared)
    except LOAD_ERRORS as error:
        raise HardnegError(f"cross-encoder {spec.model}: {folder} could not be loaded: {error}") from error
    if loading["missing_keys"]:
        raise HardnegError(
            f"cross-encoder {spec.model}: the weights {', '.join(sorted(loading['missing_keys'])[:3])} are missing "
            "from its files and would be random numbers; choose a trained re-ranker."
        )
    if not tokenizer.is_fast:
        raise HardnegError(f"cross-encoder {spec.model}: it has no tokenizer.json; save a fast tokenizer with it.")
    check_tokenizer(spec, tokenizer)
    _run_head_in_float32(model)
    return model, tokenizer


def _run_head_in_float32(model: Any) -> None:
    head = getattr(model, "classifier", None) or getattr(model, "score", None)
    if isinstance(head, torch.nn.Module):
        head.float()
        head.register_forward_pre_hook(lambda _, inputs: tuple(value.float() for value in inputs))

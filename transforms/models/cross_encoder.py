"""The cross-encoder: (query, passage) pairs to raw logits, the same bits whatever they are batched with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hardneg.errors import ModelError, parameter
from hardneg.transforms.models.backends.registry import backend_named
from hardneg.transforms.models.canonical_shapes import run_batches
from hardneg.transforms.models.files import LOAD_ERRORS, find_model
from hardneg.transforms.models.fingerprint import describe_model
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.models.tokens import check_tokenizer, padded_ids, token_limit

ScoredPart = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows, their logits, whether they were cut
PAIRS_AT_A_TIME = 8192  # that are put in order of length: of fewer, more batches are filled up with copies


class CrossEncoder:
    """A sequence-classification model with one output, called on canonical shapes.

    Args:
        spec: the model, and how it is run.
        folder: where its files are, if that is known.

    Raises:
        ModelError: the model cannot be found, has more than one output, or has no trained head.
    """

    def __init__(self, spec: ModelSpec, folder: Path | None = None) -> None:
        self.spec = spec.resolved()
        folder = folder or find_model(spec)
        config = _one_output(self.spec, folder)
        self._network = backend_named(spec.backend).reranker(self.spec, folder)
        self.tokenizer = _fast_tokenizer(self.spec, folder)
        positions = getattr(config, "max_position_embeddings", None)
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
            ModelError: the model returned NaN or infinity.
        """
        logits, cut = np.empty(len(queries), dtype=np.float32), np.empty(len(queries), dtype=bool)
        for rows, scores, were_cut in self.parts(queries, passages):
            logits[rows], cut[rows] = scores, were_cut
        return logits, cut

    def parts(
        self, queries: Sequence[str], passages: Sequence[str], at_a_time: int = PAIRS_AT_A_TIME
    ) -> Iterator[ScoredPart]:
        """Yield (rows, logits, cut) of each batch as it is computed; arguments and errors as of ``score``.

        Args:
            at_a_time: pairs that are put in order of length.
        """
        for start in range(0, len(queries), at_a_time):
            chunk = slice(start, start + at_a_time)
            for rows, logits, cut in self._batches(queries[chunk], passages[chunk]):
                yield start + rows, logits, cut

    def _batches(self, queries: Sequence[str], passages: Sequence[str]) -> Iterator[ScoredPart]:
        encoded = self.tokenizer(
            [self.prompts["query"] + text for text in queries],
            [self.prompts["passage"] + text for text in passages],
            truncation=True,
            max_length=self.max_length,
            padding=False,
        )
        lengths = np.array([len(ids) for ids in encoded["input_ids"]])
        cut = np.array([bool(encoding.overflowing) for encoding in encoded.encodings])

        def forward(rows: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.float32]:
            return self._network(padded_ids(self.tokenizer, encoded, rows, length))

        for rows, logits in run_batches(lengths, self.spec.shapes, self.max_length, forward):
            if not np.isfinite(logits).all():
                bad = int(np.flatnonzero(~np.isfinite(logits))[0])
                raise ModelError(
                    f"cross-encoder {self.spec.model}: it scored the query {queries[rows[bad]][:60]!r} and a passage "
                    f"as {logits[bad]} in {self.spec.dtype}; run it with {parameter('dtype')} float32.",
                    model=self.spec.model,
                )
            yield rows, logits, cut[rows]


def _one_output(spec: ModelSpec, folder: Path) -> Any:
    """Return a model's configuration, of one with one output."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=spec.trust_remote_code, local_files_only=True)
    except LOAD_ERRORS as error:
        raise _not_loaded(spec, folder, error) from error
    if config.num_labels != 1:
        raise ModelError(
            f"cross-encoder {spec.model}: it has {config.num_labels} outputs, and a score needs one; choose a "
            "re-ranker, not a classifier or an encoder without a trained head.",
            model=spec.model,
        )
    return config


def _fast_tokenizer(spec: ModelSpec, folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=spec.trust_remote_code, local_files_only=True
        )
    except LOAD_ERRORS as error:
        raise _not_loaded(spec, folder, error) from error
    if not tokenizer.is_fast:
        raise ModelError(f"cross-encoder {spec.model}: it has no tokenizer.json; save a fast tokenizer with it.")
    check_tokenizer(spec, tokenizer)
    return tokenizer


def _not_loaded(spec: ModelSpec, folder: Path, error: Exception) -> ModelError:
    return ModelError(f"cross-encoder {spec.model}: {folder} could not be loaded: {error}", model=spec.model)

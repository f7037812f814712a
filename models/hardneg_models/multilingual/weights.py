"""The weights of a 4-bit encoder under BERT's names, as a safetensors file."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from hardneg_models.multilingual import ConversionError
from hardneg_models.multilingual.e5_file import E5File, Sizes
from hardneg_models.multilingual.source import AGAIN

# BERT's names by the file's.
EMBEDDINGS = {"emb.word": "word_embeddings", "emb.pos": "position_embeddings", "emb.type": "token_type_embeddings"}
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def bert_names(source: E5File) -> Iterator[tuple[str, str]]:
    """Yield (name in BERT, name in the file) of every tensor."""
    for name, bert in EMBEDDINGS.items():
        yield f"embeddings.{bert}.weight", name
    yield "embeddings.LayerNorm.weight", "emb.ln.w"
    yield "embeddings.LayerNorm.bias", "emb.ln.b"
    for number in range(source.sizes.layers):
        for name, bert in LAYER.items():
            yield f"encoder.layer.{number}.{bert}.weight", f"l{number}.{name}.w"
            yield f"encoder.layer.{number}.{bert}.bias", f"l{number}.{name}.b"


def _shape(name: str, sizes: Sizes) -> tuple[int, ...]:
    """Return the shape of a tensor of the file, by its name."""
    hidden, wide = sizes.hidden, sizes.feed_forward
    part = name.split(".", 1)[1]
    special = {
        "word": (sizes.vocabulary, hidden),
        "pos": (sizes.positions, hidden),
        "type": (sizes.token_types, hidden),
        "fi.w": (wide, hidden),
        "fi.b": (wide,),
        "fo.w": (hidden, wide),
    }
    if part in special:
        return special[part]
    return (hidden,) if part.endswith((".b", "ln.w")) else (hidden, hidden)


def weights(source: E5File) -> dict[str, np.ndarray]:
    """Return every tensor under its name in BERT, float32.

    Raises:
        ConversionError: a tensor is missing or has another size than the model's.
    """
    shapes = {bert: (name, _shape(name, source.sizes)) for bert, name in bert_names(source)}
    for name, shape in shapes.values():
        count = math.prod(shape)
        if name not in source.tensors or source.tensors[name].count != count:
            raise ConversionError(f"its source has no tensor {name} of {count:,} values; run: {AGAIN}")
    made = {bert: source.tensors[name].floats().reshape(shape) for bert, (name, shape) in shapes.items()}
    # BERT's classification pooler is not in the file and not used here; without it, loading would warn.
    hidden = source.sizes.hidden
    made["pooler.dense.weight"] = np.zeros((hidden, hidden), dtype=np.float32)
    made["pooler.dense.bias"] = np.zeros(hidden, dtype=np.float32)
    return made


def write_weights(path: Path, source: E5File) -> None:
    """Write the weights, all of which are in memory meanwhile.

    Raises:
        ConversionError: a tensor is missing or has another size than the model's.
        OSError: the file cannot be written.
    """
    tensors = weights(source)
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        # The library tells of a full disk in its text alone.
        if number := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
        raise

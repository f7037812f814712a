"""What a command found, as JSON."""

from __future__ import annotations

import json
from typing import Any, Protocol

from hardneg.transforms.core import storage
from hardneg.transforms.inputs.files import explaining


class Found(Protocol):
    """An evaluation, a report."""

    def to_json(self) -> dict[str, Any]: ...


def write_json(path: str, found: Found) -> None:
    """Write what a command found; nothing in it is NaN.

    Raises:
        HardnegError: it can't be written.
    """
    data = json.dumps(found.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with explaining(path):
        storage.write_file(path, lambda sink: sink.write(data.encode()))

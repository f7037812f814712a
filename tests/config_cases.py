"""Options that the tests of a run's configuration begin with."""

from __future__ import annotations

from typing import Any

from hardneg.pipelines.options.mine import MineConfig

RUN_FILE = {"kind": "run", "name": "r", "file": "x"}
VECTORS = {"kind": "vectors", "name": "v", "vectors": "p", "query-vectors": "q"}
ENCODER = {"kind": "bi-encoder", "model": "m"}


def config(**options: Any) -> MineConfig:
    return MineConfig(**{"output": "out", **options})

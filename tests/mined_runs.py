"""Runs that tests look at: each mined once in a test session, with tiny models unless a test is about real ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
from filelock import FileLock
from profiles import PROFILE

# Beam and torch are loaded by the tests that mine, not by every one.

# One runner everywhere, named, with Beam's type checks of every element: an eighth of a run's time, so that of the
# fast runs only those that ask for it have them.
CHECKED = ["--runner", "FnApiRunner", "--runtime_type_check"]
ONE_WORKER = CHECKED if PROFILE != "fast" else ["--runner", "FnApiRunner"]
TWO_WORKERS = ["--runner", "FnApiRunner", "--direct_num_workers", "2"]
# A small run of the first queries, for tests that look at what any run has.
FEW_QUERIES: dict[str, Any] = {
    "max_sigmoid": 0.9, "negatives": 2, "max_queries": 5, "segments": 2, "output_shards": 3,
}  # fmt: skip
# For tests of what the bundled models make of texts.
BUNDLED: dict[str, Any] = {"bi_encoder": ["bundled"], "cross_encoder": "bundled"}


class Run:
    """A finished run: its folder, its manifest and its tables."""

    def __init__(self, folder: Path, manifest: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.manifest = manifest or json.loads((folder / "manifest.json").read_text(encoding="utf-8"))

    def table(self, kind: str) -> pa.Table:
        return pyarrow.dataset.dataset(self.folder / kind, format="parquet").to_table()

    def rows(self, kind: str) -> list[dict[str, Any]]:
        return self.table(kind).to_pylist()

    def hashes(self, kind: str) -> dict[str, str]:
        shards = self.manifest["shards"]
        return {shard["name"]: shard["sha256"] for shard in shards if shard["name"].startswith(kind + "/")}


@dataclass(frozen=True)
class TinyModels:
    """Two tiny models, each in a folder."""

    bi_encoder: Path
    cross_encoder: Path

    @property
    def options(self) -> dict[str, Any]:
        """As options of a run from Python."""
        return {"bi_encoder": [str(self.bi_encoder)], "cross_encoder": str(self.cross_encoder)}

    @property
    def arguments(self) -> list[str]:
        """As options of the command line."""
        return ["--bi-encoder", str(self.bi_encoder), "--cross-encoder", str(self.cross_encoder)]

    def with_options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return a run's options with these models where it names none; tables of retrievers stand for bi-encoders."""
        if "retriever" not in given:
            return self.options | given
        own = {"model": str(self.bi_encoder)}
        tables = [own | table if table["kind"] == "bi-encoder" else table for table in given["retriever"]]
        return {"cross_encoder": str(self.cross_encoder)} | given | {"retriever": tables}


def tiny_models_in(folder: Path) -> TinyModels:
    """Return the session's tiny models, saving them if no other worker has."""
    from tiny_models import save_spread, save_tiny_sentence_transformer

    models = TinyModels(folder / "models" / "bi", folder / "models" / "cross")
    with FileLock(folder / "models.lock"):
        if not models.cross_encoder.exists():
            save_tiny_sentence_transformer(models.bi_encoder)
            save_spread(models.cross_encoder)
    return models


def mine_into(
    output: Path, options: dict[str, Any], beam_args: list[str], page: bool, texts_travel: bool | None = None
) -> dict[str, Any]:
    """Mine; without a page it takes two thirds of the time."""
    from hardneg.pipelines.commands import driver
    from hardneg.pipelines.options.mine import MineConfig

    config = MineConfig(output=str(output), **options)
    if page or "format" in options or texts_travel is not None:
        return driver.mine(config, beam_args, texts_travel)
    return driver.mine_tables(config, beam_args)


def mined_once(folder: Path, options: dict[str, Any], beam_args: list[str], page: bool) -> Run:
    """Return the session's run of these options, mining it if no other worker has; nobody may write into it."""
    name = hashlib.sha256(json.dumps([options, beam_args, page], sort_keys=True).encode()).hexdigest()[:16]
    output = folder / f"run-{name}"
    with FileLock(f"{output}.lock"):
        if not (output / "manifest.json").exists():
            mine_into(output, options, beam_args, page)
    return Run(output)


Mine = Callable[..., Run]

"""What decides what a run gives: its options, the bytes of everything it reads, its models, the libraries.

Two runs of one state give the same triplets, so a refresh whose state is that of the last snapshot has nothing to do.
Loads neither Beam nor torch for local files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hardneg import __version__
from hardneg.pipelines.options.mine import MineConfig
from hardneg.transforms.core import storage
from hardneg.transforms.core.hashing import file_sha256
from hardneg.transforms.inputs.paths import is_folder, matching_files
from hardneg.transforms.models.files import find_model
from hardneg.transforms.models.fingerprint import files_digest
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.output.manifest import file_fingerprint, library_versions, processor

State = dict[str, Any]

# Options that say where things lie or how the work is cut: what they name is in the state by its bytes.
_ELSEWHERE = {
    *("input", "split", "corpus", "queries", "qrels", "pairs", "holdout", "judge_file", "marks"),
    *("output", "work", "overwrite", "from_run", "score_missing", "store", "segments", "block_size", "accelerator"),
    *("bi_encoder", "retriever", "cross_encoder"),
    # What decides at a calibration: its judge is in the state.
    *("target_false_negative_rate", "target_leak_rate", "gamma", "calibration_queries"),
    *("cross_encoder_batch", "cross_encoder_requests", "cross_encoder_timeout"),
}
# The keys of a retriever's table that name files.
_FILES = ("file", "vectors", "query_vectors")


def state_of(config: MineConfig, inputs: list[dict[str, Any]], scores: bool) -> State:
    """Return the state of a run, in parts whose names tell a person what changed.

    Args:
        config: the options.
        inputs: as ``describe_inputs`` gives them.
        scores: whether the cross-encoder may be loaded.
    """
    options = {name: value for name, value in config.model_dump().items() if name not in _ELSEWHERE}
    options["retriever"] = [
        {key: value for key, value in table.items() if key not in (*_FILES, "model")} for table in config.retriever
    ]
    options["sources"] = [source.name for source in config.sources]
    return {
        "options": options,
        "inputs": [[each["kind"], each["bytes"], each["fingerprint"]] for each in inputs],
        "files": sorted(set(_other_files(config))),
        "judge": judge_digest(storage.read_file(config.judge_file)) if config.judge_file else None,
        "marks": [file_fingerprint(path) for path in config.marks],
        "models": dict(_models(config, scores)),
        "versions": {"hardneg": __version__, **library_versions()},
        "processor": processor(),
    }


def differences(state: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return the parts in which two states differ, in words; none: they are equal."""
    return [_WORDS[part] for part in _WORDS if _plain(state.get(part)) != _plain(before.get(part))]


JUDGE_CHANGED = "the judge"
_WORDS = {
    "inputs": "the inputs",
    "files": "evaluation sets, run files or vectors",
    "options": "options",
    "judge": JUDGE_CHANGED,
    "marks": "marks",
    "models": "a model",
    "versions": "library versions",
    "processor": "the kind of processor",
}


def state_digest(state: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of a state."""
    return hashlib.sha256(json.dumps(_plain(state), sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value))


def judge_digest(data: bytes) -> str:
    """Return the hex SHA-256 of what a judge.json says, however it is laid out."""
    return hashlib.sha256(json.dumps(json.loads(data), sort_keys=True).encode()).hexdigest()


def _models(config: MineConfig, scores: bool) -> Iterator[tuple[str, Any]]:
    specs: list[tuple[str, Any]] = [(each.name, each.spec) for each in config.retrievers if each.spec is not None]
    if scores:
        specs.append(("cross_encoder", config.cross_encoder_spec))
    for name, spec in specs:
        if isinstance(spec, RemoteSpec):
            yield name, {key: getattr(spec, key) for key in ("model", "revision", "api", "name", "prompts")}
        else:
            told = {key: value for key, value in asdict(spec).items() if key != "model"}
            yield name, {"files": files_digest(find_model(spec)), **told}


def _other_files(config: MineConfig) -> Iterator[tuple[str, str]]:
    """Yield (what it is, digest) of the files that are read beside the inputs."""
    for given in config.holdout:
        folder, _, split = given.rpartition(":")
        path = folder if split and "/" not in split and is_folder(folder) else given
        for file in sorted(Path(path).rglob("*")) if is_folder(path) else []:
            if file.is_file():
                yield "holdout", f"{file.relative_to(path)} {file_sha256(file)}"
        for found in [] if is_folder(path) else matching_files(path, "holdout"):
            yield "holdout", file_fingerprint(found.path)
    for table in config.retriever:
        for name in _FILES:
            for found in matching_files(table[name]) if table.get(name) else []:
                yield f"retriever {name}", file_fingerprint(found.path)

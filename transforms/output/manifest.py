"""The manifest of a run, and the dataset card that makes its folder a Hugging Face dataset."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from hardneg import __version__
from hardneg.transforms.core import storage
from hardneg.transforms.core.hashing import file_sha256
from hardneg.transforms.core.progress import StageProgress
from hardneg.transforms.inputs.input_files import InputFile

MANIFEST = "manifest.json"
CARD = "README.md"
JUDGE = "judge.json"
_VERSIONED = (
    "apache-beam",
    "numba",
    "numpy",
    "pyarrow",
    "rank-bm25",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)


def describe_inputs(files: list[InputFile]) -> list[dict[str, Any]]:
    """Return path, kind, size and fingerprint of each input: SHA-256, or an object store's own checksum."""
    return [
        {
            "path": file.path,
            "kind": file.kind,
            "bytes": file.size,
            "fingerprint": file_fingerprint(file.path),
        }
        for file in files
    ]


def file_fingerprint(path: str) -> str:
    """Return the SHA-256 of a file, or an object store's own checksum."""
    return file_sha256(Path(path)) if storage.is_local(path) else storage.checksum(path)


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that scores depend on."""
    return {name: metadata.version(name) for name in _VERSIONED}


def processor() -> str:
    """Return the kind of processor: scores are reproducible on one kind, not across kinds."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def make_manifest(
    options: dict[str, Any],
    inputs: list[dict[str, Any]],
    summary: dict[str, Any],
    stages: dict[str, StageProgress],
    wall_seconds: float,
    refresh: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the manifest: what was asked, with what it was computed, what came out.

    ``refresh`` is what a snapshot says of itself beside: its date, the one before, its state.
    """
    counts = summary["counts"]
    scored = counts.get("pairs_scored", 0)
    return {
        "hardneg": __version__,
        "options": options,
        "versions": library_versions(),
        "python": platform.python_version(),
        "processor": processor(),
        "models": summary["models"],
        "denoising": summary["denoising"],
        "inputs": inputs,
        "counts": counts,
        "share_of_pairs_cut": round(counts.get("pairs_cut", 0) / scored, 6) if scored else 0.0,
        "triplets_too_close": sum(shard["clashes"] for shard in summary["shards"]),
        "seconds": {name: round(stage.seconds, 2) for name, stage in sorted(stages.items()) if stage.seconds},
        "wall_seconds": round(wall_seconds, 2),
        **({"notes": summary["notes"]} if summary.get("notes") else {}),
        **({"refresh": refresh} if refresh else {}),
        "shards": [{name: shard[name] for name in ("name", "rows", "sha256")} for shard in summary["shards"]],
    }


def write_manifest(folder: str, manifest: dict[str, Any]) -> None:
    """Write the manifest; it is written last, so a folder with one is finished."""
    data = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    storage.write_file(storage.join(folder, MANIFEST), lambda sink: sink.write(data))


def _denoised(denoising: dict[str, Any]) -> str:
    """Return what is promised of the negatives, with its status, and yield and hardness beside it."""
    if denoising["status"] is None:
        return "a candidate is a negative if it passes the thresholds in `manifest.json`; nothing is promised of them"
    figures = denoising["figures"]
    beside = (
        f"; in the calibration sample: yield {figures['yield']:.1%}, mean similarity {figures['hardness']:.3f}"
        if figures.get("hardness") is not None
        else ""
    )
    return f"**{denoising['status']}**: {denoising['reason'].removeprefix(denoising['status'] + ' ')}{beside}"


def write_card(folder: str, manifest: dict[str, Any]) -> None:
    """Write the dataset card: ``load_dataset(folder)`` then gives the triplets, with three columns."""
    counts = manifest["counts"]
    models = "\n".join(f"- {name}: `{model['model']}`" for name, model in manifest["models"].items())
    tables = {
        kind: f"{kind}/*.parquet"
        for kind in ("triplets", "candidates", "suspect_pairs", "passages", "queries")
        if any(shard["name"].startswith(kind + "/") for shard in manifest["shards"])
    }
    configs = "".join(
        f"- config_name: {kind}\n"
        + ("  default: true\n" if kind == "triplets" else "")
        + f"  data_files:\n  - split: train\n    path: {pattern}\n"
        for kind, pattern in tables.items()
    )
    options = manifest["options"]
    card = f"""---
configs:
{configs}tags:
- hardneg
- hard-negatives
---
# Denoised hard negatives

Mined by hardneg {manifest["hardneg"]}. The default configuration is made for trainers: `anchor`, `positive`,
`negative`, to be read in order. `candidates` has every retrieved candidate with its signals and its verdict,
`passages` and `queries` the texts that it refers to. Everything else is in `manifest.json`.

- queries: {counts.get("queries", 0):,}, mined negatives: {counts.get("mined", 0):,}
- {_denoised(manifest["denoising"])}
- negatives per query: {options["negatives"]}, tried in the order: {options["order"].partition(":")[0]}

Models:

{models}
"""
    storage.write_file(storage.join(folder, CARD), lambda sink: sink.write(card.encode()))

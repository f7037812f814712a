"""An export's files: its shards' bytes, its manifest and its dataset card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from hardneg import __version__
from hardneg.transforms.core import storage
from hardneg.transforms.export.format import Format
from hardneg.transforms.output.manifest import CARD
from hardneg.transforms.output.shards import ROW_GROUP, Shard, parquet_bytes, write_bytes

_TEXTS_OF_A_ROW_GROUP = 3 * ROW_GROUP
# JSON may hold them as they are, but readers that split lines as Python does would break there.
_LINE_ENDS = str.maketrans({code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)})


def shard_bytes(suffix: str, table: pa.Table, texts: int) -> bytes:
    """Return a shard's bytes. A reader that shuffles holds a few row groups, so their texts are counted, not rows.

    Args:
        suffix: ``parquet``, or ``jsonl`` for JSON lines.
        table: its rows in their order.
        texts: of a row, about.
    """
    if suffix == "jsonl":
        return json_lines(table)
    return parquet_bytes(table, min(ROW_GROUP, max(1, _TEXTS_OF_A_ROW_GROUP // texts)))


def json_lines(table: pa.Table) -> bytes:
    """Return rows as JSON lines in UTF-8; whatever stands in a text, a row is one line."""
    lines = []
    for batch in table.to_batches(ROW_GROUP):
        lines += [json.dumps(row, ensure_ascii=False).translate(_LINE_ENDS).encode() for row in batch.to_pylist()]
    return b"".join(line + b"\n" for line in lines)


def export_file_name(form: Format, number: int, shards: int) -> str:
    """Return the name of a shard's file."""
    return f"part-{number:05d}-of-{shards:05d}.{form.suffix}"


def write_part(folder: str, table: str, name: str, data: bytes, rows: int, clashes: int = 0) -> Shard:
    """Write one shard of one of an export's tables."""
    shard = write_bytes(storage.join(folder, table), name, data, rows)
    return Shard(f"{table}/{name}", rows, shard.sha256, clashes)


def export_manifest(
    run: str,
    of_run: dict[str, Any],
    form: Format,
    options: dict[str, Any],
    counts: dict[str, int],
    shards: Sequence[Shard],
) -> dict[str, Any]:
    """Return an export's manifest: of which run, what was asked, what came out."""
    rows = Counter[str]()
    for shard in shards:
        rows[shard.name.partition("/")[0]] += shard.rows
    names = sorted(rows, key=lambda name: _rank(form.main, name))
    return {
        "hardneg": __version__,
        "run": run,
        "format": form.name,
        "options": options,
        "models": of_run.get("models", {}),
        "denoising": of_run.get("denoising", {}),
        "counts": counts,
        "rows": {name: rows[name] for name in names},
        "rows_too_close": sum(shard.clashes for shard in shards),
        "shards": [
            {"name": shard.name, "rows": shard.rows, "sha256": shard.sha256}
            for shard in sorted(shards, key=lambda shard: shard.name)
        ],
    }


def _rank(main: str, name: str) -> tuple[bool, bool, int, str]:
    """Order an export's tables: the format's own, those of fewer negatives beside it, then texts."""
    size = name.removeprefix(f"{main}-")
    return name != main, not size.isdigit(), -int(size) if size.isdigit() else 0, name


def write_export_card(folder: str, form: Format, manifest: dict[str, Any]) -> None:
    """Write the dataset card, with which ``load_dataset(folder)`` gives the format's table."""
    names = list(manifest["rows"])
    first = names[0]
    configs = "".join(_config(name, name, form, name == first) for name in names)
    configs += "".join(_config(alias, first, form, False) for alias in form.aliases)
    rows = "\n".join(f"- `{name}`: {count:,} rows" for name, count in manifest["rows"].items())
    scores = "scored: the cross-encoder's logits" if manifest["options"]["scores"] else "not scored"
    card = f"""---
configs:
{configs}tags:
- hardneg
- hard-negatives
---
# Denoised hard negatives: {form.name}

Mined and exported by hardneg {manifest["hardneg"]}; {scores}. Made for {form.made_for}. To be read in order, or
shuffled. Everything else is in `manifest.json`.

{rows}
"""
    storage.write_file(storage.join(folder, CARD), lambda sink: sink.write(card.encode()))


def _config(name: str, folder: str, form: Format, default: bool) -> str:
    return (
        f"- config_name: {name}\n"
        + ("  default: true\n" if default else "")
        + f"  data_files:\n  - split: train\n    path: {folder}/*.{form.suffix}\n"
    )

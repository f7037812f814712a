"""An export's files: which views a format is made of, its shards' bytes, its manifest and its dataset card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa

from hardneg import __version__
from hardneg.transforms.core import storage
from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.export.views import (
    View,
    id_tuples,
    labeled_lists,
    labeled_pairs,
    query_lists,
    triplets,
    tuples,
)
from hardneg.transforms.output.manifest import CARD
from hardneg.transforms.output.shards import ROW_GROUP, Shard, parquet_bytes, write_bytes

Format = Literal["triplet", "n-tuple", "labeled-pair", "labeled-list", "flagembedding", "pylate"]
FORMATS: tuple[Format, ...] = ("triplet", "n-tuple", "labeled-pair", "labeled-list", "flagembedding", "pylate")
# Every row of these has the same number of negatives.
FIXED: tuple[Format, ...] = ("n-tuple", "pylate")
_MAIN = {"pylate": "scores"}  # elsewhere, the table is called like the format
# All that an export's tables may be called, but for a number of negatives at the end.
TABLE_NAMES = (*FORMATS[:-1], "scores", "queries", "documents")
_TEXTS_OF_A_ROW_GROUP = 3 * ROW_GROUP
# JSON may hold them as they are, but readers that split lines as Python does would break there.
_LINE_ENDS = str.maketrans({code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)})

_FOR = {
    "triplet": "sentence-transformers' MultipleNegativesRankingLoss, TripletLoss; with scores MarginMSELoss, "
    "DistillKLDivLoss",
    "n-tuple": "sentence-transformers' MultipleNegativesRankingLoss; with scores MarginMSELoss, DistillKLDivLoss",
    "labeled-pair": "sentence-transformers' CrossEncoderTrainer: BinaryCrossEntropyLoss; with scores MSELoss",
    "labeled-list": "sentence-transformers' CrossEncoderTrainer: LambdaLoss, ListNetLoss",
    "flagembedding": "FlagEmbedding's trainers, with the folder `flagembedding` of this one as `train_data`",
    "pylate": "PyLate's knowledge distillation: `utils.KDProcessing`",
}


def views(chosen: Chosen, form: Format, negatives: int, scores: bool) -> Iterator[tuple[str, View]]:
    """Yield (table's name, view) of what a shard chose, for each table of a format that has rows.

    Tables of fewer negatives than asked for are called ``NAME-n``.
    """
    name = main_table(form)
    if form in FIXED:
        for size in range(negatives, 0, -1):
            view = tuples(chosen, size, scores) if form == "n-tuple" else id_tuples(chosen, size)
            if len(view):
                yield name if size == negatives else f"{name}-{size}", view
        return
    make = {
        "triplet": triplets,
        "labeled-pair": labeled_pairs,
        "labeled-list": labeled_lists,
        "flagembedding": query_lists,
    }[form]
    view = make(chosen, scores)
    if len(view):
        yield name, view


def main_table(form: Format) -> str:
    return _MAIN.get(form, form)


def shard_bytes(form: Format, table: pa.Table, texts: int) -> bytes:
    """Return a shard's bytes. A reader that shuffles holds a few row groups, so their texts are counted, not rows.

    Args:
        form: JSON lines for FlagEmbedding, Parquet for the others.
        table: its rows in their order.
        texts: of a row, about.
    """
    if form == "flagembedding":
        return json_lines(table)
    return parquet_bytes(table, min(ROW_GROUP, max(1, _TEXTS_OF_A_ROW_GROUP // texts)))


def json_lines(table: pa.Table) -> bytes:
    """Return rows as JSON lines in UTF-8; whatever stands in a text, a row is one line."""
    lines = []
    for batch in table.to_batches(ROW_GROUP):
        lines += [json.dumps(row, ensure_ascii=False).translate(_LINE_ENDS).encode() for row in batch.to_pylist()]
    return b"".join(line + b"\n" for line in lines)


def file_name(form: Format, number: int, shards: int) -> str:
    return f"part-{number:05d}-of-{shards:05d}.{'jsonl' if form == 'flagembedding' else 'parquet'}"


def write_part(folder: str, table: str, name: str, data: bytes, rows: int, close: int = 0) -> Shard:
    """Write one shard of one of an export's tables."""
    shard = write_bytes(storage.join(folder, table), name, data, rows)
    return Shard(f"{table}/{name}", rows, shard.sha256, close)


def make_manifest(
    run: str, of_run: dict[str, Any], options: dict[str, Any], counts: dict[str, int], shards: Sequence[Shard]
) -> dict[str, Any]:
    """Return an export's manifest: of which run, what was asked, what came out."""
    rows = Counter[str]()
    for shard in shards:
        rows[shard.name.partition("/")[0]] += shard.rows
    main = main_table(options["format"])
    names = sorted(rows, key=lambda name: _rank(main, name))
    return {
        "hardneg": __version__,
        "run": run,
        "format": options["format"],
        "options": options,
        "models": of_run.get("models", {}),
        "denoising": of_run.get("denoising", {}),
        "counts": counts,
        "rows": {name: rows[name] for name in names},
        "rows_too_close": sum(shard.close for shard in shards),
        "shards": [
            {"name": shard.name, "rows": shard.rows, "sha256": shard.sha256}
            for shard in sorted(shards, key=lambda shard: shard.name)
        ],
    }


def _rank(main: str, name: str) -> tuple[bool, bool, int, str]:
    """Order an export's tables: the format's own, those of fewer negatives beside it, then texts."""
    size = name.removeprefix(f"{main}-")
    return name != main, not size.isdigit(), -int(size) if size.isdigit() else 0, name


def write_export_card(folder: str, manifest: dict[str, Any]) -> None:
    """Write the dataset card, with which ``load_dataset(folder)`` gives the format's table."""
    form: Format = manifest["format"]
    names = list(manifest["rows"])
    first = names[0]
    configs = "".join(_config(name, name, form, name == first) for name in names)
    if form == "pylate":  # published sets have both names for it
        configs += _config("train", first, form, False)
    rows = "\n".join(f"- `{name}`: {count:,} rows" for name, count in manifest["rows"].items())
    scores = "scored: the cross-encoder's logits" if manifest["options"]["scores"] else "not scored"
    card = f"""---
configs:
{configs}tags:
- hardneg
- hard-negatives
---
# Denoised hard negatives: {form}

Mined and exported by hardneg {manifest["hardneg"]}; {scores}. Made for {_FOR[form]}. To be read in order, or
shuffled. Everything else is in `manifest.json`.

{rows}
"""
    storage.write_file(storage.join(folder, CARD), lambda sink: sink.write(card.encode()))


def _config(name: str, folder: str, form: Format, default: bool) -> str:
    suffix = "jsonl" if form == "flagembedding" else "parquet"
    return (
        f"- config_name: {name}\n"
        + ("  default: true\n" if default else "")
        + f"  data_files:\n  - split: train\n    path: {folder}/*.{suffix}\n"
    )

"""Reading a finished run: its manifest and its tables, shard by shard."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hardneg.errors import HardnegError
from hardneg.transforms.core import storage
from hardneg.transforms.core.hashing import KeyMap, Keys, id_keys, text_keys
from hardneg.transforms.inputs.files import explaining, opened_parquet
from hardneg.transforms.inputs.judgements import files_in
from hardneg.transforms.output.manifest import MANIFEST

TABLES = ("triplets", "candidates", "suspect_pairs", "passages", "queries", "rejected")
_BATCH_ROWS = 4096


def read_manifest(run: str) -> dict[str, Any]:
    """Return the manifest of a finished run.

    Raises:
        HardnegError: there is none, or it is broken.
    """
    path = storage.join(run, MANIFEST)
    if storage.is_local(run) and not os.path.isfile(path):
        what = "it has no manifest.json" if os.path.isdir(run) else "it is not there"
        raise HardnegError(f"{run} is not a finished run ({what}): give the --output folder of `hardneg mine`.")
    try:
        with explaining(path):
            manifest = json.loads(storage.read_file(path))
        if not isinstance(manifest["options"], dict) or not isinstance(manifest["counts"], dict):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise HardnegError(f"{path} is not a run's manifest: give the --output folder of `hardneg mine`.") from None
    return manifest


def shards(run: str, kind: str) -> list[str]:
    """Return the Parquet files of one of a run's tables, sorted."""
    return [path for path in files_in(storage.join(run, kind)) if path.endswith(".parquet")]


def read_shard(path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a shard, or such of the columns as it has.

    Raises:
        HardnegError: it can't be read.
    """
    with opened_parquet(path) as parquet, explaining(path, "Parquet"):
        names = parquet.schema_arrow.names
        return parquet.read([name for name in columns if name in names] if columns else None)


def read_batches(path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield a shard of texts in pieces."""
    with opened_parquet(path) as parquet:
        batches = parquet.iter_batches(_BATCH_ROWS, columns=list(columns), use_threads=False)
        while True:
            with explaining(path, "Parquet"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def text_keys_by_id(run: str, kind: str, id_column: str) -> KeyMap:
    """Return the text's key of each id of ``passages/`` or ``queries/``; empty if the run has no such table."""
    ids, texts = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint64)]
    for path in shards(run, kind):
        for batch in read_batches(path, [id_column, "text"]):
            ids.append(id_keys(batch.column(id_column)))
            texts.append(text_keys(batch.column("text")))
    return KeyMap(np.concatenate(ids), np.concatenate(texts))


def texts_of(run: str, kind: str, id_column: str, wanted: Sequence[str]) -> dict[str, str]:
    """Return the texts of some ids of ``passages/`` or ``queries/``; those that are not there are left out."""
    found: dict[str, str] = {}
    values = pa.array(list(wanted), pa.string())
    for path in shards(run, kind):
        for batch in read_batches(path, [id_column, "text"]):
            chosen = batch.filter(pa.compute.is_in(batch.column(id_column), value_set=values))
            found.update(zip(chosen.column(0).to_pylist(), chosen.column(1).to_pylist(), strict=True))
    return found


def canonical(ids: Keys, texts: KeyMap) -> Keys:
    """Return for each id's key the key of its text, so that equal texts are one; its own if it has none."""
    return texts.get(ids, ids)

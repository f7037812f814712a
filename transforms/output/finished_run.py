"""A finished run: the folder that ``hardneg mine`` wrote, opened once, whoever reads it.

``FinishedRun.open(path)`` says in one place what a whole run is. What a table holds is read shard by shard.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import RunError
from hardneg.transforms.core import storage
from hardneg.transforms.core.hashing import KeyMap, id_keys, text_keys
from hardneg.transforms.inputs.files import explaining
from hardneg.transforms.inputs.paths import files_in
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.output.manifest import JUDGE, MANIFEST
from hardneg.transforms.output.run_tables import columns_of, read_batches, read_shard

RUN_TABLES = ("triplets", "candidates", "suspect_pairs", "passages", "queries", "rejected")
_ID_COLUMNS = {"queries": "query_id", "passages": "passage_id"}
_SHARD = re.compile(r"part-(\d+)-of-(\d+)\.parquet")
_WHOLE = "give the --output folder of `hardneg mine`"


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """The output of one run.

    Attributes:
        path: its folder, as it was given.
        manifest: what was asked, with what it was computed, and what came out; ``options`` and ``counts`` are there.
    """

    path: str
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: str) -> FinishedRun:
        """Return the run in a folder.

        Raises:
            RunError: it is no finished run.
            InputError: its manifest can't be read.
        """
        file = storage.join(path, MANIFEST)
        if storage.is_local(path) and not os.path.isfile(file):
            what = f"it has no {MANIFEST}" if os.path.isdir(path) else "it is not there"
            raise RunError(f"{path} is not a finished run ({what}): {_WHOLE}.", path=path)
        try:
            with explaining(file):
                manifest = json.loads(storage.read_file(file))
            if not isinstance(manifest["options"], dict) or not isinstance(manifest["counts"], dict):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise RunError(f"{file} is not a run's manifest: {_WHOLE}.", path=path) from None
        return cls(path, manifest)

    @property
    def options(self) -> dict[str, Any]:
        """What was asked, by the names of the options."""
        return self.manifest["options"]

    @property
    def counts(self) -> dict[str, int]:
        """What came out, by the names in the manifest."""
        return self.manifest["counts"]

    @property
    def models(self) -> dict[str, Any]:
        """What is known of each model, by source name; ``cross_encoder`` is there if pairs were scored."""
        return self.manifest.get("models", {})

    @cached_property
    def judge(self) -> CalibratedJudge:
        """The judge that decided.

        Raises:
            RunError: there is none, as in a run of an older version.
            HardnegError: it can't be read.
        """
        file = storage.join(self.path, JUDGE)
        if not storage.exists(file):
            raise RunError(
                f"{self.path} has no {JUDGE}, so an older hardneg mined it: `hardneg mine --from {self.path} --output "
                "NEW` mines it again from its scores, and NEW can be reported on.",
                path=self.path,
            )
        with explaining(file):
            data = storage.read_file(file)
        return CalibratedJudge.from_json(data.decode("utf-8", "replace"), file)

    def shards(self, kind: str) -> dict[int, str]:
        """Return the files of one of ``RUN_TABLES`` by the number of their shard, ascending; empty without rows.

        A query's rows lie in the shard of its id's digest, a passage's in that of its own; but for triplets, whose
        order decides.

        Raises:
            RunError: a Parquet file that no run of ours wrote.
        """
        found = {}
        for path in files_in(storage.join(self.path, kind)):
            match = _SHARD.fullmatch(PurePosixPath(path).name)
            if match:
                found[int(match[1])] = path
            elif path.endswith(".parquet"):
                raise RunError(f"{path} is no shard of a run of ours: {_WHOLE}.", path=path)
        return dict(sorted(found.items()))

    @property
    def parts(self) -> int:
        """How many shards the tables are cut into, those without rows counted."""
        paths = [path for kind in _ID_COLUMNS for path in self.shards(kind).values()]
        names = [PurePosixPath(path).name for path in paths]
        return max((int(match[2]) for name in names if (match := _SHARD.fullmatch(name))), default=1)

    def require(self, kind: str, columns: Sequence[str] = ()) -> dict[int, str]:
        """Return what ``shards`` does, once it is clear that the table is there, with these columns in each shard.

        Raises:
            RunError: it is not.
        """
        found = self.shards(kind)
        if not found:
            raise RunError(f"{self.path} has no {kind}/: give a whole run.", path=self.path, table=kind)
        for path in found.values() if columns else ():
            present = columns_of(path)
            if lacking := [name for name in columns if name not in present]:
                raise RunError(
                    f"{path} has no column {lacking[0]}: the run is damaged, or of another version; mine again.",
                    path=path,
                    column=lacking[0],
                )
        return found

    def tables(self, kind: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the shards of a table, or such of the columns as they have."""
        for path in self.shards(kind).values():
            yield read_shard(path, columns)

    def batches(self, kind: str) -> Iterator[pa.RecordBatch]:
        """Yield (id, text) of ``queries`` or ``passages`` in pieces."""
        for path in self.shards(kind).values():
            yield from read_batches(path, [_ID_COLUMNS[kind], "text"])

    def text_keys(self, kind: str) -> KeyMap:
        """Return the text's key of each id of ``queries`` or ``passages``; empty if the run has no such table."""
        ids, texts = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint64)]
        for batch in self.batches(kind):
            ids.append(id_keys(batch.column(0)))
            texts.append(text_keys(batch.column(1)))
        return KeyMap(np.concatenate(ids), np.concatenate(texts))

    def texts(self, kind: str, wanted: Sequence[str]) -> dict[str, str]:
        """Return the texts of some ids of ``queries`` or ``passages``; those that are not there are left out."""
        found: dict[str, str] = {}
        values = pa.array(list(wanted), pa.string())
        for batch in self.batches(kind):
            chosen = batch.filter(pc.is_in(batch.column(0), value_set=values))
            found.update(zip(chosen.column(0).to_pylist(), chosen.column(1).to_pylist(), strict=True))
        return found

"""The rows of an export on their way from the shards that they are made of to those that they are written in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from hardneg.transforms.core.block import table_from_bytes, table_to_bytes
from hardneg.transforms.export.view import View
from hardneg.transforms.output.layout import FEW_ROWS, ReadBefore, cut_evenly

_LENGTH = 8  # bytes before each part of a file


class ScatteredViews:
    """Views cut into shards, in files, to be laid out as the run's triplets are."""

    def __init__(self, folder: Path, shards: int, few: int = FEW_ROWS) -> None:
        """Begin with none.

        Args:
            folder: a scratch folder of its own.
            shards: how many shards each table has.
            few: up to how many rows of a table are laid out at once.
        """
        self._folder = folder
        self._shards = shards
        self._few = few
        self._rows = Counter[str]()

    def add(self, table: str, view: View) -> None:
        """Add rows to one of the export's tables: all that some queries have."""
        self._rows[table] += len(view)
        folder = self._folder / table
        folder.mkdir(parents=True, exist_ok=True)
        for shard, part in view.cut(self._shards):
            with (folder / f"{shard:06d}").open("ab") as file:
                for each in (part.table, part.keys):
                    data = table_to_bytes(each)
                    file.write(len(data).to_bytes(_LENGTH, "big") + data)

    def laid_out(self) -> Iterator[tuple[str, int, pa.Table, int]]:
        """Yield (table, shard, rows as they are written, how many more meet in their batch what they avoid).

        Shard after shard of each table, as they are read; one shard is held at a time, or few rows.
        """
        for folder in sorted(self._folder.iterdir()):
            paths = sorted(folder.iterdir())
            if self._rows[folder.name] > self._few:
                before = ReadBefore()
                for path in paths:
                    view = _read([path])
                    order, clashes = view.order(before)
                    before = before.then(len(view), view.end())
                    yield folder.name, int(path.name), view.table.take(order), clashes
                continue
            view = _read(paths)
            order, clashes = view.order()
            for shard, part in cut_evenly(order, self._shards):
                yield folder.name, shard, view.table.take(part), clashes
                clashes = 0  # they are counted once


def _read(paths: Sequence[Path]) -> View:
    parts: list[pa.Table] = []
    for path in paths:
        with path.open("rb") as file:
            while length := file.read(_LENGTH):
                parts.append(table_from_bytes(file.read(int.from_bytes(length, "big"))))
    return View(pa.concat_tables(parts[::2]).combine_chunks(), pa.concat_tables(parts[1::2]).combine_chunks())

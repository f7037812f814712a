"""Pairs that a person marked: which passages are relevant to a query after all, and which are not."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hardneg.errors import InputError, parameter
from hardneg.transforms.core import storage
from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.core.hashing import Keys, id_keys, pair_keys
from hardneg.transforms.inputs.files import explaining

MARKS = "marks.jsonl"  # in a snapshot
_YES, _NO = ("y", "yes", "1", "1.0", "true"), ("n", "no", "0", "0.0", "false")
_NONE: Keys = np.zeros(0, dtype=np.uint64)


@dataclass(frozen=True, order=True)
class MarkedPair:
    """A pair by its ids, and whether a person found it relevant."""

    query_id: str
    passage_id: str
    relevant: bool


@dataclass(frozen=True, eq=False)
class Marks:
    """Marked pairs as keys, ``pair_keys`` of their ids."""

    relevant: Keys = field(default_factory=lambda: _NONE)
    not_relevant: Keys = field(default_factory=lambda: _NONE)

    def find(self, queries: pa.Table, candidates: pa.Table, query: IntArray) -> tuple[BoolArray, BoolArray]:
        """Return which candidates are marked relevant, and which not: bool (n,), bool (n,).

        Args:
            queries: a block's, with ``query_id``.
            candidates: with ``passage_id``.
            query: int64 (n,); the row of each candidate's query.
        """
        if not len(self.relevant) and not len(self.not_relevant):
            nothing = np.zeros(len(candidates), dtype=np.bool_)
            return nothing, nothing
        keys = pair_keys(id_keys(queries["query_id"])[query], id_keys(candidates["passage_id"]))
        return np.isin(keys, self.relevant), np.isin(keys, self.not_relevant)


NOTHING_MARKED = Marks()


def marks_of(pairs: Iterable[MarkedPair]) -> Marks:
    """Return pairs as keys; one that is marked both ways is relevant."""
    told = list(pairs)
    keys = {}
    for relevant in (True, False):
        own = [each for each in told if each.relevant is relevant]
        columns = ([each.query_id for each in own], [each.passage_id for each in own])
        queries, passages = (id_keys(pa.array(column, pa.string())) for column in columns)
        keys[relevant] = np.unique(pair_keys(queries, passages))
    return Marks(keys[True], np.setdiff1d(keys[False], keys[True]))


def read_marked_pairs(path: str) -> list[MarkedPair] | None:
    """Return the pairs in a file with the columns ``query_id``, ``passage_id`` and ``relevant``.

    Parquet, JSON lines, CSV or TSV, as the name says. A row without a mark is left out.

    Returns:
        None for a sheet of ``hardneg evaluate --draw``, which names pairs by what was drawn from a run.

    Raises:
        InputError: it can't be read, has other columns, or a mark is neither y nor n.
    """
    with explaining(path):
        rows = list(_rows(path, storage.read_file(path)))
    found = []
    for number, row in enumerate(rows, start=1):
        names = {str(name).strip().lower(): value for name, value in row.items() if name is not None}
        if "query_id" not in names and "pair" in names:
            return None
        if missing := [name for name in ("query_id", "passage_id", "relevant") if name not in names]:
            raise InputError(
                f"{parameter('marks')} {path}: row {number} has no {missing[0]}; give the columns query_id, passage_id "
                "and relevant (y or n), or a sheet of `hardneg evaluate --draw`.",
                path=path,
            )
        mark = str(names["relevant"] if names["relevant"] is not None else "").strip().lower()
        if not mark:
            continue
        if mark not in (*_YES, *_NO) or not names["query_id"] or not names["passage_id"]:
            raise InputError(
                f"{parameter('marks')} {path}: row {number} is no marked pair ({mark!r}): give two ids and y or n.",
                path=path,
            )
        found.append(MarkedPair(str(names["query_id"]), str(names["passage_id"]), mark in _YES))
    return found


def _rows(path: str, data: bytes) -> Iterator[Mapping[str, Any]]:
    name = path.lower()
    try:
        if name.endswith(".parquet"):
            yield from pq.read_table(pa.BufferReader(data), use_threads=False).to_pylist()
        elif name.endswith((".jsonl", ".json")):
            for line in data.decode("utf-8-sig").splitlines():
                if line.strip():
                    yield dict(json.loads(line))
        elif name.endswith((".csv", ".tsv")):
            text = data.decode("utf-16") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else data.decode("utf-8-sig")
            head = text.split("\n", 1)[0]
            yield from csv.DictReader(io.StringIO(text, newline=""), delimiter=max("\t,;", key=head.count))
        else:
            raise InputError(
                f"{parameter('marks')} {path}: it must be a .parquet, .jsonl, .csv or .tsv file.", path=path
            )
    except (ValueError, TypeError, pa.ArrowException, csv.Error) as error:
        raise InputError(f"{parameter('marks')} {path} can't be read ({error}).", path=path) from None


def write_marked_pairs(path: str, pairs: Iterable[MarkedPair]) -> None:
    """Write pairs as JSON lines, sorted, each once: the same pairs are the same bytes."""
    lines = [
        json.dumps({"query_id": each.query_id, "passage_id": each.passage_id, "relevant": each.relevant}) + "\n"
        for each in sorted(set(pairs))
    ]
    data = "".join(lines).encode()
    storage.write_file(path, lambda sink: sink.write(data))

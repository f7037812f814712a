"""What became of a run's triplets and queries since an earlier run: both are read shard by shard, side by side.

Held are two shards and keys of eight bytes: of passages whose text changed, and of the positives of queries that have
several.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.core.hashing import KeyMap, Keys, id_keys, pair_keys, text_keys
from hardneg.transforms.core.partition import cut
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.pairing import every_pair
from hardneg.transforms.output.run_tables import read_batches, read_shard

EXAMPLES_SHOWN = 20
_COLUMNS = ("query_id", "passage_id", "verdict", "reason", "selected")
_NONE: Keys = np.zeros(0, dtype=np.uint64)


@dataclass
class Change:
    """How many there are of a kind, and the first of them by their keys."""

    count: int = 0
    examples: list[tuple[int, list[str]]] = field(default_factory=list)

    def add(self, keys: Keys, ids: list[pa.Array]) -> None:
        """Add some, each with its ids."""
        self.count += len(keys)
        smallest = np.argsort(keys, kind="stable")[:EXAMPLES_SHOWN].tolist()
        told = [(int(keys[row]), [str(column[row].as_py()) for column in ids]) for row in smallest]
        self.examples = heapq.nsmallest(EXAMPLES_SHOWN, [*self.examples, *told])

    def to_json(self) -> dict[str, object]:
        return {"count": self.count, "examples": [ids for _, ids in self.examples]}


@dataclass
class Changes:
    """What changed between two runs.

    Attributes:
        kept: triplets that are in both, with the same texts.
        added, removed: triplets, by the ids of query, positive and negative.
        changed: triplets that are in both, one of whose texts is another.
        gained, lost: queries, by id.
    """

    kept: int = 0
    added: Change = field(default_factory=Change)
    removed: Change = field(default_factory=Change)
    changed: Change = field(default_factory=Change)
    gained: Change = field(default_factory=Change)
    lost: Change = field(default_factory=Change)


def changes_between(before: FinishedRun, now: FinishedRun, relabelled: tuple[bool, bool]) -> Changes:
    """Compare two runs.

    Args:
        before: the earlier run.
        now: the later one.
        relabelled: of each, whether suspected positives are positives of its triplets.

    Raises:
        HardnegError: a table is missing or can't be read.
    """
    old, new = _Listed(before), _Listed(now)
    edited = {kind: _edited(old, new, kind) for kind in ("queries", "passages")}
    runs = [_Triplets(run, relabel) for run, relabel in zip((old, new), relabelled, strict=True)]
    found = Changes()
    parts = math.lcm(old.parts, new.parts)
    for part in range(parts):
        _compare_triplets(runs[0].part(part, parts), runs[1].part(part, parts), edited, found)
        _compare_queries(_ids(old, part, parts), _ids(new, part, parts), found)
    return found


class _Listed:
    """A run whose files are listed once: in an object store, each listing is a question."""

    def __init__(self, run: FinishedRun) -> None:
        self.parts = run.parts
        self._shards = {kind: run.shards(kind) for kind in ("candidates", "queries", "passages")}

    def shards(self, kind: str) -> dict[int, str]:
        return self._shards[kind]


def _compare_triplets(before: _Part, now: _Part, edited: dict[str, Keys], found: Changes) -> None:
    there, here = np.isin(before.keys, now.keys), np.isin(now.keys, before.keys)
    found.added.add(now.keys[~here], now.ids(~here))
    found.removed.add(before.keys[~there], before.ids(~there))
    other = here & now.uses(edited)
    found.changed.add(now.keys[other], now.ids(other))
    found.kept += int(here.sum() - other.sum())


def _compare_queries(before: pa.Array, now: pa.Array, found: Changes) -> None:
    old, new = id_keys(before), id_keys(now)
    gained, lost = ~np.isin(new, old), ~np.isin(old, new)
    found.gained.add(new[gained], [now.filter(pa.array(gained))])
    found.lost.add(old[lost], [before.filter(pa.array(lost))])


def _edited(before: _Listed, now: _Listed, kind: str) -> Keys:
    """Return the keys of the ids whose text is another now; of both runs, one shard at a time is held."""
    name = "query_id" if kind == "queries" else "passage_id"
    parts = math.lcm(before.parts, now.parts)
    changed = [_NONE]
    for part in range(parts):
        old, new = (KeyMap(*_texts(run, kind, name, part, parts)) for run in (before, now))
        there = np.isin(new.keys, old.keys)
        keys = new.keys[there]
        changed.append(keys[old.get(keys) != new.get(keys)])
    return np.unique(np.concatenate(changed))


def _shard(run: _Listed, kind: str, part: int, columns: tuple[str, ...]) -> pa.Table | None:
    """Return the shard of a run in which a part of a finer cut lies."""
    path = run.shards(kind).get(part % run.parts)
    return read_shard(path, columns) if path else None


def _in_part(ids: pa.ChunkedArray | pa.Array, part: int, parts: int, run: _Listed) -> BoolArray:
    if parts == run.parts:
        return np.ones(len(ids), dtype=np.bool_)
    return np.asarray(cut(ids.to_pylist(), parts)) == part


def _texts(run: _Listed, kind: str, name: str, part: int, parts: int) -> tuple[Keys, Keys]:
    table = _shard(run, kind, part, (name, "text"))
    if table is None:
        return _NONE, _NONE
    table = table.filter(pa.array(_in_part(table[name], part, parts, run)))
    return id_keys(table[name]), text_keys(table["text"])


def _ids(run: _Listed, part: int, parts: int) -> pa.Array:
    table = _shard(run, "queries", part, ("query_id",))
    if table is None:
        return pa.array([], pa.string())
    return table["query_id"].filter(pa.array(_in_part(table["query_id"], part, parts, run))).combine_chunks()


@dataclass(frozen=True)
class _Part:
    """Triplets of a part: places of their query, positive and negative among some ids."""

    query_ids: pa.Array
    passage_ids: pa.Array
    positive: np.ndarray
    negative: np.ndarray
    keys: Keys

    def ids(self, rows: BoolArray) -> list[pa.Array]:
        positive, negative = pa.array(self.positive[rows]), pa.array(self.negative[rows])
        return [
            self.query_ids.take(negative),
            self.passage_ids.take(positive),
            self.passage_ids.take(negative),
        ]

    def uses(self, edited: dict[str, Keys]) -> BoolArray:
        """Return which triplets have a text that is another now."""
        passages = np.isin(id_keys(self.passage_ids), edited["passages"])
        queries = np.isin(id_keys(self.query_ids), edited["queries"])
        return passages[self.positive] | passages[self.negative] | queries[self.negative]


class _Triplets:
    """The triplets of a run by ids, as ``triplets/`` has them: of a query's positives of equal text only the first."""

    def __init__(self, run: _Listed, relabel: bool) -> None:
        self._run, self._relabel = run, relabel
        self._texts = self._texts_of_positives()

    def part(self, part: int, parts: int) -> _Part:
        table = _shard(self._run, "candidates", part, _COLUMNS)
        if table is None:
            none = np.zeros(0, dtype=np.int64)
            return _Part(pa.array([], pa.string()), pa.array([], pa.string()), none, none, _NONE)
        table = table.filter(pa.array(_in_part(table["query_id"], part, parts, self._run)))
        table = table.sort_by([("query_id", "ascending"), ("passage_id", "ascending")]).combine_chunks()
        queries, passages = (table[name].combine_chunks() for name in ("query_id", "passage_id"))
        query, passage = id_keys(queries), id_keys(passages)
        places = pc.rank(queries, tiebreaker="dense").to_numpy().astype(np.int64)
        positive = np.flatnonzero(self._positive(table))
        texts = pair_keys(query[positive], self._texts.get(passage[positive], passage[positive]))
        positive = positive[np.sort(np.unique(texts, return_index=True)[1])]
        negative = np.flatnonzero(table["selected"].is_valid().to_numpy())
        first, second = every_pair(places[positive], places[negative])
        positive, negative = positive[first], negative[second]
        keys = pair_keys(pair_keys(query[negative], passage[positive]), passage[negative])
        return _Part(queries, passages, positive, negative, keys)

    def _positive(self, table: pa.Table) -> BoolArray:
        known = pc.and_(pc.equal(table["verdict"], Verdict.POSITIVE), pc.is_null(table["reason"]))
        if self._relabel:
            known = pc.or_(known, pc.equal(table["verdict"], Verdict.SUSPECTED_POSITIVE))
        return known.to_numpy().astype(np.bool_)

    def _texts_of_positives(self) -> KeyMap:
        """Return the text's key of each positive of a query that has several."""
        wanted = [_NONE]
        for path in self._run.shards("candidates").values():
            table = read_shard(path, _COLUMNS)
            table = table.filter(pa.array(self._positive(table)))
            _, query, counts = np.unique(id_keys(table["query_id"]), return_inverse=True, return_counts=True)
            wanted.append(np.unique(id_keys(table["passage_id"])[counts[query] > 1]))
        keys = np.unique(np.concatenate(wanted))
        found = list(self._read(keys)) if len(keys) else []
        ids, texts = ([_NONE, *(pair[place] for pair in found)] for place in (0, 1))
        return KeyMap(np.concatenate(ids), np.concatenate(texts))

    def _read(self, wanted: Keys) -> Iterator[tuple[Keys, Keys]]:
        for path in self._run.shards("passages").values():
            for batch in read_batches(path, ["passage_id", "text"]):
                keys = id_keys(batch.column(0))
                rows = np.isin(keys, wanted)
                yield keys[rows], text_keys(batch.column(1).filter(pa.array(rows)))

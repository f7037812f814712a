"""What can be wrong in the tables beside a run's triplets, and how many equal triplets they account for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.audit.auditing import EXAMPLES, Finding
from hardneg.transforms.audit.triplet_rows import NOT_FINITE
from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.hashing import KeyMap, Keys, id_keys, occurrence, pair_keys, set_keys
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.pairing import every_pair
from hardneg.transforms.output.run_tables import read_shard


def check_run(run: FinishedRun, expected: int | None) -> list[Finding]:
    """Find what is wrong in the tables beside a run's triplets.

    Ids that stand twice in ``queries/`` or ``passages/``, pairs that stand twice in ``candidates/``, scores there that
    are not finite, and queries that have a positive but no negative, if a number is expected.
    """
    duplicates, scores = Finding("duplicate_ids", 0), Finding(NOT_FINITE, 0)
    without = Finding("too_few_negatives", 0)
    for kind, column in (("queries", "query_id"), ("passages", "passage_id")):
        for path in run.shards(kind).values():
            ids = read_shard(path, [column])[column]
            again = np.flatnonzero(occurrence(id_keys(ids)) > 0)
            _add(duplicates, len(again), [f"{path}: {column} {ids[row]} stands twice" for row in again[:EXAMPLES]])
    for path in run.shards("candidates").values():
        table = read_shard(path)
        ids = pair_keys(id_keys(table["query_id"]), id_keys(table["passage_id"]))
        again = np.flatnonzero(occurrence(ids) > 0)
        _add(duplicates, len(again), [f"{path}: {_pair(table, row)} stands twice" for row in again[:EXAMPLES].tolist()])
        for name in table.schema.names:
            bad = _not_finite(table[name])
            said = [f"{path}: {_pair(table, row)} has {name} = {table[name][row]}" for row in bad[:EXAMPLES].tolist()]
            _add(scores, len(bad), said)
        if expected:
            empty = _without_negatives(table)
            _add(without, len(empty), [f"{path}: query {query} has none of {expected}" for query in empty[:EXAMPLES]])
    return [duplicates, scores, without]


def _add(finding: Finding, count: int, examples: Sequence[str]) -> None:
    finding.count += count
    finding.examples = [*finding.examples, *examples][:EXAMPLES]


def _pair(table: pa.Table, row: int) -> str:
    return f"query {table['query_id'][row]} with passage {table['passage_id'][row]}"


def _not_finite(column: pa.ChunkedArray) -> IntArray:
    if not pa.types.is_floating(column.type):
        return np.zeros(0, dtype=np.int64)
    finite = pc.is_finite(column.cast(pa.float64())).fill_null(True)
    return np.flatnonzero(~finite.to_numpy())


def _without_negatives(candidates: pa.Table) -> list[str]:
    positive = pc.equal(candidates["verdict"], Verdict.POSITIVE)
    with_positive = candidates.filter(positive)["query_id"].unique()
    with_negative = candidates.filter(candidates["selected"].is_valid())["query_id"].unique()
    has = pc.is_in(with_positive, value_set=with_negative)
    return with_positive.filter(pc.invert(has)).to_pylist()


def triplets_of_run(run: FinishedRun) -> Callable[[Keys], IntArray]:
    """Return a function that says how many triplets with a key a run's ``candidates/`` account for.

    Two queries of equal text with one positive, or two positives of equal text, make equal triplets: the data set
    repeats itself because the input did. The key is that of ``auditing.duplicate_negatives``.
    """
    queries, passages = run.text_keys("queries"), run.text_keys("passages")
    relabelled = bool(run.options.get("relabel_suspected"))
    kinds = [Verdict.POSITIVE, *([Verdict.SUSPECTED_POSITIVE] if relabelled else [])]

    def count(wanted: Keys) -> IntArray:
        keys = np.unique(wanted)
        counts = np.zeros(len(keys), dtype=np.int64)
        for shard in run.tables("candidates", ["query_id", "passage_id", "verdict", "selected"]):
            made = _triplet_keys(shard, kinds, queries, passages)
            made = made[np.isin(made, keys)]
            np.add.at(counts, np.searchsorted(keys, made), 1)
        return counts[np.searchsorted(keys, wanted)]

    return count


def _triplet_keys(candidates: pa.Table, kinds: Sequence[Verdict], queries: KeyMap, passages: KeyMap) -> Keys:
    """Return the key of each triplet, positives (of these verdicts) x mined of each query."""
    ids = id_keys(candidates["query_id"])
    texts = passages.canonical(id_keys(candidates["passage_id"]))
    of_kinds = pc.is_in(candidates["verdict"], value_set=pa.array([str(kind) for kind in kinds]))
    positives = np.flatnonzero(of_kinds.to_numpy())
    positives = positives[np.argsort(ids[positives], kind="stable")]
    mined = np.flatnonzero(candidates["selected"].is_valid().to_numpy())
    places, negatives = every_pair(ids[positives], ids[mined])
    positive, negative = positives[places], mined[negatives]
    one_each = set_keys(np.arange(len(positive) + 1, dtype=np.int64), texts[positive])
    return pair_keys(pair_keys(queries.canonical(ids[negative]), one_each), texts[negative])

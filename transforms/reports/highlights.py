"""What is shown of a run pair by pair, shard by shard: who found what together, difficulty, pairs worth a look."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.source import LOGIT, Source, first_similarity
from hardneg.transforms.core.text import cut_digest
from hardneg.transforms.filters.verdicts import Reason, Verdict
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.reports.funnel import PairKind

SUSPICIOUS = 20  # positives and negatives to show
SHOWN_TRIPLETS = 10
DIFFICULTY_BARS = 20  # of difficulty, from 0 to 1
# What the overlap of retrievers is counted of.
OVERLAP_GROUPS = ("all", "mined", "positive")

# A row of candidates/: ids, judge_score, logit, similarity (the first), fused_rank, ranks, verdict, reason, selected.
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Highlights:
    """What is shown of a run.

    Attributes:
        kinds: pairs by verdict and reason.
        overlap: pairs by (group of ``OVERLAP_GROUPS``, names of exactly those retrievers that found them).
        difficulty: of the mined: int64 (DIFFICULTY_BARS,).
        positives: the known positives of the lowest judge scores, the lowest first.
        negatives: the mined negatives of the highest judge scores, the highest first.
        triplets: (positive, negative) of some mined negatives, the same ones each time.
        queries, passages: the texts of all that these name, by id.
    """

    kinds: Counter[PairKind]
    overlap: Counter[tuple[str, tuple[str, ...]]]
    difficulty: IntArray
    positives: list[Row]
    negatives: list[Row]
    triplets: list[tuple[Row, Row]]
    queries: dict[str, str]
    passages: dict[str, str]


def highlights(run: FinishedRun, sources: Sequence[Source], relabelled: bool = False) -> Highlights:
    """Look through a run's ``candidates/``, one shard at a time.

    Args:
        run: the run.
        sources: the retrievers.
        relabelled: whether suspected positives are positives of the triplets.
    """
    kinds: Counter[PairKind] = Counter()
    overlap: Counter[tuple[str, tuple[str, ...]]] = Counter()
    difficulty = np.zeros(DIFFICULTY_BARS, dtype=np.int64)
    positives: list[Row] = []
    negatives: list[Row] = []
    drawn: list[tuple[int, Row, Row]] = []
    for table in _tables(run, sources):
        kinds += kinds_of(table)
        overlap += overlap_of(table, sources)
        difficulty += difficulty_of(table)
        positives = _first(positives, weakest_positives(table), highest=False)
        negatives = _first(negatives, strongest_negatives(table), highest=True)
        drawn = heapq.nsmallest(SHOWN_TRIPLETS, [*drawn, *draw_triplets(table, relabelled)], key=_place)
    triplets = [(positive, negative) for _, positive, negative in drawn]
    shown = [*positives, *negatives, *(row for pair in triplets for row in pair)]
    texts = {
        kind: run.texts(kind, sorted({row[name] for row in shown}))
        for kind, name in (("queries", "query_id"), ("passages", "passage_id"))
    }
    return Highlights(kinds, overlap, difficulty, positives, negatives, triplets, texts["queries"], texts["passages"])


def _tables(run: FinishedRun, sources: Sequence[Source]) -> Iterator[pa.Table]:
    """Yield the shards with the columns that are looked at; those of an older run have no difficulty."""
    similarity = first_similarity(sources)
    names = ["query_id", "passage_id", "judge_score", LOGIT, similarity, "fused_rank", "verdict", "reason"]
    wanted = [*names, "selected", "difficulty", *(source.rank for source in sources)]
    for table in run.tables("candidates", wanted):
        if "difficulty" not in table.column_names:
            table = table.append_column("difficulty", pa.nulls(len(table), pa.float32()))
        yield table.rename_columns(["similarity" if name == similarity else name for name in table.column_names])


def kinds_of(table: pa.Table) -> Counter[PairKind]:
    """Count the rows of each verdict and reason."""
    counted = table.group_by(["verdict", "reason"], use_threads=False).aggregate([([], "count_all")])
    return Counter({(row["verdict"], row["reason"]): row["count_all"] for row in counted.to_pylist()})


def overlap_of(table: pa.Table, sources: Sequence[Source]) -> Counter[tuple[str, tuple[str, ...]]]:
    """Count the rows by exactly those retrievers that found them: all rows, the mined, the known positives."""
    found = np.zeros(len(table), dtype=np.int64)
    for place, source in enumerate(sources):
        found |= table[source.rank].is_valid().to_numpy().astype(np.int64) << place
    groups = {
        "all": np.ones(len(table), dtype=np.bool_),
        "mined": table["selected"].is_valid().to_numpy(),
        "positive": pc.equal(table["verdict"], Verdict.POSITIVE).to_numpy(),
    }
    counted: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for group in OVERLAP_GROUPS:
        for mask, rows in zip(*np.unique(found[groups[group]], return_counts=True), strict=True):
            names = tuple(source.name for place, source in enumerate(sources) if int(mask) >> place & 1)
            counted[group, names] = int(rows)
    return counted


def difficulty_of(table: pa.Table) -> IntArray:
    """Count the mined by their difficulty: int64 (DIFFICULTY_BARS,), equal steps from 0 to 1."""
    values = table["difficulty"].filter(table["selected"].is_valid()).drop_null().to_numpy()
    return np.histogram(values, bins=DIFFICULTY_BARS, range=(0, 1))[0].astype(np.int64)


def weakest_positives(table: pa.Table) -> list[Row]:
    """Return the known positives of the lowest judge scores, those of evaluation sets aside."""
    held_out = pc.fill_null(pc.equal(table["reason"], Reason.HELD_OUT), False)
    known = pc.equal(table["verdict"], Verdict.POSITIVE)
    return _extreme(table.filter(pc.and_(known, pc.invert(held_out))), highest=False)


def strongest_negatives(table: pa.Table) -> list[Row]:
    """Return the mined negatives of the highest judge scores."""
    return _extreme(table.filter(table["selected"].is_valid()), highest=True)


def _extreme(table: pa.Table, highest: bool) -> list[Row]:
    table = table.filter(table["judge_score"].is_valid())
    order = [("judge_score", "descending" if highest else "ascending"), ("query_id", "ascending")]
    return table.sort_by([*order, ("passage_id", "ascending")]).slice(0, SUSPICIOUS).to_pylist()


def _first(some: Iterable[Row], more: Iterable[Row], highest: bool) -> list[Row]:
    sign = -1 if highest else 1
    return heapq.nsmallest(
        SUSPICIOUS, [*some, *more], key=lambda row: (sign * row["judge_score"], row["query_id"], row["passage_id"])
    )


def draw_triplets(table: pa.Table, relabelled: bool) -> list[tuple[int, Row, Row]]:
    """Draw mined negatives by the digest of their ids, each with the first positive of its query.

    A negative of a query without a positive is in no triplet.

    Args:
        table: a shard.
        relabelled: whether suspected positives count.

    Returns:
        (digest, positive, negative), the smallest digest first.
    """
    positive = pc.and_(pc.equal(table["verdict"], Verdict.POSITIVE), pc.is_null(table["reason"]))
    if relabelled:
        positive = pc.or_(positive, pc.equal(table["verdict"], Verdict.SUSPECTED_POSITIVE))
    positives = table.filter(positive).sort_by([("verdict", "ascending"), ("passage_id", "ascending")])
    ours = pc.is_in(table["query_id"], value_set=positives["query_id"].combine_chunks())
    mined = table.filter(pc.and_(table["selected"].is_valid(), ours))
    pairs = zip(mined["query_id"].to_pylist(), mined["passage_id"].to_pylist(), strict=True)
    digests = ((cut_digest(f"{query}\0{passage}"), query, passage, row) for row, (query, passage) in enumerate(pairs))
    drawn = []
    for digest, query, _, row in heapq.nsmallest(SHOWN_TRIPLETS, digests):
        (first,) = positives.filter(pc.equal(positives["query_id"], query)).slice(0, 1).to_pylist()
        drawn.append((digest, first, mined.slice(row, 1).to_pylist()[0]))
    return drawn


def _place(drawn: tuple[int, Row, Row]) -> tuple[int, str, str]:
    digest, _, negative = drawn
    return digest, negative["query_id"], negative["passage_id"]

"""What a cross-encoder learns from: scored (query, passage) pairs in rounds, and queries held out to judge it by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from hardneg.errors import InputError, parameter
from hardneg.transforms.core.text import cut_digest, normalise, text_digest
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.output.finished_run import FinishedRun

PAIRS = pa.schema([("query", pa.string()), ("passage", pa.string()), ("score", pa.float32())])
RERANKED = 10  # passages of a held-out query that are re-ranked, beside its positives


@dataclass(frozen=True)
class HeldOutQuery:
    """A query that no pair was learned from.

    Attributes:
        query: its text.
        positives: its relevant passages.
        documents: what is re-ranked: what the retrievers found for it, best first, ``RERANKED`` at most; or, of scored
            pairs, all its passages in the order given.
    """

    query: str
    positives: list[str]
    documents: list[str]


@dataclass(frozen=True)
class TrainingData:
    """Pairs to learn from and queries to judge by.

    Attributes:
        rounds: tables of the ``PAIRS`` schema, in the order in which they are learned; scores from 0 to 1.
        held_out: queries whose texts are in none of them.
        retrieved: whether the order of their documents is a retriever's.
    """

    rounds: list[pa.Table]
    held_out: list[HeldOutQuery]
    retrieved: bool

    @property
    def pairs(self) -> int:
        return sum(len(table) for table in self.rounds)


@dataclass
class _Found:
    """What a run found for one query: its positives, and its negatives and all candidates, best first."""

    positives: list[str] = field(default_factory=list)
    negatives: list[tuple[int, str]] = field(default_factory=list)
    candidates: list[tuple[int, str]] = field(default_factory=list)


def pairs_of_run(run: FinishedRun, rounds: int, negatives: int, held_out: int, unrelated: bool) -> TrainingData:
    """Return the training data that a mined run gives.

    Each round's negatives are mined, and harder than those of the round before; where a query has too few, passages
    that no retriever found for it take their place. What the run suspects to be an unlabelled positive is left out.

    Args:
        run: a finished run, judged without a cross-encoder.
        rounds: how often each positive is learned.
        negatives: how many go with a query's positives in each round.
        held_out: how many queries to keep for judging; those of the smallest text digests.
        unrelated: whether the first round has passages only that no retriever found, for a model with a new head.

    Raises:
        HardnegError: the run has too few queries.
    """
    queries = _texts(run, "queries")
    passages = _texts(run, "passages")
    found = {query: each for query, each in _found(run) if each.positives}
    # Queries of equal text are held out together, or not at all.
    digests = {query: cut_digest(normalise(queries[query])) for query in found}
    chosen = set(sorted(set(digests.values()))[:held_out])
    kept = sorted((query for query in found if digests[query] not in chosen), key=lambda query: digests[query])
    if not kept or not chosen:
        raise InputError(
            f"{len(found):,} queries with known positives are too few to learn from and to hold {held_out:,} out: give "
            f"more data, or lower {parameter('held_out')}."
        )
    depths: list[int | None] = [*range(0, negatives * rounds, negatives)][::-1]  # the last round takes the hardest
    if unrelated:
        depths = [None, *depths[1:]]
    tables = [
        pa.concat_tables(
            [PAIRS.empty_table()]
            + [_round(queries[query], found[query], passages, digests[query], depth, negatives) for query in kept]
        )
        for depth in depths
    ]
    judged = [query for query in found if digests[query] in chosen]
    return TrainingData(tables, [_held_out(queries[query], found[query], passages) for query in sorted(judged)], True)


def _texts(run: FinishedRun, kind: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for batch in run.batches(kind):
        texts.update(zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True))
    return texts


def _found(run: FinishedRun) -> Iterator[tuple[str, _Found]]:
    """Yield (query id, what was found); all candidates of a query are in one shard."""
    for table in run.tables("candidates", ["query_id", "passage_id", "fused_rank", "verdict"]):
        found: dict[str, _Found] = {}
        for query, passage, rank, verdict in zip(*(column.to_pylist() for column in table.columns), strict=True):
            each = found.setdefault(query, _Found())
            if verdict == Verdict.POSITIVE:
                each.positives.append(passage)
            elif verdict == Verdict.NEGATIVE and rank is not None:
                each.negatives.append((rank, passage))
            if rank is not None:
                each.candidates.append((rank, passage))
        for each in found.values():
            each.negatives.sort()
            each.candidates.sort()
        yield from found.items()


def _round(
    query: str, found: _Found, passages: Mapping[str, str], digest: int, depth: int | None, wanted: int
) -> pa.Table:
    """Return a query's pairs of one round: its positives, as many as negatives at most, and the negatives.

    Args:
        depth: how many harder mined negatives other rounds have; None for unrelated passages.
    """
    positives = [passages[passage] for passage in found.positives[:wanted]]
    mined = [] if depth is None else found.negatives[depth : depth + wanted]
    negatives = [passages[passage] for _, passage in mined]
    negatives += _unrelated(found, passages, digest, wanted)[: wanted - len(negatives)]
    rows = len(positives) + len(negatives)
    return pa.table(
        [
            pa.array([query] * rows),
            pa.array(positives + negatives),
            pa.array([1.0] * len(positives) + [0.0] * len(negatives), pa.float32()),
        ],
        schema=PAIRS,
    )


def _unrelated(found: _Found, passages: Mapping[str, str], digest: int, wanted: int) -> list[str]:
    """Return passages that no retriever found for a query, drawn by its digest."""
    ids = list(passages)
    near = {passage for _, passage in found.candidates} | set(found.positives)
    positives = {text_digest(passages[passage]) for passage in found.positives}
    drawn = np.random.default_rng(digest).integers(len(ids), size=4 * wanted)
    far = [passages[ids[place]] for place in drawn if ids[place] not in near]
    return [text for text in far if text_digest(text) not in positives][:wanted]


def _held_out(query: str, found: _Found, passages: Mapping[str, str]) -> HeldOutQuery:
    return HeldOutQuery(
        query,
        [passages[passage] for passage in found.positives],
        [passages[passage] for _, passage in found.candidates[:RERANKED]],
    )


def pairs_of_tables(tables: Sequence[pa.Table], held_out: int) -> TrainingData:
    """Return the training data of pairs that somebody else scored: one round.

    Queries are held out that have a pair of a score of a half or more, and one below.

    Args:
        tables: of the ``PAIRS`` schema.
        held_out: how many queries to keep for judging; those of the smallest text digests.
    """
    table = pa.concat_tables([PAIRS.empty_table(), *tables])
    digests = np.array([cut_digest(normalise(query)) for query in table["query"].to_pylist()], dtype=np.int64)
    high = table["score"].to_numpy() >= 0.5
    both = np.intersect1d(digests[high], digests[~high])
    chosen = np.isin(digests, both[:held_out])
    grouped: dict[str, HeldOutQuery] = {}
    for row, relevant in zip(table.filter(pa.array(chosen)).to_pylist(), high[chosen].tolist(), strict=True):
        each = grouped.setdefault(row["query"], HeldOutQuery(row["query"], [], []))
        each.documents.append(row["passage"])
        if relevant:
            each.positives.append(row["passage"])
    complete = [each for each in grouped.values() if 0 < len(each.positives) < len(each.documents)]
    return TrainingData([table.filter(pa.array(~chosen))], complete, False)

"""How good a finished run is by judgements that it was not told of: rates, yield and hardness, with intervals.

Everything is a ratio of sums over queries, so that one resample of queries gives one value of each figure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.core.arrays import lowest_of
from hardneg.transforms.core.hashing import KeyMap, Keys, id_keys, occurrence, pair_keys
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.filters.verdicts import Reason, Verdict
from hardneg.transforms.inputs.judgements import Judgements
from hardneg.transforms.judge.leak_rate import clopper_pearson

Floats = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]

RESAMPLES = 1000
SEED = 20230901
_INTERVAL = (2.5, 97.5)
_AT_A_TIME = 4_000_000  # draws of a query held at once

# What is summed over queries; the names are the columns of ``QuerySums.sums``.
SUMS = (
    "asked",
    "mined",
    "mined_relevant",
    "relevant",
    "retrieved",
    "scored",
    "leaked",
    "rank",
    "rank_n",
    "similarity",
    "similarity_n",
    "gap",
    "gap_n",
    "mined_relevant_by_text",
    "known",
)
# Figure -> (sum, over the sum of).
RATIOS = {
    "false_negative_rate": ("mined_relevant", "mined"),
    "leak_rate": ("leaked", "scored"),
    "leak_rate_over_all": ("leaked", "relevant"),
    "yield": ("mined", "asked"),
    "fused_rank": ("rank", "rank_n"),
    "similarity": ("similarity", "similarity_n"),
    "logit_gap": ("gap", "gap_n"),
}
OF_JUDGEMENTS = ("false_negative_rate", "leak_rate", "leak_rate_over_all")
CANDIDATE_COLUMNS = (
    "query_id", "passage_id", "fused_rank", "grade", LOGIT, "judge_score", "verdict", "reason", "selected",
)  # fmt: skip

_KNOWN_REASONS = [
    str(reason)
    for reason in (
        Reason.POSITIVE_OF_EQUAL_QUERY,
        Reason.PARTIALLY_RELEVANT,
        Reason.NEGATIVE_GRADE,
        Reason.EQUAL_TO_POSITIVE,
    )
]


@dataclass(frozen=True)
class QuerySums:
    """Sums of each query.

    Attributes:
        queries: keys of the query ids, increasing, shape (q,).
        judged: whether a judgement names the query or one of equal text, shape (q,).
        sums: shape (q, len(SUMS)).
    """

    queries: Keys
    judged: _Mask
    sums: Floats

    def total(self, name: str) -> float:
        return float(self.sums[:, SUMS.index(name)].sum())

    def of_judged(self) -> QuerySums:
        """Return the judged queries alone."""
        return QuerySums(self.queries[self.judged], self.judged[self.judged], self.sums[self.judged])


@dataclass(frozen=True)
class Figure:
    """One figure with its 95 % interval; None where there is nothing to divide by.

    Attributes:
        name: a key of ``RATIOS``.
        value: over all queries.
        low: lower end of the interval.
        high: its upper end.
        n: what is divided by: pairs, or negatives asked for.
        interval: ``bootstrap`` over queries, or ``clopper-pearson`` where a rate is 0 or 1: a bootstrap is blind
            where nothing, or everything, was seen.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    interval: str


class Relevance:
    """Judgements, as they apply to a run's pairs.

    A passage is as relevant as one of equal normalised text, and a query's judgements hold for queries of equal text:
    the run's own texts tell. A judged passage that the run never met has no text here and counts by its id.
    """

    def __init__(self, judgements: Judgements, queries: KeyMap, passages: KeyMap) -> None:
        self._queries, self._passages = queries, passages
        owners = queries.canonical(judgements.query_ids)
        texts = passages.canonical(judgements.passage_ids)
        self._pairs, first = np.unique(pair_keys(owners, texts), return_index=True)
        self._owners, self._counts = np.unique(owners[first], return_counts=True)
        self._ids = pair_keys(judgements.query_ids, judgements.passage_ids)
        self._judged = queries.canonical(judgements.judged_queries)

    def of_pairs(self, query_ids: Keys, passage_ids: Keys) -> tuple[_Mask, _Mask]:
        """Return which pairs are relevant, and which of those only by their texts."""
        texts = pair_keys(self._queries.canonical(query_ids), self.passages(passage_ids))
        relevant = np.isin(texts, self._pairs)
        return relevant, relevant & ~np.isin(pair_keys(query_ids, passage_ids), self._ids)

    def passages(self, passage_ids: Keys) -> Keys:
        """Return keys that are equal where the texts are."""
        return self._passages.canonical(passage_ids)

    def count(self, query_ids: Keys) -> Floats:
        """Return how many different relevant passages each query has, shape (n,)."""
        counts = KeyMap(self._owners, self._counts.astype(np.uint64))
        return counts.get(self._queries.canonical(query_ids)).astype(np.float64)

    def judged(self, query_ids: Keys) -> _Mask:
        """Return which queries have a judgement."""
        return np.isin(self._queries.canonical(query_ids), self._judged)


def sum_queries(
    shards: Iterable[pa.Table], queries: Keys, negatives: int, similarity: str | None, relevance: Relevance | None
) -> QuerySums:
    """Sum over each query's candidates.

    Args:
        shards: the tables of ``candidates/``, with ``CANDIDATE_COLUMNS`` and the similarity's column; all of a
            query's rows in one.
        queries: keys of the run's query ids; such as have candidates only are added.
        negatives: how many a query was to have.
        similarity: the column of the first bi-encoder's, None for none.
        relevance: the judgements; None: what needs them stays 0.
    """
    parts = [(np.unique(queries), np.zeros((len(np.unique(queries)), len(SUMS))))]
    for table in shards:
        if len(table):
            parts.append(sum_candidates(table, similarity, relevance))
    keys, place = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
    sums = np.zeros((len(keys), len(SUMS)))
    np.add.at(sums, place, np.concatenate([part[1] for part in parts]))
    sums[:, SUMS.index("asked")] = negatives
    judged = np.zeros(len(keys), dtype=bool)
    if relevance is not None:
        sums[:, SUMS.index("relevant")] = relevance.count(keys) - sums[:, SUMS.index("known")]
        judged = relevance.judged(keys)
    return QuerySums(keys, judged, sums)


def sum_candidates(table: pa.Table, similarity: str | None, relevance: Relevance | None) -> tuple[Keys, Floats]:
    """Return the queries of some candidates, and their sums (``asked`` and ``relevant`` are left 0)."""
    ids, passage_ids = id_keys(table["query_id"]), id_keys(table["passage_id"])
    queries, query = np.unique(ids, return_inverse=True)
    sums = np.zeros((len(queries), len(SUMS)))

    def put(name: str, rows: _Mask, values: Floats | None = None) -> None:
        weights = None if values is None else values[rows]
        sums[:, SUMS.index(name)] = np.bincount(query[rows], weights, minlength=len(queries))

    mined = table["selected"].is_valid().to_numpy()
    logits = _floats(table, LOGIT)
    values = {
        "rank": _floats(table, "fused_rank"),
        "similarity": _floats(table, similarity),
        "gap": _lowest_positive(table, query, logits, len(queries))[query] - logits,
    }
    put("mined", mined)
    for name, each in values.items():
        put(name, mined & np.isfinite(each), each)
        put(f"{name}_n", mined & np.isfinite(each))
    if relevance is not None:
        relevant, by_text = relevance.of_pairs(ids, passage_ids)
        put("mined_relevant", mined & relevant)
        put("mined_relevant_by_text", mined & by_text)
        for name, rows in _leaks(table, pair_keys(ids, relevance.passages(passage_ids)), relevant).items():
            put(name, rows)
    return queries, sums


def _leaks(table: pa.Table, pairs: Keys, relevant: _Mask) -> dict[str, _Mask]:
    """Return which relevant candidates the miner knew, and of the others: retrieved, scored, leaked.

    Each passage counts once a query, whatever ids its text has. Scored are those on which the threshold decided:
    what a mask dropped has no part in the leak rate.
    """
    verdict = table["verdict"]
    told = pc.or_kleene(
        pc.equal(verdict, Verdict.POSITIVE),
        pc.is_in(table["reason"], value_set=pa.array(_KNOWN_REASONS)),
    ).to_numpy()
    if "grade" in table.schema.names:
        told |= table["grade"].is_valid().to_numpy()
    told = np.isin(pairs, pairs[told])
    decided = pc.is_in(verdict, value_set=pa.array([Verdict.NEGATIVE, Verdict.SUSPECTED_POSITIVE])).to_numpy()
    unknown = relevant & ~told
    scored = unknown & decided & table["judge_score"].is_valid().to_numpy()
    rows = {
        "known": relevant & told,
        "retrieved": unknown & table["fused_rank"].is_valid().to_numpy(),
        "scored": scored,
        "leaked": scored & pc.equal(verdict, Verdict.NEGATIVE).to_numpy(),
    }
    return {name: _once(pairs, which) for name, which in rows.items()}


def _once(pairs: Keys, which: _Mask) -> _Mask:
    first = which.copy()
    first[which] = occurrence(pairs[which]) == 0
    return first


def _floats(table: pa.Table, name: str | None) -> Floats:
    if name is None or name not in table.schema.names:
        return np.full(len(table), np.nan)
    return table[name].cast(pa.float64()).fill_null(np.nan).to_numpy()


def _lowest_positive(table: pa.Table, query: npt.NDArray[np.int64], logits: Floats, queries: int) -> Floats:
    """Return the lowest logit of each query's positives, NaN without any."""
    positive = pc.equal(table["verdict"], Verdict.POSITIVE).to_numpy()
    lowest = lowest_of(logits[positive], query[positive], queries)
    return np.where(np.isfinite(lowest), lowest, np.nan)


def figures(sums: QuerySums, with_judgements: bool) -> list[Figure]:
    """Return every figure with its 95 % interval, by 1,000 resamples of queries (seed fixed)."""
    resampled = bootstrap(sums.sums)
    return [
        _figure(name, sums.sums.sum(axis=0), resampled)
        for name in RATIOS
        if with_judgements or name not in OF_JUDGEMENTS
    ]


def bootstrap(sums: Floats, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Return the totals of resamples of the rows, drawn with replacement, shape (resamples, columns)."""
    rows = len(sums)
    totals = np.zeros((resamples, sums.shape[1]))
    if not rows:
        return totals
    generator = np.random.default_rng(seed)
    at_a_time = max(1, _AT_A_TIME // rows)
    for start in range(0, resamples, at_a_time):
        count = min(at_a_time, resamples - start)
        drawn = generator.integers(rows, size=(count, rows)) + rows * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows)
        totals[start : start + count] = times @ sums
    return totals


def _figure(name: str, totals: Floats, resampled: Floats) -> Figure:
    over, under = (SUMS.index(column) for column in RATIOS[name])
    n = int(totals[under])
    if not n:
        return Figure(name, None, None, None, 0, "none")
    value = float(totals[over] / n)
    if name in OF_JUDGEMENTS and value in (0.0, 1.0):
        bound = clopper_pearson(0, n, 0.975)
        low, high = (0.0, bound) if value == 0 else (1 - bound, 1.0)
        return Figure(name, value, low, high, n, "clopper-pearson")
    usable = resampled[resampled[:, under] > 0]
    low, high = np.percentile(usable[:, over] / usable[:, under], _INTERVAL)
    return Figure(name, value, float(low), float(high), n, "bootstrap")

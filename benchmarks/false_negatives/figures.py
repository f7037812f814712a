"""What a set of mined pairs is worth: one measure for every miner, and the perfect judge as the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.withheld import Collection, Qrels, keys
from hardneg.transforms.judge.leak_rate import clopper_pearson
from hardneg.transforms.reports.evaluation import bootstrap

Pairs = Sequence[tuple[str, str]]  # (query id, passage id)
Floats = npt.NDArray[np.float64]

COLUMNS = ("asked", "mined", "relevant", "similarity", "judged_mined", "judged_relevant")
CAPS = (None, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2)
_ONE_MORE = 0.975  # one-sided confidence of each end of a 95 % interval


@dataclass(frozen=True)
class Value:
    """A ratio of sums over queries with its 95 % interval; None where there is nothing to divide by."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Point:
    """One setting of one miner on one collection.

    Attributes:
        miner: ``peer``, ``hardneg`` or ``perfect judge``.
        curve: what is swept.
        setting: its value, in words.
        mined: negatives.
        relevant: of those, how many are relevant.
        told: of those, how many by a passage that the miner was told of: another of equal normalised text.
        rate: relevant / mined.
        judged_rate: the same over the queries that have a withheld judgement.
        yielded: mined / asked for.
        hardness: mean similarity of the mined to their query, by the first bi-encoder.
        said: what the miner said of the setting itself: status, target, threshold.
        sums: per query, the columns of ``COLUMNS``; not written to JSON.
    """

    miner: str
    curve: str
    setting: str
    mined: int
    relevant: int
    told: int
    rate: Value
    judged_rate: Value
    yielded: Value
    hardness: Value
    said: dict[str, Any] = field(default_factory=dict)
    sums: Floats | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "sums"}


class Measure:
    """Measures mined pairs of one collection.

    A mined passage is a false negative if it, or one of equal normalised text, is relevant to the query, whether the
    miner was told so or not. Both are counted for every miner alike.

    Args:
        queries: unit embeddings by the first bi-encoder, float64, shape (queries, d), in the collection's order.
        passages: the same of the whole corpus.
        negatives: how many a query were asked for.
    """

    def __init__(self, collection: Collection, queries: Floats, passages: Floats, negatives: int) -> None:
        self._collection, self.negatives = collection, negatives
        self._vectors = queries, passages
        self._row = {query: row for row, query in enumerate(collection.queries)}
        self._passage_row = {passage: row for row, passage in enumerate(collection.passages)}
        self._passage_ids = list(collection.passages)
        self._known = collection.relevance(collection.known)
        self._hidden = collection.relevance(collection.hidden)
        self._judged = self._hidden.judged(keys(list(collection.queries)))
        self._texts = collection.passage_keys.get(keys(self._passage_ids))

    def point(self, miner: str, curve: str, setting: str, pairs: Pairs, said: dict[str, Any] | None = None) -> Point:
        """Return the figures of mined pairs."""
        row = np.array([self._row[query] for query, _ in pairs], dtype=np.int64)
        passage = np.array([self._passage_row[each] for _, each in pairs], dtype=np.int64)
        ids = keys([query for query, _ in pairs]), keys([each for _, each in pairs])
        told, hidden = self._known.of_pairs(*ids)[0], self._hidden.of_pairs(*ids)[0]
        relevant, judged = told | hidden, self._judged[row]
        similarity = (self._vectors[0][row] * self._vectors[1][passage]).sum(axis=1)
        rows = (np.ones(len(row)), relevant, similarity, judged, relevant & judged)
        sums = np.empty((len(self._row), len(COLUMNS)))
        sums[:, 0] = self.negatives
        for column, weights in enumerate(rows, start=1):
            sums[:, column] = np.bincount(row, weights, minlength=len(self._row))
        return self._with_intervals(miner, curve, setting, sums, int(told.sum()), said or {})

    def _with_intervals(
        self, miner: str, curve: str, setting: str, sums: Floats, told: int, said: dict[str, Any]
    ) -> Point:
        totals, resampled = sums.sum(axis=0), bootstrap(sums)
        return Point(
            miner=miner,
            curve=curve,
            setting=setting,
            mined=int(totals[COLUMNS.index("mined")]),
            relevant=int(totals[COLUMNS.index("relevant")]),
            told=told,
            rate=_ratio("relevant", "mined", totals, resampled, is_rate=True),
            judged_rate=_ratio("judged_relevant", "judged_mined", totals, resampled, is_rate=True),
            yielded=_ratio("mined", "asked", totals, resampled),
            hardness=_ratio("similarity", "mined", totals, resampled),
            said=said,
            sums=sums,
        )

    def perfect_judge(self, caps: Sequence[float | None] = CAPS) -> list[Point]:
        """Return what a judge would mine that knows all judgements, once for each limit on the similarity.

        The first negatives of the whole corpus, by similarity, that are neither relevant nor the query's own text,
        each text once. Its rate is 0: it shows how hard the mined can be, and how many there are.
        """
        pairs: dict[float | None, list[tuple[str, str]]] = {cap: [] for cap in caps}
        for query, row in self._row.items():
            similarity = self._vectors[1] @ self._vectors[0][row]
            order = np.lexsort((np.arange(len(similarity)), -similarity))
            order = order[~np.isin(self._texts[order], self._not_negative(query))]
            for cap, found in pairs.items():
                below = order if cap is None else order[similarity[order] <= cap]
                found += [(query, self._passage_ids[each]) for each in self._first_texts(below)]
        return [
            self.point("perfect judge", "similarity at most", "any" if cap is None else f"{cap:g}", found)
            for cap, found in pairs.items()
        ]

    def _not_negative(self, query: str) -> npt.NDArray[np.uint64]:
        """Return the text keys of a query's relevant passages, and of its own text."""
        collection = self._collection
        relevant = [*_of_equal_queries(collection, collection.known, query)]
        relevant += _of_equal_queries(collection, collection.hidden, query)
        return np.append(collection.passage_keys.get(keys(relevant)), collection.query_keys.get(keys([query])))

    def _first_texts(self, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the first passages of different texts, as many as a query gets."""
        several = order[: 20 * self.negatives]
        first = np.sort(np.unique(self._texts[several], return_index=True)[1])
        return several[first[: self.negatives]]


def _of_equal_queries(collection: Collection, qrels: Qrels, query: str) -> list[str]:
    """Return the relevant passages of a query and of all queries of equal text."""
    text = collection.query_keys.get(keys([query]))
    equal = np.flatnonzero(collection.query_keys.get(keys(list(qrels))) == text)
    names = list(qrels)
    return [passage for place in equal for passage in qrels[names[place]]]


def _ratio(over: str, under: str, totals: Floats, resampled: Floats, is_rate: bool = False) -> Value:
    a, b = COLUMNS.index(over), COLUMNS.index(under)
    if not totals[b]:
        return Value(None)
    value = float(totals[a] / totals[b])
    if is_rate and value in (0.0, 1.0):  # a bootstrap is blind where nothing, or everything, was seen
        bound = clopper_pearson(0, int(totals[b]), _ONE_MORE)
        return Value(value, 0.0, bound) if value == 0 else Value(value, 1 - bound, 1.0)
    usable = resampled[resampled[:, b] > 0]
    low, high = np.percentile(usable[:, a] / usable[:, b], (2.5, 97.5))
    return Value(value, float(low), float(high))


def ratio_of_rates(ours: Point, other: Point) -> Value:
    """Return our false-negative rate / the other's, with an interval over resamples of the same queries."""
    if not ours.rate.value and not other.rate.value:
        return Value(None)
    if not other.rate.value or ours.rate.value is None:
        return Value(None)
    assert ours.sums is not None
    assert other.sums is not None
    columns = [COLUMNS.index("relevant"), COLUMNS.index("mined")]
    drawn = bootstrap(np.concatenate([ours.sums[:, columns], other.sums[:, columns]], axis=1))
    usable = drawn[(drawn[:, 1] > 0) & (drawn[:, 2] > 0)]
    low, high = np.percentile(usable[:, 0] / usable[:, 1] / (usable[:, 2] / usable[:, 3]), (2.5, 97.5))
    return Value(ours.rate.value / other.rate.value, float(low), float(high))

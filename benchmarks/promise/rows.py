"""A scored run as rows that can be labelled anew: which positives are known is drawn again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.withheld import Collection, keys
from hardneg.transforms.core.hashing import Keys, pair_keys
from hardneg.transforms.filters.verdicts import Reason
from hardneg.transforms.output.finished_run import FinishedRun

Labelling = Literal["one", "half"]
Mask = npt.NDArray[np.bool_]

SIGNALS = ("logit", "bm25", "similarity_dense")
SIMILARITY = "similarity_dense"
_NO_RANK = 1_000_000.0
# Such rows say nothing that another row of their query does not, or may not be mined whatever is known.
_LEFT_OUT = [str(Reason.DUPLICATE), str(Reason.EQUAL_TO_POSITIVE), str(Reason.EQUAL_TO_QUERY)]


@dataclass(frozen=True, eq=False)
class Rows:
    """Pairs of queries and passages, by query, each query's in selection order (similarity; ties by passage id).

    Attributes:
        query_ids: the queries.
        query: int (rows,); index into ``query_ids``, never descending.
        signals: per name, float (rows,).
        retrieved: bool (rows,); found by a retriever, so that it may be mined.
        fused_rank: float (rows,); of what was not retrieved, one that nothing else has.
        pair: key of (query, normalised text), shape (rows,).
        relevant: bool (rows,); by all judgements.
    """

    query_ids: tuple[str, ...]
    query: npt.NDArray[np.int64]
    signals: dict[str, npt.NDArray[np.float64]]
    retrieved: Mask
    fused_rank: npt.NDArray[np.float64]
    pair: Keys
    relevant: Mask

    def of(self, queries: Sequence[int]) -> Rows:
        """Return the rows of some queries, renumbered in the order in which they stand here."""
        number = np.full(len(self.query_ids), -1, dtype=np.int64)
        kept = np.sort(np.asarray(queries, dtype=np.int64))
        number[kept] = np.arange(len(kept))
        here = number[self.query] >= 0
        return replace(
            self,
            query_ids=tuple(self.query_ids[each] for each in kept),
            query=number[self.query[here]],
            signals={name: values[here] for name, values in self.signals.items()},
            retrieved=self.retrieved[here],
            fused_rank=self.fused_rank[here],
            pair=self.pair[here],
            relevant=self.relevant[here],
        )


def read_rows(run: str, collection: Collection) -> Rows:
    """Return the rows of a run that scored everything.

    Raises:
        SystemExit: a row lacks a signal.
    """
    names = ["query_id", "passage_id", *SIGNALS, "fused_rank", "reason"]
    table = pa.concat_tables(FinishedRun.open(run).tables("candidates", names))
    missing = sum(table[name].null_count for name in SIGNALS)
    if missing:
        raise SystemExit(f"{run}: {missing:,} signals are missing: it was not mined with --score all")
    queries, passages = keys(table["query_id"].to_pylist()), keys(table["passage_id"].to_pylist())
    pair = pair_keys(queries, collection.passage_keys.get(passages, passages))
    is_left_out = pc.fill_null(pc.is_in(table["reason"], value_set=pa.array(_LEFT_OUT)), False).to_numpy()
    # A text counts as retrieved if it was under any of its ids.
    retrieved = np.isin(pair, pair[table["fused_rank"].is_valid().to_numpy()])
    relevance = collection.relevance(_pooled(collection))
    kept = np.flatnonzero(~is_left_out)
    kept = kept[np.sort(np.unique(pair[kept], return_index=True)[1])]
    ids = tuple(collection.queries)
    index = {query: place for place, query in enumerate(ids)}
    query = np.array([index[each] for each in table["query_id"].to_pylist()], dtype=np.int64)
    signals = {name: table[name].to_numpy().astype(np.float64) for name in SIGNALS}
    # Rows of a run stand by passage id within their query, and the sort is stable.
    order = kept[np.lexsort((table["passage_id"].to_numpy()[kept], -signals[SIMILARITY][kept], query[kept]))]
    return Rows(
        query_ids=ids,
        query=query[order],
        signals={name: values[order] for name, values in signals.items()},
        retrieved=retrieved[order],
        fused_rank=table["fused_rank"].cast(pa.float64()).fill_null(_NO_RANK).to_numpy()[order],
        pair=pair[order],
        relevant=relevance.of_pairs(queries[order], passages[order])[0],
    )


def _pooled(collection: Collection) -> dict[str, list[str]]:
    return {
        query: [*collection.known.get(query, []), *collection.hidden.get(query, [])] for query in collection.queries
    }


def relevant_passages(collection: Collection) -> dict[str, list[str]]:
    """Return each query's relevant passages by all judgements, one of each text."""
    found = {}
    for query, passages in _pooled(collection).items():
        texts = collection.passage_keys.get(keys(passages))
        found[query] = [passages[place] for place in np.unique(texts, return_index=True)[1]]
    return found


def draw_known(
    rows: Rows, collection: Collection, relevant: dict[str, list[str]], labelling: Labelling, draw: int
) -> Mask:
    """Return which rows are known in a draw: of each query's relevant passages, retrieved or not, one or half."""
    chosen = []
    for query, passages in relevant.items():
        lots = sorted(passages, key=partial(_lot, draw, query))
        taken = lots[: 1 if labelling == "one" else (len(lots) + 1) // 2]
        owner = np.repeat(keys([query]), len(taken))
        chosen.append(pair_keys(owner, collection.passage_keys.get(keys(taken))))
    return np.isin(rows.pair, np.concatenate(chosen))


def draw_half(query_ids: Sequence[str], draw: int) -> tuple[list[int], list[int]]:
    """Return two disjoint halves of the queries, as numbers, by lot."""
    order = sorted(range(len(query_ids)), key=lambda number: _lot(draw, "half", query_ids[number]))
    middle = (len(order) + 1) // 2
    return sorted(order[:middle]), sorted(order[middle:])


def _lot(draw: int, *names: str) -> bytes:
    return hashlib.blake2b("\0".join([str(draw), *names]).encode(), digest_size=16).digest()

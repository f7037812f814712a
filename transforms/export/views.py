"""The formats that trainers take, as views of what a run chose: plain functions from tables to tables.

Each view has the columns to write and, beside them, the keys that lay its rows out for a trainer that reads in order.
Scores are the cross-encoder's logits. Sentence-transformers takes the first column called ``label``, ``labels``,
``score`` or ``scores`` for the label, and every other column for a text, so a view has at most one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hardneg.transforms.export.choice import Chosen, Ints
from hardneg.transforms.output.layout import layout

_ORDER = ("round", "query_digest", "query_id", "positive_id")


@dataclass(frozen=True)
class View:
    """Rows of a format.

    Attributes:
        table: the columns to write.
        keys: one row a row of ``table``. ``query_text`` and ``positive_text`` are digests that should stand apart
            (the second may be a list of them); ``round``, ``query_digest``, ``query_id``, ``positive_id`` order the
            rest.
    """

    table: pa.Table
    keys: pa.Table

    def __len__(self) -> int:
        return len(self.table)

    def laid_out(self) -> tuple[pa.Table, int]:
        """Return the rows as they are written, and how many stand too close to a related one."""
        order, close = layout(self.keys, _ORDER)
        return self.table.take(order), close


def triplets(chosen: Chosen, scores: bool) -> View:
    """Return anchor, positive, negative: each positive of a query with each of its mined negatives.

    With scores, ``scores`` is [logit of the positive, logit of the negative]: float32, for MarginMSELoss and
    DistillKLDivLoss.
    """
    owners = chosen.negatives["query"].to_numpy()
    counts = np.diff(chosen.positive_starts)[owners]
    negative = np.repeat(np.arange(len(owners)), counts)
    positive = _ranges(chosen.positive_starts[owners], counts)
    columns = _texts(chosen, positive, {"negative": negative})
    if scores:
        columns["scores"] = _lists(_logits(chosen, positive, negative[:, None]))
    return View(pa.table(columns), _keys(chosen, positive, chosen.negatives["selected"].to_numpy()[negative]))


def tuples(chosen: Chosen, size: int, scores: bool) -> View:
    """Return anchor, positive, negative_1 to negative_size, for the queries with that many negatives.

    With scores, ``scores`` is [logit of the positive, of negative_1, ...]: float32, for MarginMSELoss and
    DistillKLDivLoss.
    """
    positive, negative = _of_size(chosen, size)
    columns = _texts(chosen, positive, {f"negative_{place + 1}": negative[:, place] for place in range(size)})
    if scores:
        columns["scores"] = _lists(_logits(chosen, positive, negative))
    return View(pa.table(columns), _keys(chosen, positive, _place_in_query(chosen, positive)))


def id_tuples(chosen: Chosen, size: int) -> View:
    """Return query_id, document_ids, scores: a positive first, then as many negatives; the logits beside them."""
    positive, negative = _of_size(chosen, size)
    ids = [chosen.positives["passage_id"].combine_chunks().take(pa.array(positive))]
    ids += [chosen.negatives["passage_id"].combine_chunks().take(pa.array(row)) for row in negative.T]
    # Column by column to row by row.
    order = np.arange(len(positive) * (size + 1)).reshape(size + 1, -1).T.ravel()
    columns = {
        "query_id": _query_column(chosen, "query_id", _owners(chosen, positive)),
        "document_ids": _list_of(pa.concat_arrays(ids).take(pa.array(order)), size + 1),
        "scores": _lists(_logits(chosen, positive, negative)),
    }
    return View(pa.table(columns), _keys(chosen, positive, _place_in_query(chosen, positive)))


def labeled_pairs(chosen: Chosen, scores: bool) -> View:
    """Return query, passage, label: 1 for a positive, 0 for a mined negative; or the logit, ``score``, instead.

    Each round takes one pair of every query, and they begin at different pairs: so a trainer that reads in order
    meets positives and negatives mixed.
    """
    both, starts = _positives_then_negatives(chosen)
    owners, positive = both["query"].to_numpy(), both["selected"].to_numpy() == 0
    sizes = np.diff(starts)[owners]
    digest = chosen.queries["digest"].to_numpy()[owners]
    begin = digest >> 32  # the low bits are alike in a shard, which they chose
    digests = both["text_digest"].combine_chunks()
    own = [[digest] if known else [] for digest, known in zip(digests.to_pylist(), positive.tolist(), strict=True)]
    keys = pa.table(
        {
            "round": pa.array((np.arange(len(both)) - starts[owners] + begin % sizes) % sizes),
            "query_digest": pa.array(digest),
            "query_id": _query_column(chosen, "query_id", owners),
            "positive_id": both["passage_id"],
            "query_text": _query_column(chosen, "text_digest", owners),
            "positive_text": pa.array(own, pa.list_(digests.type)),
        }
    )
    label = {"score": both["logit"]} if scores else {"label": pa.array(positive.astype(np.int64))}
    return View(pa.table({"query": _query_column(chosen, "text", owners), "passage": both["text"], **label}), keys)


def labeled_lists(chosen: Chosen, scores: bool) -> View:
    """Return query, passages, labels: all positives of a query, then its mined negatives; or ``scores`` instead."""
    both, offsets = _positives_then_negatives(chosen)
    if scores:
        label = {"scores": _ragged(both["logit"], offsets)}
    else:
        ones = (both["selected"].to_numpy() == 0).astype(np.int64)
        label = {"labels": _ragged(pa.array(ones), offsets)}
    table = pa.table({"query": chosen.queries["text"], "passages": _ragged(both["text"], offsets), **label})
    return View(table, _keys_of_queries(chosen))


def query_lists(chosen: Chosen, scores: bool) -> View:
    """Return FlagEmbedding's query, pos, neg, and with scores pos_scores, neg_scores: one row a query."""
    columns = {"query": chosen.queries["text"]}
    parts = {"pos": (chosen.positives, chosen.positive_starts), "neg": (chosen.negatives, chosen.negative_starts)}
    for name, (table, starts) in parts.items():
        columns[name] = _ragged(table["text"], starts)
    if scores:
        for name, (table, starts) in parts.items():
            columns[f"{name}_scores"] = _ragged(table["logit"], starts)
    return View(pa.table(columns), _keys_of_queries(chosen))


def _of_size(chosen: Chosen, size: int) -> tuple[Ints, Ints]:
    """Return the positives of the queries with ``size`` negatives, and the rows of these, shape (positives, size)."""
    owners = chosen.positives["query"].to_numpy()
    positive = np.flatnonzero(chosen.negative_counts[owners] == size)
    return positive, chosen.negative_starts[owners[positive]][:, None] + np.arange(size)


def _ranges(starts: Ints, counts: Ints) -> Ints:
    """Return ``counts[i]`` numbers from ``starts[i]`` on, for each i, one after the other."""
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))


def _owners(chosen: Chosen, positive: Ints) -> Ints:
    return chosen.positives["query"].to_numpy()[positive]


def _place_in_query(chosen: Chosen, positive: Ints) -> Ints:
    """Return which of its query's positives each one is, from 0."""
    return positive - chosen.positive_starts[_owners(chosen, positive)]


def _texts(chosen: Chosen, positive: Ints, negatives: dict[str, Ints]) -> dict[str, pa.Array]:
    passages = chosen.negatives["text"].combine_chunks()
    return {
        "anchor": _query_column(chosen, "text", _owners(chosen, positive)),
        "positive": chosen.positives["text"].combine_chunks().take(pa.array(positive)),
        **{name: passages.take(pa.array(rows)) for name, rows in negatives.items()},
    }


def _query_column(chosen: Chosen, name: str, owners: Ints) -> pa.Array:
    return chosen.queries[name].combine_chunks().take(pa.array(owners))


def _logits(chosen: Chosen, positive: Ints, negative: Ints) -> np.ndarray:
    """Return the logits of positives and of their negatives, float32, shape (rows, 1 + negatives)."""
    of_positives, of_negatives = (part["logit"].to_numpy() for part in (chosen.positives, chosen.negatives))
    return np.concatenate([of_positives[positive][:, None], of_negatives[negative]], axis=1)


def _lists(values: np.ndarray) -> pa.Array:
    return _list_of(pa.array(values.ravel(), pa.float32()), values.shape[1])


def _list_of(values: pa.Array, length: int) -> pa.Array:
    return _ragged(values, np.arange(0, len(values) + 1, length))


def _ragged(values: pa.Array | pa.ChunkedArray, offsets: Ints) -> pa.Array:
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _positives_then_negatives(chosen: Chosen) -> tuple[pa.Table, Ints]:
    """Return both in one table, in the order of the queries; and where each query's begin."""
    both = pa.concat_tables([chosen.positives, chosen.negatives]).combine_chunks()
    order = np.argsort(both["query"].to_numpy(), kind="stable")
    return both.take(pa.array(order)).combine_chunks(), chosen.positive_starts + chosen.negative_starts


def _keys(chosen: Chosen, positive: Ints, rounds: Ints) -> pa.Table:
    owners, place = _owners(chosen, positive), pa.array(positive)
    return pa.table(
        {
            "round": pa.array(rounds),
            "query_digest": _query_column(chosen, "digest", owners),
            "query_id": _query_column(chosen, "query_id", owners),
            "positive_id": chosen.positives["passage_id"].combine_chunks().take(place),
            "query_text": _query_column(chosen, "text_digest", owners),
            "positive_text": chosen.positives["text_digest"].combine_chunks().take(place),
        }
    )


def _keys_of_queries(chosen: Chosen) -> pa.Table:
    queries = len(chosen.queries)
    return pa.table(
        {
            "round": pa.array(np.zeros(queries, dtype=np.int64)),
            "query_digest": chosen.queries["digest"],
            "query_id": chosen.queries["query_id"],
            "positive_id": chosen.queries["query_id"],  # nothing is left to order
            "query_text": chosen.queries["text_digest"],
            "positive_text": _ragged(chosen.positives["text_digest"], chosen.positive_starts),
        }
    )

"""PyLate's knowledge distillation: ids with their logits, and the texts in tables beside."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.export.format import Format
from hardneg.transforms.export.view import (
    View,
    keys_of_positives,
    lists,
    lists_of,
    logits_of,
    owners_of,
    place_in_query,
    query_column,
    rows_of_size,
)


class PyLate(Format):
    """Rows of query_id, document_ids, scores: a positive first, then as many negatives; the logits of them.

    ``queries`` and ``documents`` have the texts, each once.
    """

    name = "pylate"
    made_for = "PyLate's knowledge distillation: `utils.KDProcessing`"
    table = "scores"
    fixed = True
    scored = True
    lists_negatives = False
    aliases = ("train",)  # published sets have both names
    beside = ("queries", "documents")

    def view(self, chosen: Chosen, negatives: int, scores: bool) -> View:
        positive, negative = rows_of_size(chosen, negatives)
        ids = [chosen.positives["passage_id"].combine_chunks().take(pa.array(positive))]
        ids += [chosen.negatives["passage_id"].combine_chunks().take(pa.array(row)) for row in negative.T]
        # Column by column to row by row.
        order = np.arange(len(positive) * (negatives + 1)).reshape(negatives + 1, -1).T.ravel()
        columns = {
            "query_id": query_column(chosen, "query_id", owners_of(chosen, positive)),
            "document_ids": lists_of(pa.concat_arrays(ids).take(pa.array(order)), negatives + 1),
            "scores": lists(logits_of(chosen, positive, negative)),
        }
        keys = keys_of_positives(chosen, positive, place_in_query(chosen, positive), negative)
        return View(pa.table(columns), keys)

    def texts_of_row(self, negatives: int) -> int:
        return 1

    def of_queries(self, queries: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        rows = queries.sort_by([("digest", "ascending"), ("query_id", "ascending")])
        yield "queries", rows.select(["query_id", "text"])

    def of_passages(self, passages: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        yield "documents", pa.table({"document_id": passages["passage_id"], "text": passages["text"]})

"""N-tuples: each positive of a query with all its negatives in one row."""

from __future__ import annotations

import pyarrow as pa

from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.export.format import Format
from hardneg.transforms.export.view import (
    View,
    keys_of_positives,
    lists,
    logits_of,
    place_in_query,
    rows_of_size,
    text_columns,
)


class NTuple(Format):
    """Rows of anchor, positive, negative_1 to negative_n, for the queries with that many negatives.

    With scores, ``scores`` is [logit of the positive, of negative_1, ...], float32.
    """

    name = "n-tuple"
    made_for = "sentence-transformers' MultipleNegativesRankingLoss; with scores MarginMSELoss, DistillKLDivLoss"
    fixed = True

    def view(self, chosen: Chosen, negatives: int, scores: bool) -> View:
        positive, negative = rows_of_size(chosen, negatives)
        named = {f"negative_{place + 1}": negative[:, place] for place in range(negatives)}
        columns = text_columns(chosen, positive, named)
        if scores:
            columns["scores"] = lists(logits_of(chosen, positive, negative))
        keys = keys_of_positives(chosen, positive, place_in_query(chosen, positive), negative)
        return View(pa.table(columns), keys)

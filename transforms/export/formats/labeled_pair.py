"""Labeled pairs: one passage a row, with 1 for a positive and 0 for a mined negative."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.export.format import Format
from hardneg.transforms.export.view import View, clash_keys, lists_of, positives_then_negatives, query_column


class LabeledPair(Format):
    """Rows of query, passage, label; with scores the logit, ``score``, stands in the label's place.

    Each round takes one pair of every query, and they begin at different pairs: so a trainer that reads in order
    meets positives and negatives mixed.
    """

    name = "labeled-pair"
    made_for = "sentence-transformers' CrossEncoderTrainer: BinaryCrossEntropyLoss; with scores MSELoss"
    lists_negatives = False

    def view(self, chosen: Chosen, negatives: int, scores: bool) -> View:
        both, starts = positives_then_negatives(chosen)
        owners, positive = both["query"].to_numpy(), both["selected"].to_numpy() == 0
        sizes = np.diff(starts)[owners]
        digest = chosen.queries["digest"].to_numpy()[owners]
        begin = digest >> 32  # the low bits are alike in a shard, which they chose
        keys = pa.table(
            {
                "round": pa.array((np.arange(len(both)) - starts[owners] + begin % sizes) % sizes),
                "query_digest": pa.array(digest),
                "query_id": query_column(chosen, "query_id", owners),
                "positive_id": both["passage_id"],
                **clash_keys(chosen, owners, lists_of(both["text_digest"].combine_chunks(), 1)),
            }
        )
        label = {"score": both[LOGIT]} if scores else {"label": pa.array(positive.astype(np.int64))}
        columns = {"query": query_column(chosen, "text", owners), "passage": both["text"], **label}
        return View(pa.table(columns), keys)

    def texts_of_row(self, negatives: int) -> int:
        return 2

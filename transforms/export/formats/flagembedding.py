"""FlagEmbedding's training data: JSON lines of a query, its positives and its negatives."""

from __future__ import annotations

import pyarrow as pa

from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.export.format import Format
from hardneg.transforms.export.view import View, keys_of_queries, ragged


class FlagEmbedding(Format):
    """Rows of query, pos, neg: one a query, with all its positives and its mined negatives.

    With scores, ``pos_scores`` and ``neg_scores`` are the logits, float32, for its knowledge distillation.
    """

    name = "flagembedding"
    made_for = "FlagEmbedding's trainers, with the folder `flagembedding` of this one as `train_data`"
    suffix = "jsonl"

    def view(self, chosen: Chosen, negatives: int, scores: bool) -> View:
        columns = {"query": chosen.queries["text"]}
        parts = {"pos": (chosen.positives, chosen.positive_starts), "neg": (chosen.negatives, chosen.negative_starts)}
        for name, (table, starts) in parts.items():
            columns[name] = ragged(table["text"], starts)
        if scores:
            for name, (table, starts) in parts.items():
                columns[f"{name}_scores"] = ragged(table[LOGIT], starts)
        return View(pa.table(columns), keys_of_queries(chosen))

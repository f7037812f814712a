"""Labeled lists: one query a row, with all its passages and their labels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.export.format import Format
from hardneg.transforms.export.view import View, keys_of_queries, positives_then_negatives, ragged


class LabeledList(Format):
    """Rows of query, passages, labels: all positives of a query, then its mined negatives.

    With scores, the logits, ``scores``, stand in the labels' place.
    """

    name = "labeled-list"
    made_for = "sentence-transformers' CrossEncoderTrainer: LambdaLoss, ListNetLoss"
    lists_negatives = False

    def view(self, chosen: Chosen, negatives: int, scores: bool) -> View:
        both, offsets = positives_then_negatives(chosen)
        if scores:
            label = {"scores": ragged(both[LOGIT], offsets)}
        else:
            ones = (both["selected"].to_numpy() == 0).astype(np.int64)
            label = {"labels": ragged(pa.array(ones), offsets)}
        table = pa.table({"query": chosen.queries["text"], "passages": ragged(both["text"], offsets), **label})
        return View(table, keys_of_queries(chosen))

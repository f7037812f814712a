"""Triplets: each positive of a query with each of its mined negatives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.export.format import Format
from hardneg.transforms.export.view import View, keys_of_positives, lists, logits_of, ranges, text_columns


class Triplet(Format):
    """Rows of anchor, positive, negative; they are those of the run's ``triplets/``, byte for byte.

    With scores, ``scores`` is [logit of the positive, logit of the negative], float32.
    """

    name = "triplet"
    made_for = (
        "sentence-transformers' MultipleNegativesRankingLoss, TripletLoss; with scores MarginMSELoss, DistillKLDivLoss"
    )

    def view(self, chosen: Chosen, negatives: int, scores: bool) -> View:
        owners = chosen.negatives["query"].to_numpy()
        counts = np.diff(chosen.positive_starts)[owners]
        negative = np.repeat(np.arange(len(owners)), counts)
        positive = ranges(chosen.positive_starts[owners], counts)
        columns = text_columns(chosen, positive, {"negative": negative})
        if scores:
            columns["scores"] = lists(logits_of(chosen, positive, negative[:, None]))
        rounds = chosen.negatives["selected"].to_numpy()[negative]
        return View(pa.table(columns), keys_of_positives(chosen, positive, rounds, negative[:, None]))

    def texts_of_row(self, negatives: int) -> int:
        return 3

"""An export format of one's own: each query with its negatives, hardest first, as JSON lines. All that it takes."""

from __future__ import annotations

import pyarrow as pa

from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.export.format import Format
from hardneg.transforms.export.registry import register_format
from hardneg.transforms.export.view import View, keys_of_queries, ragged


class Contrasts(Format):
    """Rows of a query and the texts that a model should keep from it."""

    name = "contrasts"
    made_for = "whoever writes a loss of their own"
    suffix = "jsonl"
    lists_negatives = False

    def view(self, chosen: Chosen, negatives: int, scores: bool) -> View:
        texts = ragged(chosen.negatives["text"], chosen.negative_starts)
        return View(pa.table({"query": chosen.queries["text"], "keep_from": texts}), keys_of_queries(chosen))


register_format(Contrasts())

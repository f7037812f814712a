"""How many rows meet, in another row of their batch, what is relevant to their anchor: a negative by in-batch loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardneg.transforms.audit.auditing import Records
from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.core.hashing import Keys, pair_keys

_ROWS_AT_ONCE = 1 << 17
_SEED = 0


@dataclass(frozen=True)
class BatchCount:
    """What was counted.

    Attributes:
        size: rows a batch.
        rows: of the data set.
        in_order: rows that meet something relevant if the set is read in order.
        at_random: the same if it is shuffled, by a seed that is always the same.
    """

    size: int
    rows: int
    in_order: int
    at_random: int

    def sentences(self) -> list[str]:
        """Return them in words, a line each."""
        told = {"in order": self.in_order, "at random": self.at_random}
        return [
            f"batches of {self.size}, read {how}: {met:,} of {self.rows:,} rows ({met / max(1, self.rows):.1%}) meet, "
            "in another row, what is relevant to their anchor."
            for how, met in told.items()
        ]


def count_batches(records: Records, relevant: tuple[Keys, Keys], size: int) -> BatchCount:
    """Count the rows that meet, in another row of their batch, a text that is relevant to their anchor.

    Args:
        records: the set.
        relevant: (anchor, passage), as keys of their texts: what is known beside the positives of the set itself.
        size: rows a batch.
    """
    own = records.positives
    anchors = np.concatenate([records.anchor[own.row], relevant[0]])
    passages = np.concatenate([own.text, relevant[1]])
    shown = np.concatenate([own.text, records.negatives.text])
    row = np.concatenate([own.row, records.negatives.row])
    met = [
        _met(records.anchor, order, (anchors, passages), (row, shown), size)
        for order in (np.arange(len(records)), np.random.default_rng(_SEED).permutation(len(records)))
    ]
    return BatchCount(size, len(records), *met)


def _met(anchor: Keys, order: IntArray, relevant: tuple[Keys, Keys], shown: tuple[IntArray, Keys], size: int) -> int:
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    anchors, passages = _distinct(relevant, (relevant[1] != 0) & np.isin(relevant[1], shown[1]))
    at, text = place[shown[0]], shown[1]
    by_place = np.argsort(at, kind="stable")
    at, text = at[by_place], text[by_place]
    step = max(size, _ROWS_AT_ONCE // size * size)
    met = 0
    for first in range(0, len(order), step):
        begin, end = np.searchsorted(at, [first, first + step])
        met += _met_within(anchor[order[first : first + step]], (anchors, passages), at[begin:end] - first,
                           text[begin:end], size)  # fmt: skip
    return met


def _met_within(anchor: Keys, relevant: tuple[Keys, Keys], at: IntArray, text: Keys, size: int) -> int:
    """Count among rows of whole batches, given by their anchors and by what each (``at``) shows."""
    anchors, passages = relevant
    starts, stops = np.searchsorted(anchors, anchor, "left"), np.searchsorted(anchors, anchor, "right")
    counts = stops - starts
    rows = np.repeat(np.arange(len(anchor)), counts)
    ends = np.cumsum(counts)
    wanted = passages[np.repeat(starts - (ends - counts), counts) + np.arange(len(rows))]
    by_row = np.unique(pair_keys(at.astype(np.uint64), text), return_index=True)[1]  # each text once a row
    batches, showing = np.unique(pair_keys((at[by_row] // size).astype(np.uint64), text[by_row]), return_counts=True)
    if not len(batches) or not len(rows):
        return 0
    asked = pair_keys((rows // size).astype(np.uint64), wanted)
    found = np.minimum(np.searchsorted(batches, asked), len(batches) - 1)
    times = np.where(batches[found] == asked, showing[found], 0)
    times -= np.isin(pair_keys(rows.astype(np.uint64), wanted), pair_keys(at.astype(np.uint64), text))
    return len(np.unique(rows[times > 0]))


def _distinct(pairs: tuple[Keys, Keys], kept: BoolArray) -> tuple[Keys, Keys]:
    """Return the distinct ones of some pairs, sorted by the first of both."""
    first, second = pairs[0][kept], pairs[1][kept]
    _, index = np.unique(pair_keys(first, second), return_index=True)
    order = np.argsort(first[index], kind="stable")
    return first[index][order], second[index][order]

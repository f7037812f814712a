"""Shuffled batches in which no row meets, in another row, what is or may be relevant to its query.

    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments("out", batch_sampler=NoFalseNegatives.of_run("mined")),
        train_dataset=load_dataset("mined", split="train"),
        loss=MultipleNegativesRankingLoss(model),
    )

Import it from ``hardneg.train``. Needs ``pip install 'hardneg[train]'``.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import torch
from sentence_transformers.base.sampler import DefaultBatchSampler

from hardneg.errors import OptionError
from hardneg.transforms.core.hashing import text_keys
from hardneg.transforms.output.avoided import avoided_by_run
from hardneg.transforms.output.finished_run import FinishedRun


@dataclass
class _Batch:
    rows: list[int] = field(default_factory=list)
    shown: set[int] = field(default_factory=set)
    avoided: set[int] = field(default_factory=set)

    def fits(self, shown: frozenset[int], avoided: frozenset[int]) -> bool:
        return self.shown.isdisjoint(avoided) and self.avoided.isdisjoint(shown)

    def add(self, row: int, shown: frozenset[int], avoided: frozenset[int]) -> None:
        self.rows.append(row)
        self.shown |= shown
        self.avoided |= avoided


class NoFalseNegatives(DefaultBatchSampler):
    """A ``batch_sampler`` of sentence-transformers' trainers for losses with in-batch negatives.

    Rows are shuffled, and each goes to the first batch that has room and none that clashes with it: one that shows
    what is relevant to its query, or to whose query it shows what is. Columns of texts are read in the trainers'
    order, anchor, positive, negatives. Relevant is every positive that stands with an anchor in the data set; and
    with ``of_run``, all that the run knows, its suspected positives and near-duplicates included.

    Attributes:
        left_out: rows of the last epoch that fitted in no batch.
    """

    def __init__(self, dataset: Any, batch_size: int, drop_last: bool, *, run: str | None = None, **more: Any) -> None:
        """As sentence-transformers' trainers call it.

        Args:
            dataset: a ``datasets.Dataset``.
            batch_size: rows a batch.
            drop_last: leave out a batch that is not full.
            run: a run of ours whose knowledge is used.
            more: ``valid_label_columns``, ``generator``, ``seed``.

        Raises:
            OptionError: the data set has no two columns of texts, or can't be read by row.
            HardnegError: the run can't be read.
        """
        super().__init__(dataset, batch_size=batch_size, drop_last=drop_last, **more)
        if not hasattr(dataset, "with_format") or not hasattr(dataset, "__len__"):
            raise OptionError("NoFalseNegatives shuffles rows by their numbers: give a datasets.Dataset, not a stream.")
        table = dataset.with_format("arrow")[:]
        labels = set(self.valid_label_columns or ())
        names = [name for name in table.column_names if name not in labels and _holds_texts(table.schema.field(name))]
        if len(names) < 2:
            raise OptionError(f"NoFalseNegatives needs an anchor and a positive; the columns are {table.column_names}.")
        anchors, *passages = (text_keys(table[name]).tolist() for name in names)
        self._anchors: list[int] = anchors
        self._shown = [frozenset(texts) - {0} for texts in zip(*passages, strict=True)]
        avoided: defaultdict[int, set[int]] = defaultdict(set)
        for anchor, positive in zip(anchors, passages[0], strict=True):
            avoided[anchor].add(positive)
        if run is not None:
            known = set(anchors)
            for anchor, passage in zip(*(part.tolist() for part in avoided_by_run(FinishedRun.open(run))), strict=True):
                if anchor in known:
                    avoided[anchor].add(passage)
        everything = frozenset().union(*self._shown)
        self._avoided = {anchor: frozenset(texts) & everything for anchor, texts in avoided.items()}
        self.left_out = 0

    @classmethod
    def of_run(cls, run: str | os.PathLike[str]) -> SamplerOfRun:
        """Return what ``batch_sampler`` takes, with the knowledge of a run of ours."""
        return SamplerOfRun(os.fspath(run))

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        rows = len(self._anchors)
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield batches of rows' numbers."""
        generator = self.generator or torch.Generator()
        if self.seed is not None:
            generator.manual_seed(self.seed + self.epoch)
        batches = [_Batch() for _ in range(len(self))]
        first = self.left_out = 0
        for row in torch.randperm(len(self._anchors), generator=generator).tolist():
            shown, avoided = self._shown[row], self._avoided[self._anchors[row]]
            while first < len(batches) and len(batches[first].rows) == self.batch_size:
                first += 1
            for batch in batches[first:]:
                if len(batch.rows) < self.batch_size and batch.fits(shown, avoided):
                    batch.add(row, shown, avoided)
                    break
            else:
                self.left_out += 1
        least = self.batch_size if self.drop_last else 1
        yield from (batch.rows for batch in batches if len(batch.rows) >= least)


@dataclass(frozen=True)
class SamplerOfRun:
    """Makes a ``NoFalseNegatives`` that knows what a run does; trainers call it."""

    run: str

    def __call__(self, dataset: Any, **arguments: Any) -> NoFalseNegatives:
        """Return the sampler of a data set."""
        return NoFalseNegatives(dataset, run=self.run, **arguments)


def _holds_texts(column: pa.Field) -> bool:
    kind = column.type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)

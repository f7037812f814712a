"""A form that trainers take: what a file of ``formats/`` defines, and a registered one of somebody else's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal

import pyarrow as pa

from hardneg.transforms.export.choice import Chosen
from hardneg.transforms.export.view import View


class Format(ABC):
    """A form of export: a view of what a run chose, and what its files need to be known by.

    Attributes:
        name: as ``--format`` takes it, with dashes.
        made_for: whose trainers take it; completes "Made for ...".
        table: the folder of its rows, if that is not called like the format.
        fixed: whether every row has the same number of negatives; rows of fewer then stand in tables beside.
        scored: whether it always has the logits.
        lists_negatives: whether its rows have columns of positives and of negatives, which ``audit`` checks.
        suffix: of its files, which says what they are.
        aliases: further names under which ``load_dataset`` finds its rows.
        beside: the tables that ``of_queries`` and ``of_passages`` make.
    """

    name: ClassVar[str]
    made_for: ClassVar[str]
    table: ClassVar[str] = ""
    fixed: ClassVar[bool] = False
    scored: ClassVar[bool] = False
    lists_negatives: ClassVar[bool] = True
    suffix: ClassVar[Literal["parquet", "jsonl"]] = "parquet"
    aliases: ClassVar[tuple[str, ...]] = ()
    beside: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def view(self, chosen: Chosen, negatives: int, scores: bool) -> View:
        """Return the rows of a shard.

        Args:
            chosen: its queries, positives and mined negatives, with texts.
            negatives: of a row of a ``fixed`` format, exactly; the others take what there is.
            scores: whether to add the logits.
        """

    def texts_of_row(self, negatives: int) -> int:
        """Return how many texts a row has, about: readers that shuffle hold some thousand of them."""
        return 2 + negatives

    def of_queries(self, queries: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        """Yield (table's name, rows) of what is written of a shard's queries, as in ``Chosen``, beside its rows."""
        yield from ()

    def of_passages(self, passages: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        """Yield (table's name, rows) of what is written of the passages (passage_id, text) that rows refer to."""
        yield from ()

    @property
    def main(self) -> str:
        """The folder of its rows."""
        return self.table or self.name

    @property
    def patterns(self) -> tuple[str, ...]:
        """All that an export's folders may be called, as patterns."""
        return (self.main, *((f"{self.main}-*",) if self.fixed else ()), *self.beside)

    def views(self, chosen: Chosen, negatives: int, scores: bool) -> Iterator[tuple[str, View]]:
        """Yield (table's name, view) of a shard, for each table that has rows.

        Tables of fewer negatives than asked for are called ``NAME-n``.
        """
        for size in range(negatives, 0, -1) if self.fixed else (negatives,):
            view = self.view(chosen, size, scores)
            if len(view):
                yield self.main if size == negatives else f"{self.main}-{size}", view

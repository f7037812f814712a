"""The stage that sends texts through the shuffle, where scoring workers cannot see the segments' files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import apache_beam as beam
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core.block import Block
from hardneg.transforms.core.counters import count
from hardneg.transforms.core.schemas import BLOCK_TEXTS
from hardneg.transforms.corpus.texts import fetch_texts, needed_rows


@dataclass(eq=False)
class HydrateCandidates(beam.PTransform):
    """Attach texts to blocks through the shuffle, for workers that cannot see the corpus files.

    Grouped by segment, so that each segment's files are opened by one worker, and each text a block needs
    travels once. In and out: (block, Block).
    """

    work: str

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        texts = (
            blocks
            | beam.FlatMap(_requests).with_output_types(tuple[int, tuple[int, pa.Table]])
            | beam.GroupByKey()
            | beam.FlatMap(_answers, self.work).with_output_types(tuple[int, pa.Table])
        )
        return (
            {"blocks": blocks, "texts": texts}
            | beam.CoGroupByKey()
            | beam.FlatMap(_attach).with_output_types(tuple[int, Block])
        )


def _requests(element: tuple[int, Block]) -> Iterator[tuple[int, tuple[int, pa.Table]]]:
    number, block = element
    for segment, rows in needed_rows(block.candidates):
        yield segment, (number, rows)


def _answers(element: tuple[int, Iterable[tuple[int, pa.Table]]], work: str) -> Iterator[tuple[int, pa.Table]]:
    segment, requests = element
    for number, rows in requests:
        count("texts_sent", len(rows))
        yield number, fetch_texts(work, segment, rows)


def _attach(element: tuple[int, dict[str, Iterable]]) -> Iterator[tuple[int, Block]]:
    number, groups = element
    for block in groups["blocks"]:
        texts = pa.concat_tables([BLOCK_TEXTS.empty_table(), *groups["texts"]]).combine_chunks()
        yield number, replace(block, texts=texts)

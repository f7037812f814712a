"""The mining stage: judge and select, block by block, and hand the rows to the output's shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import apache_beam as beam

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.core.block import Block
from hardneg.transforms.core.counters import count
from hardneg.transforms.core.partition import split_by
from hardneg.transforms.core.progress import record
from hardneg.transforms.corpus.texts import needed_rows
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.judge.seen_pairs import mark_seen
from hardneg.transforms.mining.job import Job, in_sample
from hardneg.transforms.mining.rows import mine_block
from hardneg.transforms.mining.stored_logits import STAGE, StoredLogits
from hardneg.transforms.models.loaded import use_threads
from hardneg.transforms.output.layout import shards_of_rows


@dataclass(eq=False)
class MineBlocks(beam.PTransform):
    """Judge and select, block by block; hand rows to the output's shards.

    A plain DoFn instead of RunInference: how many pairs are scored depends on earlier scores of the block, and
    RunInference cuts its batches by timing. In: (block, Block). Output tags: ``candidates``, ``triplets``,
    ``suspect_pairs``, ``queries`` (shard, table), ``referred`` (segment, table of rows), ``counts`` (name, number).

    Attributes:
        job: what decides and what computes.
        shards: of the output.
        judge: side input; the judge, as JSON.
        cutoff: side input; the digest up to which queries belong to the calibration sample.
    """

    TAGS: ClassVar = ("candidates", "triplets", "suspect_pairs", "queries", "referred", "counts")

    job: Job
    shards: int
    judge: beam.pvalue.AsSingleton
    cutoff: beam.pvalue.AsSingleton

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, blocks: beam.PCollection) -> Any:
        mined = beam.ParDo(_MineBlock(self.job, self.shards), self.judge, self.cutoff)
        return blocks | mined.with_outputs(*self.TAGS)


class _MineBlock(beam.DoFn):
    def __init__(self, job: Job, shards: int) -> None:
        self._job = job
        self._shards = shards

    def setup(self) -> None:
        use_threads(self._job.threads)

    def process(self, element: tuple[int, Block], judge: str, cutoff: int) -> Iterator[Any]:
        _, block = element
        job, score = self._job, self._job.scoring()
        calibrated, sampled = CalibratedJudge.from_json(judge), in_sample(block.queries, cutoff)
        self._announce(block, calibrated, sampled, score)
        mined = mine_block(mark_seen(block, job.training), job.rules, calibrated, job.texts_of(block), score, sampled)
        if score:
            score.announce(0)
        record(job.work, "mine", done=len(block.queries))
        for name, number in mined.counts.items():
            count(name, number)
        count("stored_scores_used", mined.stored)
        for segment, rows in needed_rows(mined.candidates):
            yield beam.pvalue.TaggedOutput("referred", (segment, rows))
        for shard, rows in split_by(mined.triplets, shards_of_rows(mined.triplets, self._shards)):
            yield beam.pvalue.TaggedOutput("triplets", (shard, rows))
        tables = {
            "candidates": (mined.candidates.drop_columns(["segment", "row"]), "query_digest"),
            "suspect_pairs": (mined.suspect_pairs, "query_digest"),
            "queries": (block.queries.select(["query_id", "text", "digest"]), "digest"),
        }
        for tag, (table, digest) in tables.items():
            for shard, rows in split_by(table, table[digest].to_numpy() % self._shards):
                yield beam.pvalue.TaggedOutput(tag, (shard, rows))
        for counted in [*mined.counts.items(), *(score.note_uses().items() if score else ())]:
            yield beam.pvalue.TaggedOutput("counts", counted)

    def _announce(
        self, block: Block, calibrated: CalibratedJudge, sampled: BoolArray, score: StoredLogits | None
    ) -> None:
        """Tell progress how many pairs this block will ask for, about, and how many a query of those to come."""
        queries = len(block.queries)
        record(self._job.work, "mine", begun=queries)
        if score is None or "tried" not in calibrated.figures:
            return
        sample = calibrated.sample
        each = calibrated.figures["tried"] + sample["positives"] / max(sample["queries"], 1)
        record(self._job.work, STAGE, each=each)
        score.announce(round(each * float((~sampled).sum())))

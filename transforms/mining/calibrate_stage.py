"""The calibration stages: score a sample of queries, bring it together, and make the judge of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import apache_beam as beam

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core.block import Block
from hardneg.transforms.core.counters import count
from hardneg.transforms.core.source import Source
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.judge.calibrated_judge import Target
from hardneg.transforms.judge.calibration import make_judge
from hardneg.transforms.judge.seen_pairs import mark_seen
from hardneg.transforms.mining.job import Job, in_sample
from hardneg.transforms.mining.sampling import sample_block
from hardneg.transforms.models.loaded import use_threads


@dataclass(eq=False)
class ScoreSample(beam.PTransform):
    """Score the calibration sample, block by block, before anything is mined.

    In: (block, Block). Output tags: ``blocks`` (block, Block with what is known now), ``rows`` and ``queries`` (0,
    table), ``counts`` (name, number).

    Attributes:
        job: what decides and what computes.
        target: what is asked of the judge.
        cutoff: side input; the digest up to which queries belong to the sample.
    """

    TAGS: ClassVar = ("blocks", "rows", "queries", "counts")

    job: Job
    target: Target
    cutoff: beam.pvalue.AsSingleton

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, blocks: beam.PCollection) -> Any:
        return blocks | beam.ParDo(_SampleBlock(self.job, self.target), self.cutoff).with_outputs(*self.TAGS)


class _SampleBlock(beam.DoFn):
    def __init__(self, job: Job, target: Target) -> None:
        self._job = job
        self._target = target

    def setup(self) -> None:
        use_threads(self._job.threads)

    def process(self, element: tuple[int, Block], cutoff: int) -> Iterator[Any]:
        number, block = element
        job, score = self._job, self._job.scoring()
        sampled = in_sample(block.queries, cutoff)
        block = mark_seen(block, job.training)
        done = sample_block(block, job.rules, self._target, sampled, job.texts_of(block), score)
        count("sample_queries", len(done.queries))
        count("sample_pairs_scored", done.pairs.scored)
        count("stored_scores_used", done.pairs.stored)
        yield beam.pvalue.TaggedOutput("blocks", (number, done.block))
        yield beam.pvalue.TaggedOutput("rows", (0, done.rows))
        yield beam.pvalue.TaggedOutput("queries", (0, done.queries))
        yield beam.pvalue.TaggedOutput("counts", ("pairs_cut", done.pairs.cut))
        yield beam.pvalue.TaggedOutput("counts", ("pairs_missing_of_sample", done.pairs.missing))
        yield beam.pvalue.TaggedOutput("counts", ("positives_seen_in_training", done.seen))
        for counted in score.note_uses().items() if score else ():
            yield beam.pvalue.TaggedOutput("counts", counted)


@dataclass(eq=False)
class Calibrate(beam.PTransform):
    """Make the judge: the sample's rows brought together, so that nothing depends on blocks.

    In: {"rows": (0, table), "queries": (0, table), "missing": (0, number), "seen": (0, number)}. Out: the judge, as
    JSON.

    Attributes:
        sources: the retrievers.
        policy: what is demanded of a negative.
        target: what is asked of the judge.
        k: how many candidates each retriever gave.
        models: side input; (source name, the model's description as JSON).
    """

    sources: Sequence[Source]
    policy: Policy
    target: Target
    k: int
    models: beam.pvalue.AsList

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection:
        made = beam.Map(_calibrate, tuple(self.sources), self.policy, self.target, self.k, models=self.models)
        return inputs | beam.CoGroupByKey() | made.with_output_types(str)


def _calibrate(
    element: tuple[int, dict[str, Iterable[Any]]],
    sources: Sequence[Source],
    policy: Policy,
    target: Target,
    k: int,
    models: list[tuple[str, str]],
) -> str:
    _, groups = element
    rows, queries, missing, seen = (groups[name] for name in ("rows", "queries", "missing", "seen"))
    return make_judge(
        list(rows), list(queries), sum(missing), sources, policy, target, k, dict(models), sum(seen)
    ).to_json()

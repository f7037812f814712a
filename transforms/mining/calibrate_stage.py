"""The calibration stages: score a sample of queries, bring it together, and make the judge of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.errors import HardnegError
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.core.block import Block
from hardneg.transforms.filters.order import selection_score
from hardneg.transforms.filters.screen import Policy, Standing, stand
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, Target, conditions_of, model_identity
from hardneg.transforms.judge.sample import SAMPLE, calibrate, score_sample, signals_of
from hardneg.transforms.judge.seen_pairs import mark_seen, marked_seen
from hardneg.transforms.mining.judge_block import PairScores, pair_scores
from hardneg.transforms.mining.mine_stage import Job, in_sample
from hardneg.transforms.models.loaded import use_threads

CROSS_ENCODER = "cross_encoder"
_SEEN = "this judge has seen {:,} further known positives in its training, and they do not count"
_NO_QUERIES = pa.table({"query_id": pa.array([], pa.string())})


@dataclass(frozen=True)
class Sampled:
    """A block whose sample was scored: the block, the sample's rows, and how many pairs were cut, missing, seen."""

    block: Block
    rows: pa.Table
    queries: pa.Table
    cut: int
    missing: int
    seen: int


def sample_block(block: Block, job: Job, target: Target, sampled: BoolArray, texts_of: Any, score: Any) -> Sampled:
    """Score a block's part of the calibration sample.

    Args:
        block: merged candidates.
        job: retrievers, policy, evaluation sets.
        target: what is asked of the judge; decides whether candidates are scored, or known positives alone.
        sampled: bool (queries,).
        texts_of: passage strings by (segment, row).
        score: as in ``scoring.judge_block``.

    Returns:
        the block, its candidates with the column ``logit``, and rows of the SAMPLE schema with all signals.
    """
    policy = job.policy
    standing = stand(block.queries, block.candidates, job.sources, policy, texts_of, job.holdout)
    pairs = pair_scores(block, texts_of, score)
    mine = sampled[standing.query]
    rows = np.flatnonzero(mine & (standing.in_window | standing.positive))
    if target.needs_sample and (target.judge != "bi-encoder" or policy.needs_logit):
        pairs.ask(rows)
    elif target.judge != "bi-encoder" or policy.needs_logit:
        pairs.ask(np.flatnonzero(mine & standing.positive))
    known = pa.array(pairs.known, pa.float32(), mask=np.isnan(pairs.known))
    candidates = block.candidates
    # What the judge learned from says nothing about how it scores what it did not.
    seen = marked_seen(candidates) & standing.countable
    standing.countable &= ~seen
    if "logit" in candidates.column_names:
        candidates = candidates.drop_columns(["logit"])
    return Sampled(
        block=replace(block, candidates=candidates.append_column("logit", known)),
        rows=_sample_rows(block, job, standing, pairs).take(pa.array(rows)),
        queries=block.queries.select(["query_id"]).filter(pa.array(sampled)),
        cut=pairs.cut,
        missing=pairs.missing,
        seen=int(seen[rows].sum()),
    )


def _sample_rows(block: Block, job: Job, standing: Standing, pairs: PairScores) -> pa.Table:
    candidates, policy = block.candidates, job.policy
    ids = block.queries["query_id"].combine_chunks().take(pa.array(standing.query))
    order = np.zeros(len(ids))
    if policy.order != "judge":
        order = selection_score(candidates, ids, policy.order, job.sources, policy.seed)
    columns = {
        "query_id": ids,
        "passage_id": candidates["passage_id"],
        "order": order,
        "in_window": standing.in_window,
        "is_positive": standing.positive,
        "countable": standing.countable,
        "is_candidate": standing.open & standing.in_window,
        "logit": pa.array(pairs.logits, pa.float32(), mask=np.isnan(pairs.logits)),
        **{name: candidates[name] for name in signals_of(job.sources) if name != "logit"},
    }
    return pa.table(columns).combine_chunks()


class ScoreSample(beam.PTransform):
    """Score the calibration sample, block by block, before anything is mined.

    In: (block, Block). Side input: the digest up to which queries belong to the sample. Output tags: ``blocks``
    (block, Block with logits), ``rows`` and ``queries`` (0, table), ``counts`` (name, number).
    """

    TAGS = ("blocks", "rows", "queries", "counts")

    def __init__(self, job: Job, target: Target, cutoff: beam.pvalue.AsSingleton) -> None:
        super().__init__()
        self._do = _SampleBlock(job, target)
        self._cutoff = cutoff

    def expand(self, blocks: beam.PCollection) -> Any:
        return blocks | beam.ParDo(self._do, self._cutoff).with_outputs(*self.TAGS)


class _SampleBlock(beam.DoFn):
    def __init__(self, job: Job, target: Target) -> None:
        self._job = job
        self._target = target

    def setup(self) -> None:
        use_threads(self._job.threads)

    def process(self, element: tuple[int, Block], cutoff: int) -> Iterator[Any]:
        number, block = element
        job = self._job
        sampled = in_sample(block.queries, cutoff)
        block = mark_seen(block, job.training)
        done = sample_block(block, job, self._target, sampled, job.texts_of(block), job.score)
        yield beam.pvalue.TaggedOutput("blocks", (number, done.block))
        yield beam.pvalue.TaggedOutput("rows", (0, done.rows))
        yield beam.pvalue.TaggedOutput("queries", (0, done.queries))
        yield beam.pvalue.TaggedOutput("counts", ("pairs_cut", done.cut))
        yield beam.pvalue.TaggedOutput("counts", ("pairs_missing_of_sample", done.missing))
        yield beam.pvalue.TaggedOutput("counts", ("positives_seen_in_training", done.seen))


class Calibrate(beam.PTransform):
    """Make the judge: the sample's rows brought together, so that nothing depends on blocks.

    In: {"rows": (0, table), "queries": (0, table), "missing": (0, number), "seen": (0, number)}. Side input: (source
    name, the model's description as JSON). Out: the judge, as JSON.
    """

    def __init__(
        self, sources: Sequence[Any], policy: Policy, target: Target, k: int, models: beam.pvalue.AsList
    ) -> None:
        super().__init__()
        self._args = (tuple(sources), policy, target, k)
        self._models = models

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection:
        return (
            inputs | beam.CoGroupByKey() | beam.Map(_calibrate, *self._args, models=self._models).with_output_types(str)
        )


def _calibrate(
    element: tuple[int, dict[str, Iterable[Any]]],
    sources: Sequence[Any],
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


def make_judge(
    rows: Sequence[pa.Table],
    queries: Sequence[pa.Table],
    missing: int,
    sources: Sequence[Any],
    policy: Policy,
    target: Target,
    k: int,
    models: dict[str, str],
    seen: int = 0,
) -> CalibratedJudge:
    """Calibrate on the parts of a sample; ``seen``: known positives left out because the judge learned from them.

    Raises:
        HardnegError: pairs of the sample are not scored and could not be.
    """
    if missing:
        raise HardnegError(
            f"{missing:,} pairs of the calibration sample are not scored in this run: add --score-missing to score "
            "them now."
        )
    ids = pa.concat_tables([_NO_QUERIES, *queries])["query_id"].to_pylist()
    schema = pa.schema([*SAMPLE, *((name, pa.float32()) for name in signals_of(sources))])
    table = pa.concat_tables([schema.empty_table(), *rows])
    scored = score_sample(table, ids, sources, policy, target.judge)
    denoising = calibrate(scored, policy, target)
    if seen:
        denoising = replace(
            denoising,
            reason=denoising.reason and f"{denoising.reason}; {_SEEN.format(seen)}",
            sample={**denoising.sample, "positives_seen_in_training": seen},
        )
    if not (denoising.needs_logit or policy.needs_logit):
        models = {name: description for name, description in models.items() if name != CROSS_ENCODER}
    return replace(
        denoising,
        conditions=conditions_of(policy, target, sources, k),
        models={name: model_identity(json.loads(description)) for name, description in sorted(models.items())},
    )


def check_judge(judge: str, conditions: dict[str, Any], name: str, models: list[tuple[str, str]]) -> str:
    """Pass a judge on that was given, if it was made for this selection and these models."""
    described = {source: model_identity(json.loads(description)) for source, description in models}
    CalibratedJudge.from_json(judge, name).check(conditions, described, name)
    return judge

"""A finished run's candidates counted, and its calibration sample taken out of them again. Runs no model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.core.arrays import IntArray
from hardneg.transforms.core.hashing import id_keys
from hardneg.transforms.core.source import LOGIT, Source, first_similarity
from hardneg.transforms.core.text import cut_digest
from hardneg.transforms.corpus.texts import texts_from_segments
from hardneg.transforms.filters.policy import Policy, Rules
from hardneg.transforms.filters.verdicts import Reason
from hardneg.transforms.inputs.evaluation_sets import Holdout
from hardneg.transforms.judge.calibrated_judge import Target
from hardneg.transforms.judge.counts import Scale
from hardneg.transforms.mining.sampling import sample_block
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.reread import stored_block, stored_queries
from hardneg.transforms.output.run_segments import place_candidates, store_segments
from hardneg.transforms.output.run_tables import read_shard
from hardneg.transforms.reports.sample_view import RunSample
from hardneg.transforms.reports.tallies import Tally, tally, total

_NONE = np.zeros(0, dtype=np.uint64)
_NEEDED = ("query_id", "passage_id", "fused_rank", "grade", LOGIT, "judge_score", "verdict", "reason", "selected")


@dataclass(frozen=True)
class SampleTaking:
    """How a run's calibration sample was taken, and what is counted beside it.

    Attributes:
        sources: the retrievers.
        policy: what is demanded of a negative, thresholds aside.
        queries: how many queries the sample has; those of the smallest digests.
        negatives: asked of each query.
        scale: of the judge's score.
    """

    sources: Sequence[Source]
    policy: Policy
    queries: int
    negatives: int
    scale: Scale


def count_and_sample(run: FinishedRun, taking: SampleTaking) -> tuple[Tally, RunSample, int]:
    """Count a run's candidates, take its calibration sample out of them, and count its queries.

    Raises:
        RunError: the run lacks a table or a column.
    """
    ranks = [source.rank for source in taking.sources]
    run.require("candidates", (*_NEEDED, first_similarity(taking.sources), *ranks))
    run.require("passages")
    digests = {number: _digests(path) for number, path in run.require("queries").items()}
    sampled = _sampled_queries(run, digests, taking.queries)
    candidates: dict[int, pa.Table] = {}

    def counted() -> Iterator[Tally]:
        for number, path in run.shards("candidates").items():
            table = read_shard(path)
            if number in sampled:
                mine = sampled[number]["query_id"].combine_chunks()
                candidates[number] = table.filter(pc.is_in(table["query_id"], value_set=mine))
            yield tally(table, taking.sources, taking.negatives, taking.scale)

    whole = total(counted())
    return whole, _sample(run, taking, sampled, candidates), sum(map(len, digests.values()))


def _digests(path: str) -> IntArray:
    """Return the digests of a shard's query ids, int64 (queries,)."""
    ids = read_shard(path, ["query_id"])["query_id"].to_pylist()
    return np.array([cut_digest(each) for each in ids], dtype=np.int64)


def _sampled_queries(run: FinishedRun, digests: dict[int, IntArray], most: int) -> dict[int, pa.Table]:
    """Return the queries of the sample, by shard, in the JOINED schema."""
    smallest = np.sort(np.concatenate(list(digests.values())))[:most]
    cutoff = smallest.max(initial=-1)
    paths = run.shards("queries")
    return {
        number: stored_queries(read_shard(paths[number]).filter(pa.array(each <= cutoff)))
        for number, each in digests.items()
        if (each <= cutoff).any()
    }


def _sample(
    run: FinishedRun, taking: SampleTaking, queries: dict[int, pa.Table], candidates: dict[int, pa.Table]
) -> RunSample:
    """Bring the calibration sample into the shape that calibration takes it in."""
    with tempfile.TemporaryDirectory(prefix="hardneg-report-", ignore_cleanup_errors=True) as work:
        referred = [id_keys(table["passage_id"]) for table in candidates.values()]
        built = store_segments(run, work, np.unique(np.concatenate([_NONE, *referred])))
        rules = Rules(tuple(taking.sources), taking.policy, _held_out(candidates))
        # One block of all shards: each text is looked at once, however many queries found it.
        placed = [place_candidates(own, work, run.parts, built) for _, own in sorted(candidates.items())]
        table = pa.concat_tables([each for _, each in sorted(queries.items())]).sort_by("query_id").combine_chunks()
        block = stored_block(table, pa.concat_tables(placed) if placed else None, taking.sources)
        everything = np.ones(len(table), dtype=np.bool_)
        done = sample_block(block, rules, Target("combined"), everything, texts_from_segments(work), None)
        rows = _with_ranks(done.rows, table["query_id"], done.block.candidates)
    rows = rows.sort_by([("query_id", "ascending"), ("passage_id", "ascending")]).combine_chunks()
    return RunSample(rows, table["query_id"].to_pylist())


def _with_ranks(rows: pa.Table, query_ids: pa.ChunkedArray, candidates: pa.Table) -> pa.Table:
    ranks = candidates.select(["passage_id", "fused_rank"])
    ranks = ranks.append_column("query_id", query_ids.combine_chunks().take(candidates["query"].combine_chunks()))
    return rows.join(ranks, ["query_id", "passage_id"], join_type="left outer", use_threads=False)


def _held_out(candidates: dict[int, pa.Table]) -> Holdout:
    """Return the evaluation sets' passages as far as the run's own reasons tell; their files may not be here."""
    held = [
        id_keys(table["passage_id"].filter(pc.equal(table["reason"], Reason.HELD_OUT))) for table in candidates.values()
    ]
    return Holdout(passage_ids=np.unique(np.concatenate(held))) if held else Holdout()

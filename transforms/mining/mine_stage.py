"""From judged blocks to rows of the output's tables: candidates, triplets, pairs to review, counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

import hardneg.transforms.core.coders  # noqa: F401 - registers Beam's coders of tables and blocks
from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.core.partition import split_by
from hardneg.transforms.core.progress import record
from hardneg.transforms.core.source import Source, first_similarity
from hardneg.transforms.corpus.texts import needed_rows, texts_from_segments, texts_from_table
from hardneg.transforms.filters.screen import Policy
from hardneg.transforms.filters.verdicts import Reason, Verdict
from hardneg.transforms.inputs.evaluation_sets import NOTHING_HELD_OUT, Holdout
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.judge.seen_pairs import NO_DIGESTS, SEEN, Digests, mark_seen, marked_seen, read_digests
from hardneg.transforms.mining.judge_block import Judged, Score, judge_block
from hardneg.transforms.mining.pair_scores import StoredLogits
from hardneg.transforms.models.loaded import from_files, use_threads
from hardneg.transforms.models.served.spec import RemoteSpec
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.output.layout import TRIPLET_KEYS, TRIPLETS


@dataclass
class Mined:
    """The rows that a block gives to the output's tables, and what was counted."""

    candidates: pa.Table
    triplets: pa.Table
    suspect_pairs: pa.Table
    counts: dict[str, int]


def mine_block(
    block: Block,
    sources: Sequence[Source],
    policy: Policy,
    denoising: CalibratedJudge,
    texts_of: TextsOf,
    score: Score | None,
    in_sample: BoolArray | None = None,
    holdout: Holdout = NOTHING_HELD_OUT,
) -> Mined:
    """Judge a block's candidates, choose its negatives, and lay out what is to be written.

    Arguments as in ``scoring.judge_block``.
    """
    judged = judge_block(block, sources, policy, denoising, texts_of, score, in_sample, holdout)
    standing = judged.standing
    if policy.drop_weak_positives:
        standing.reasons[judged.weak] = Reason.WEAK_POSITIVE
    # So that candidates/ alone says which positives are in triplets.
    standing.reasons[standing.positive & standing.held_out] = Reason.HELD_OUT
    positives = standing.positive & ~standing.held_out
    if policy.drop_weak_positives:
        positives &= ~judged.weak
    if policy.relabel_suspected:
        positives |= _is(standing.verdicts, Verdict.SUSPECTED_POSITIVE)
    # What was only looked up, for its text, is no candidate.
    kept = standing.retrieved | standing.positive
    candidates = _with_verdicts(block, sources, judged, policy.pass_through)
    triplets = _triplets(block, _distinct(np.flatnonzero(positives), block.candidates), judged.selected, texts_of)
    return Mined(
        candidates=candidates.filter(pa.array(kept)),
        triplets=triplets,
        suspect_pairs=_suspect_pairs(block, sources, judged, texts_of),
        counts=_counts(len(block.queries), judged, kept, policy.negatives) | {"triplets": len(triplets)},
    )


def _is(verdicts: npt.NDArray[np.object_], verdict: Verdict) -> BoolArray:
    return np.array([each == verdict for each in verdicts], dtype=np.bool_)


def _floats(values: npt.NDArray[Any]) -> pa.Array:
    return pa.array(values, pa.float32(), mask=np.isnan(values))


def _strings(values: npt.NDArray[np.object_]) -> pa.Array:
    return pa.array([value and str(value) for value in values], pa.string())


def _with_verdicts(block: Block, sources: Sequence[Source], judged: Judged, pass_through: Sequence[str]) -> pa.Table:
    """Return the candidates in the layout of the output, plus the columns that place them."""
    candidates, standing = block.candidates, judged.standing
    query = pa.array(standing.query)
    ranks = [candidates[source.rank] for source in sources]
    names = [source.name for source in sources]
    found = np.stack([rank.is_valid().to_numpy(zero_copy_only=False) for rank in ranks], axis=1)
    lists = [[name for name, here in zip(names, row, strict=True) if here] for row in found.tolist()]
    columns: dict[str, Any] = {
        "query_id": block.queries["query_id"].combine_chunks().take(query),
        "passage_id": candidates["passage_id"],
        "segment": candidates["segment"],
        "row": candidates["row"],
        "sources": pa.array(lists, pa.list_(pa.string())),
        **{source.rank: candidates[source.rank] for source in sources},
        **{source.signal: candidates[source.signal] for source in sources if source.signal},
        "fused_rank": candidates["fused_rank"],
        "grade": _floats(standing.grades),
        SEEN: pa.array(marked_seen(candidates), mask=~standing.positive),
        "logit": _floats(judged.logits),
        "judge_score": _floats(judged.scores),
        "verdict": _strings(standing.verdicts),
        "reason": _strings(standing.reasons),
        "selected": pa.array(judged.selected, pa.int32(), mask=judged.selected == 0),
        "difficulty": _floats(judged.difficulty),
        **{name: candidates[name] for name in pass_through},
        "query_digest": block.queries["digest"].combine_chunks().take(query),
    }
    return pa.table(columns)


def _distinct(positives: IntArray, candidates: pa.Table) -> IntArray:
    """Return positives without those that repeat the text of another of their query: its triplets would be equal."""
    query = candidates["query"].to_numpy()
    digests = candidates["text_digest"].take(pa.array(positives)).to_pylist()
    first: dict[tuple[int, bytes], int] = {}
    for owner, digest, row in zip(query[positives].tolist(), digests, positives.tolist(), strict=True):
        first.setdefault((owner, digest), row)
    return np.array(list(first.values()), dtype=np.int64)


def _triplets(block: Block, positives: IntArray, selected: npt.NDArray[np.int32], texts_of: TextsOf) -> pa.Table:
    """Return positives x mined of each query, with the keys that order them in a shard."""
    candidates = block.candidates
    query = candidates["query"].to_numpy()
    negatives = np.flatnonzero(selected)
    mine = np.searchsorted(query[positives], query[negatives], "left")
    ends = np.searchsorted(query[positives], query[negatives], "right")
    counts = ends - mine
    negative = np.repeat(negatives, counts)
    starts = np.repeat(mine - (np.cumsum(counts) - counts), counts)
    positive = positives[starts + np.arange(len(negative))]
    segments, rows = candidates["segment"].to_numpy(), candidates["row"].to_numpy()
    owner = pa.array(query[negative])
    digests = candidates["text_digest"].combine_chunks()
    columns = [
        block.queries["text"].combine_chunks().take(owner),
        pa.array(texts_of(segments[positive], rows[positive]), pa.string()),
        pa.array(texts_of(segments[negative], rows[negative]), pa.string()),
        pa.array(selected[negative], pa.int32()),
        block.queries["digest"].combine_chunks().take(owner),
        block.queries["query_id"].combine_chunks().take(owner),
        candidates["passage_id"].combine_chunks().take(pa.array(positive)),
        block.queries["text_digest"].combine_chunks().take(owner),
        digests.take(pa.array(positive)),
    ]
    return pa.table(columns, schema=pa.schema([*TRIPLETS, *TRIPLET_KEYS]))


def _suspect_pairs(block: Block, sources: Sequence[Source], judged: Judged, texts_of: TextsOf) -> pa.Table:
    """Return the pairs that a person should look at: likely unlabelled positives, and doubtful labelled ones."""
    suspected = _is(judged.standing.verdicts, Verdict.SUSPECTED_POSITIVE)
    rows = np.flatnonzero(suspected | judged.weak)
    place, query = pa.array(rows), pa.array(judged.standing.query[rows])
    candidates, queries = block.candidates, block.queries
    similarity = first_similarity(sources)
    texts = texts_of(candidates["segment"].to_numpy()[rows], candidates["row"].to_numpy()[rows])
    kinds = np.where(suspected[rows], "suspected_positive", "weak_positive")
    return pa.table(
        {
            "query_id": queries["query_id"].combine_chunks().take(query),
            "passage_id": candidates["passage_id"].combine_chunks().take(place),
            "kind": pa.array(kinds.tolist(), pa.string()),
            "reason": _strings(judged.standing.reasons[rows]),
            "judge_score": _floats(judged.scores[rows]),
            "logit": _floats(judged.logits[rows]),
            similarity: candidates[similarity].combine_chunks().take(place),
            "query": queries["text"].combine_chunks().take(query),
            "passage": pa.array(texts, pa.string()),
            "query_digest": queries["digest"].combine_chunks().take(query),
        }
    )


def _counts(queries: int, judged: Judged, kept: BoolArray, negatives: int) -> dict[str, int]:
    standing = judged.standing
    counts = {
        "queries": queries,
        "pairs_retrieved": int(standing.retrieved.sum()),
        "pairs_scored": int((~np.isnan(judged.logits)).sum()),
        "pairs_cut": judged.cut,
        "pairs_missing": judged.missing,
        "positives": int(standing.positive.sum()),
        "positives_retrieved": int((standing.positive & standing.retrieved).sum()),
        "positives_held_out": int((standing.positive & standing.held_out).sum()),
        "weak_positives": int(judged.weak.sum()),
        "mined": int((judged.selected > 0).sum()),
    }
    for verdict in Verdict:
        counts[f"verdict_{verdict}"] = int((standing.verdicts[kept] == verdict).sum())
    for reason in {reason for reason in standing.reasons[kept] if reason}:
        counts[f"reason_{reason}"] = int((standing.reasons[kept] == reason).sum())
    _count_short_queries(counts, queries, judged, kept, negatives)
    return counts


def _count_short_queries(counts: dict[str, int], queries: int, judged: Judged, kept: BoolArray, negatives: int) -> None:
    """Count queries with too few negatives, by what became of most of their candidates."""
    query, verdicts = judged.standing.query[kept], judged.standing.verdicts[kept]
    have = np.bincount(judged.standing.query[judged.selected > 0], minlength=queries)
    for number in np.flatnonzero(have < negatives):
        rows = verdicts[query == number]
        suspected = int((rows == Verdict.SUSPECTED_POSITIVE).sum())
        dropped = int((rows == Verdict.DROPPED).sum())
        if not suspected and not dropped:
            reason = "few_candidates"
        else:
            reason = "suspected_positives" if suspected >= dropped else "dropped"
        for name in ("queries_short", f"queries_short_{reason}"):
            counts[name] = counts.get(name, 0) + 1
        if have[number] == 0:
            counts["queries_without_negatives"] = counts.get("queries_without_negatives", 0) + 1


@dataclass(frozen=True)
class Job:
    """What the stages that judge blocks share.

    Attributes:
        work: the run's work folder.
        sources: the retrievers.
        policy: what is demanded of a negative.
        spec: the cross-encoder; None: nothing is scored, and missing scores are counted.
        holdout: the evaluation sets.
        threads: of one worker; None: as they are.
        fingerprint: of the cross-encoder whose stored scores are used, if there are some.
    """

    work: str
    sources: tuple[Source, ...]
    policy: Policy
    spec: ModelSpec | RemoteSpec | None
    holdout: Holdout
    threads: int | None
    fingerprint: str | None = None

    def texts_of(self, block: Block) -> TextsOf:
        """Return where a block's texts are: with it, if they travelled, or in the segments."""
        return texts_from_table(block.texts) if len(block.texts) else texts_from_segments(self.work)

    @property
    def score(self) -> Score | None:
        return StoredLogits(self.work, self.spec, self.fingerprint) if self.spec else None

    @property
    def training(self) -> Digests | None:
        """The pairs that the cross-encoder was trained on, as far as it says; None where no model runs."""
        spec = self.spec
        if not isinstance(spec, ModelSpec):
            return None if spec is None else NO_DIGESTS
        return from_files(spec, read_digests, "training pairs")


def in_sample(queries: pa.Table, cutoff: int) -> BoolArray:
    """Return which queries of a block belong to the calibration sample, bool; ``cutoff``: the largest digest of it."""
    return queries["digest"].to_numpy() <= cutoff


class MineBlocks(beam.PTransform):
    """Judge and select, block by block; hand rows to the output's shards.

    A plain DoFn instead of RunInference: how many pairs are scored depends on earlier scores of the block, and
    RunInference cuts its batches by timing. In: (block, Block). Side inputs: the judge (JSON) and the digest up to
    which queries belong to the calibration sample. Output tags: ``candidates``, ``triplets``, ``suspect_pairs``,
    ``queries`` (shard, table), ``referred`` (segment, table of rows), ``counts`` (name, number).
    """

    TAGS = ("candidates", "triplets", "suspect_pairs", "queries", "referred", "counts")

    def __init__(self, job: Job, shards: int, judge: beam.pvalue.AsSingleton, cutoff: beam.pvalue.AsSingleton) -> None:
        super().__init__()
        self._do = _MineBlock(job, shards)
        self._sides = (judge, cutoff)

    def expand(self, blocks: beam.PCollection) -> Any:
        return blocks | beam.ParDo(self._do, *self._sides).with_outputs(*self.TAGS)


class _MineBlock(beam.DoFn):
    def __init__(self, job: Job, shards: int) -> None:
        self._job = job
        self._shards = shards

    def setup(self) -> None:
        use_threads(self._job.threads)

    def process(self, element: tuple[int, Block], judge: str, cutoff: int) -> Iterator[Any]:
        _, block = element
        job = self._job
        mined = mine_block(
            mark_seen(block, job.training),
            job.sources,
            job.policy,
            CalibratedJudge.from_json(judge),
            job.texts_of(block),
            job.score,
            in_sample(block.queries, cutoff),
            job.holdout,
        )
        record(job.work, "mine", done=len(block.queries))
        for segment, rows in needed_rows(mined.candidates):
            yield beam.pvalue.TaggedOutput("referred", (segment, rows))
        tables = {
            "candidates": (mined.candidates.drop_columns(["segment", "row"]), "query_digest"),
            "triplets": (mined.triplets, "query_digest"),
            "suspect_pairs": (mined.suspect_pairs, "query_digest"),
            "queries": (block.queries.select(["query_id", "text", "digest"]), "digest"),
        }
        for tag, (table, digest) in tables.items():
            for shard, rows in split_by(table, table[digest].to_numpy() % self._shards):
                yield beam.pvalue.TaggedOutput(tag, (shard, rows))
        for counted in mined.counts.items():
            yield beam.pvalue.TaggedOutput("counts", counted)

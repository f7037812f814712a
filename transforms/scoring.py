"""The block loop: hydrate, score lazily, judge, select, and hand over what is to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from hardneg.transforms import storage
from hardneg.transforms.blocks import Block
from hardneg.transforms.cross_encoder import CrossEncoder, sigmoid
from hardneg.transforms.embedding import store_array, stored_array, texts_digest
from hardneg.transforms.fusion import Source
from hardneg.transforms.hydration import TextsOf, needed_rows, texts_from_segments, texts_from_table
from hardneg.transforms.masking import Verdict, mask_known
from hardneg.transforms.model_files import ModelSpec
from hardneg.transforms.progress import record, timed
from hardneg.transforms.resources import cross_encoder, use_threads
from hardneg.transforms.segments import split_by
from hardneg.transforms.selection import Order, judge_candidates, score_lazily, selection_order
from hardneg.transforms.writing import TRIPLET_KEYS, TRIPLETS

STAGE = "score"


@dataclass(frozen=True)
class Policy:
    """What makes a candidate a negative, how many a query gets, and which columns go along."""

    max_sigmoid: float
    negatives: int
    order: Order
    min_relevance: float
    score_all: bool
    pass_through: tuple[str, ...] = ()

    def passes(self, logits: np.ndarray) -> np.ndarray:
        """Return which logits are below the threshold, bool; NaN is not."""
        return sigmoid(logits) < np.float32(self.max_sigmoid)


@dataclass
class Mined:
    """A block after judging: its candidates with verdicts, its triplets, and what was counted."""

    candidates: pa.Table
    triplets: pa.Table
    counts: dict[str, int]


Score = Callable[[Sequence[str], Sequence[str]], tuple[np.ndarray, np.ndarray]]


def mine_block(block: Block, sources: Sequence[Source], policy: Policy, texts_of: TextsOf, score: Score) -> Mined:
    """Judge a block's candidates and choose its negatives.

    Args:
        block: merged candidates, sorted by query and passage id.
        sources: the retrievers.
        policy: threshold, order and number of negatives.
        texts_of: passage strings by (segment, row).
        score: (query texts, passage strings) to (logits, cut to the maximum length).
    """
    candidates = block.candidates
    query = candidates["query"].to_numpy()
    segments, rows = candidates["segment"].to_numpy(), candidates["row"].to_numpy()
    query_texts = np.array(block.queries["text"].to_pylist(), dtype=object)
    verdicts, reasons, grades = mask_known(block.queries, candidates, policy.min_relevance)
    retrieved = candidates["fused_rank"].is_valid().to_numpy(zero_copy_only=False)
    is_positive = verdicts == Verdict.POSITIVE
    undecided = np.array([verdict is None for verdict in verdicts], dtype=bool)
    cut_pairs = np.zeros(len(candidates), dtype=bool)

    def score_rows(which: np.ndarray) -> np.ndarray:
        logits, cut_pairs[which] = score(query_texts[query[which]].tolist(), texts_of(segments[which], rows[which]))
        return logits

    ordered = selection_order(candidates, retrieved & undecided, policy.order, sources)
    logits = score_lazily(query, ordered, None if policy.score_all else policy.negatives, score_rows, policy.passes)
    positives = np.flatnonzero(is_positive)
    known = is_positive | retrieved & ~undecided if policy.score_all else is_positive
    logits[known] = score_rows(np.flatnonzero(known))
    selected = judge_candidates(query, ordered, logits, policy.passes(logits), policy.negatives, verdicts, reasons)
    # What was only looked up, for its text, is no candidate.
    kept = retrieved | is_positive
    table = _with_verdicts(candidates, sources, logits, verdicts, reasons, grades, selected)
    for name in policy.pass_through:
        table = table.append_column(name, candidates[name])
    mined = Mined(
        candidates=_with_query(table, block.queries, query).filter(pa.array(kept)),
        triplets=_triplets(block, _distinct(positives, query, candidates), selected, texts_of),
        counts=_counts(len(block.queries), query, kept, retrieved, logits, cut_pairs, verdicts, reasons, selected),
    )
    _count_short_queries(
        mined.counts, len(block.queries), query[kept], selected[kept], verdicts[kept], policy.negatives
    )
    return mined


def _with_verdicts(
    candidates: pa.Table,
    sources: Sequence[Source],
    logits: np.ndarray,
    verdicts: np.ndarray,
    reasons: np.ndarray,
    grades: np.ndarray,
    selected: np.ndarray,
) -> pa.Table:
    """Return the candidates in the layout of the output, plus the columns that place them."""
    unscored = np.isnan(logits)
    ranks = [candidates[source.rank] for source in sources]
    names = [source.name for source in sources]
    found = np.stack([rank.is_valid().to_numpy(zero_copy_only=False) for rank in ranks], axis=1)
    lists = [[name for name, here in zip(names, row, strict=True) if here] for row in found.tolist()]
    columns: dict[str, Any] = {
        "query": candidates["query"],
        "passage_id": candidates["passage_id"],
        "segment": candidates["segment"],
        "row": candidates["row"],
        "sources": pa.array(lists, pa.list_(pa.string())),
        **{source.rank: candidates[source.rank] for source in sources},
        **{source.signal: candidates[source.signal] for source in sources if source.signal},
        "fused_rank": candidates["fused_rank"],
        "grade": pa.array(grades, pa.float32(), mask=np.isnan(grades)),
        "logit": pa.array(logits, pa.float32(), mask=unscored),
        # One signal so far: the judge is the cross-encoder.
        "judge_score": pa.array(logits, pa.float32(), mask=unscored),
        "verdict": pa.array([verdict and str(verdict) for verdict in verdicts], pa.string()),
        "reason": pa.array([reason and str(reason) for reason in reasons], pa.string()),
        "selected": pa.array(selected, pa.int32(), mask=selected == 0),
    }
    return pa.table(columns)


def _with_query(table: pa.Table, queries: pa.Table, query: np.ndarray) -> pa.Table:
    place = pa.array(query)
    table = table.set_column(0, "query_id", queries["query_id"].combine_chunks().take(place))
    return table.append_column("query_digest", queries["digest"].combine_chunks().take(place))


def _distinct(positives: np.ndarray, query: np.ndarray, candidates: pa.Table) -> np.ndarray:
    """Return positives without those that repeat the text of another of their query: its triplets would be equal."""
    digests = candidates["text_digest"].take(pa.array(positives)).to_pylist()
    first: dict[tuple[int, bytes], int] = {}
    for owner, digest, row in zip(query[positives].tolist(), digests, positives.tolist(), strict=True):
        first.setdefault((owner, digest), row)
    return np.array(list(first.values()), dtype=np.int64)


def _triplets(block: Block, positives: np.ndarray, selected: np.ndarray, texts_of: TextsOf) -> pa.Table:
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


def _counts(
    queries: int,
    query: np.ndarray,
    kept: np.ndarray,
    retrieved: np.ndarray,
    logits: np.ndarray,
    cut_pairs: np.ndarray,
    verdicts: np.ndarray,
    reasons: np.ndarray,
    selected: np.ndarray,
) -> dict[str, int]:
    positives = verdicts == Verdict.POSITIVE
    counts = {
        "queries": queries,
        "pairs_retrieved": int(retrieved.sum()),
        "pairs_scored": int((~np.isnan(logits)).sum()),
        "pairs_cut": int(cut_pairs.sum()),
        "positives": int(positives.sum()),
        "positives_retrieved": int((positives & retrieved).sum()),
        "mined": int((selected > 0).sum()),
    }
    for verdict in Verdict:
        counts[f"verdict_{verdict}"] = int((verdicts[kept] == verdict).sum())
    for reason in {reason for reason in reasons[kept] if reason}:
        counts[f"reason_{reason}"] = int((reasons[kept] == reason).sum())
    return counts


def _count_short_queries(
    counts: dict[str, int],
    queries: int,
    query: np.ndarray,
    selected: np.ndarray,
    verdicts: np.ndarray,
    negatives: int,
) -> None:
    """Count queries with too few negatives, by what became of most of their candidates."""
    have = np.bincount(query[selected > 0], minlength=queries)
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


class MineBlocks(beam.PTransform):
    """Score, judge and select, block by block; hand rows to the output's shards.

    A plain DoFn instead of RunInference: how many pairs are scored depends on earlier scores of the block, and
    RunInference cuts its batches by timing. In: (block, Block). Output tags: ``candidates``, ``triplets``,
    ``queries`` (shard, table), ``referred`` (segment, table of rows), ``counts`` (name, number).
    """

    TAGS = ("candidates", "triplets", "queries", "referred", "counts")

    def __init__(
        self,
        work: str,
        sources: Sequence[Source],
        policy: Policy,
        spec: ModelSpec,
        shards: int,
        threads: int | None,
    ) -> None:
        super().__init__()
        self._do = _MineBlock(work, sources, policy, spec, shards, threads)

    def expand(self, blocks: beam.PCollection) -> Any:
        return blocks | beam.ParDo(self._do).with_outputs(*self.TAGS)


class _MineBlock(beam.DoFn):
    def __init__(
        self,
        work: str,
        sources: Sequence[Source],
        policy: Policy,
        spec: ModelSpec,
        shards: int,
        threads: int | None,
    ) -> None:
        self._work = work
        self._sources = list(sources)
        self._policy = policy
        self._spec = spec
        self._shards = shards
        self._threads = threads

    def setup(self) -> None:
        use_threads(self._threads)

    def process(self, element: tuple[int, Block]) -> Iterator[Any]:
        _, block = element
        travelled = len(block.texts) > 0
        texts_of = texts_from_table(block.texts) if travelled else texts_from_segments(self._work)
        mined = mine_block(block, self._sources, self._policy, texts_of, self._score)
        record(self._work, "mine", done=len(block.queries))
        candidates = mined.candidates
        for segment, rows in needed_rows(candidates):
            yield beam.pvalue.TaggedOutput("referred", (segment, rows))
        queries = block.queries.select(["query_id", "text", "digest"])
        tables = {
            "candidates": (candidates.drop_columns(["segment", "row"]), "query_digest"),
            "triplets": (mined.triplets, "query_digest"),
            "queries": (queries, "digest"),
        }
        for tag, (table, digest) in tables.items():
            for shard, rows in split_by(table, table[digest].to_numpy() % self._shards):
                yield beam.pvalue.TaggedOutput(tag, (shard, rows))
        for count in mined.counts.items():
            yield beam.pvalue.TaggedOutput("counts", count)

    def _score(self, queries: Sequence[str], passages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Score pairs, or read the scores that a killed run left under the pairs' address."""
        with timed(self._work, STAGE):
            model: CrossEncoder = cross_encoder(self._spec)
            address = texts_digest(model.fingerprint, queries, passages)
            path = storage.join(self._work, "logits", f"{address}.npy")
            stored = stored_array(path)
            if stored is None:
                logits, cut_pairs = model.score(queries, passages, lambda done: record(self._work, STAGE, done=done))
                store_array(path, np.stack([logits, cut_pairs.astype(np.float32)]))
                return logits, cut_pairs
            record(self._work, STAGE, done=len(queries))
            return stored[0], stored[1] > 0

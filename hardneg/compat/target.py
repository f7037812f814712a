"""Negatives at a stated false-negative rate, for live objects: the pipeline's functions on tables in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.compat.pairs import Pairs
from hardneg.compat.request import Request
from hardneg.compat.scores import Found, LiveCrossEncoder
from hardneg.compat.selection import Mined, filter_pool
from hardneg.errors import InputError
from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.core.partition import DIGEST
from hardneg.transforms.core.schemas import BLOCK_TEXTS, JOINED
from hardneg.transforms.core.source import LOGIT, Source
from hardneg.transforms.core.text import cut_digest, text_digest, text_id
from hardneg.transforms.corpus.query_blocks import share_positives
from hardneg.transforms.filters.near_duplicates import DEFAULT_CONTAINMENT
from hardneg.transforms.filters.policy import Policy, Rules
from hardneg.transforms.filters.registry import make_filters
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, JudgeName, Target
from hardneg.transforms.judge.calibration import FALLBACK_POSITIVES, make_judge
from hardneg.transforms.mining.judging import Judged, judge_block
from hardneg.transforms.mining.pair_scores import Score
from hardneg.transforms.mining.sampling import sample_block
from hardneg.transforms.retrieval.dense import pair_similarities

SAMPLE = 400  # queries, as in the pipeline, of whose candidates the cross-encoder scores some 30
FREE_SAMPLE = 4000  # where it scores none

_BLOCK = 256
_DENSE = Source.of_similarity("dense")


def mine_at_rate(found: Found, request: Request, rate: float, judge: JudgeName, seed: int) -> Mined:
    """Calibrate a judge on a sample of the queries, and mine all of them by it, as ``hardneg mine`` does.

    Masks of equal texts and the guard against near-duplicates apply as there, and the order in which candidates are
    tried is that of the similarity, or of a lot. The cross-encoder is asked only for what the sample and the order
    need, unless a filter needed all.

    Args:
        found: candidates, signals and models.
        request: how many negatives, drawn or not; filters that need no labels.
        rate: the false-negative rate asked for.
        judge: which judge.
        seed: of the lot.

    Raises:
        HardnegError: too few known positives for the judge ``bi-encoder``.
    """
    pairs = found.pairs
    if found.cross_encoder is not None and found.positive_scores is not None:
        # Before filters leave only scores of 0 to 1, which might be either.
        found.cross_encoder.logits(np.append(found.pool.scores[found.pool.filled], found.positive_scores))
    alive, skipped = filter_pool(found.pool, found.pool.filled, np.zeros(len(pairs.queries)), request.filters)
    sources = (_DENSE, Source("bm25", signal="bm25")) if found.bm25 else (_DENSE,)
    policy = Policy(
        negatives=request.num_negatives,
        order="random" if request.random else "similarity",
        seed=seed,
        filters=make_filters({"near_duplicates": DEFAULT_CONTAINMENT}),
    )
    rules = Rules(sources, policy)
    documents, denoising = _mine(found, alive, rules, Target(judge, false_negative_rate=rate))
    scores, positive_scores = found.scores_of(documents)
    if request.random:  # drawn in the order of the lot, returned best first
        order = np.argsort(-scores, axis=1, kind="stable")
        documents, scores = (np.take_along_axis(each, order, axis=1) for each in (documents, scores))
    note = f"target_false_negative_rate={rate:g} is {denoising.status}: {denoising.reason}."
    candidates = int((found.pool.filled & ~pairs.positive_among(found.pool.documents)).sum())
    return Mined(documents, scores, positive_scores, skipped, candidates, note)


def _mine(found: Found, alive: BoolArray, rules: Rules, target: Target) -> tuple[IntArray, CalibratedJudge]:
    """Return each query's negatives in the order in which they were tried, -1 behind the last, and the judge."""
    queries = _queries(found.pairs)
    sampled = _sample(queries, SAMPLE if target.judge != "bi-encoder" and not found.scored else FREE_SAMPLE)
    score, texts_of = _scorer(found.cross_encoder), _texts_of(found.pairs)
    taken = []
    for place, block in _blocks(found, alive, queries, sampled):
        taken.append((place, sample_block(block, rules, target, np.ones(len(place), dtype=np.bool_), texts_of, score)))
    rows, ids = [done.rows for _, done in taken], [done.queries for _, done in taken]
    _check_positives(rows, target.judge)
    missing, k = sum(done.pairs.missing for _, done in taken), found.pool.documents.shape[1]
    denoising = make_judge(rows, ids, missing, rules.sources, rules.policy, target, k, {})
    documents = np.full((len(found.pairs.queries), rules.policy.negatives), -1, dtype=np.int64)
    rest = _blocks(found, alive, queries, ~sampled)
    for place, block in itertools.chain(((place, done.block) for place, done in taken), rest):
        in_sample = np.full(len(place), bool(sampled[place[0]]))
        judged = judge_block(block, rules, denoising, texts_of, score, in_sample)
        _place(documents, place, block, judged)
    return documents, denoising


def _place(documents: IntArray, place: IntArray, block: Block, judged: Judged) -> None:
    chosen = np.flatnonzero(judged.selected)
    query = place[judged.screened.query[chosen]]
    documents[query, judged.selected[chosen] - 1] = block.candidates["row"].to_numpy()[chosen]


def _check_positives(rows: Sequence[pa.Table], judge: JudgeName) -> None:
    """Say in this function's own words what the calibration would say in the command line's."""
    positives = sum(int(pc.sum(table["countable"]).as_py() or 0) for table in rows)
    if judge == "bi-encoder" and positives < FALLBACK_POSITIVES:
        raise InputError(
            f"{positives} known positives were retrieved, too few to calibrate the judge 'bi-encoder' by: give more "
            "positives, a larger range_max, or a cross_encoder."
        )


def _scorer(cross_encoder: LiveCrossEncoder | None) -> Score | None:
    if cross_encoder is None:
        return None

    def score(queries: Sequence[str], passages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        pairs = list(zip(queries, passages, strict=True))
        return cross_encoder.logits(cross_encoder.once(pairs)), np.zeros(len(pairs), dtype=np.bool_)

    return score


def _texts_of(pairs: Pairs) -> TextsOf:
    return lambda _, rows: [pairs.corpus[row] for row in rows.tolist()]


def _queries(pairs: Pairs) -> pa.Table:
    """Return the queries as the pipeline's blocks have them, sorted by id, with their place in ``pairs``."""
    ids = [text_id(text) for text in pairs.queries]
    passages = [text_id(pairs.corpus[document]) for document in pairs.document.tolist()]
    judged = [sorted(passages[first:last]) for first, last in zip(pairs.starts[:-1], pairs.starts[1:], strict=True)]
    table = pa.table(
        [
            pa.array(ids, pa.string()),
            pa.array(pairs.queries, pa.string()),
            pa.array([cut_digest(identifier) for identifier in ids], pa.int64()),
            pa.array([text_digest(text) for text in pairs.queries], DIGEST),
            pa.array(judged, pa.list_(pa.string())),
            pa.array([[1.0] * len(passages) for passages in judged], pa.list_(pa.float64())),
            pa.array([[] for _ in ids], pa.list_(pa.string())),
        ],
        schema=JOINED,
    )
    table = share_positives(table, 1.0).append_column("place", pa.array(np.arange(len(ids))))
    return table.sort_by("query_id").combine_chunks()


def _sample(queries: pa.Table, wanted: int) -> BoolArray:
    """Return which queries, by their place in ``pairs``, are of the sample: those of the smallest digests."""
    digests = queries["digest"].to_numpy()
    sampled = np.zeros(len(digests), dtype=np.bool_)
    sampled[queries["place"].to_numpy()[np.argsort(digests, kind="stable")[:wanted]]] = True
    return sampled


def _blocks(found: Found, alive: BoolArray, queries: pa.Table, which: BoolArray) -> Iterator[tuple[IntArray, Block]]:
    """Yield (places in ``pairs``, block) of some queries, a few hundred at a time."""
    table = queries.filter(pa.array(which[queries["place"].to_numpy()]))
    for first in range(0, len(table), _BLOCK):
        part = table.slice(first, _BLOCK).combine_chunks()
        place = part["place"].to_numpy()
        candidates = _candidates(found, alive[place], place)
        yield place, Block(part.drop_columns(["place"]), candidates, BLOCK_TEXTS.empty_table())


def _candidates(found: Found, alive: BoolArray, place: IntArray) -> pa.Table:
    """Return candidates and positives of some queries with every signal, sorted by query and passage id."""
    query, document, rank, score = _gathered(found, alive, place)
    texts = [found.pairs.corpus[row] for row in document.tolist()]
    columns = {
        "query": pa.array(query, pa.int32()),
        "segment": pa.array(np.zeros(len(query)), pa.int32()),
        "row": pa.array(document, pa.int32()),
        "passage_id": pa.array([text_id(text) for text in texts], pa.string()),
        "text_digest": pa.array([text_digest(text) for text in texts], DIGEST),
        "fused_rank": pa.array(rank, pa.int32(), mask=rank == 0),
    }
    vectors = found.vectors
    columns["similarity_dense"] = pa.array(
        pair_similarities(vectors.queries, place[query], vectors.corpus, document), pa.float32()
    )
    if found.bm25 is not None:
        order = np.argsort(place[query], kind="stable")
        signal = np.empty(len(query), dtype=np.float32)
        signal[order] = found.bm25.signal(place[query][order], document[order])
        columns["bm25"] = pa.array(signal, pa.float32())
    if score is not None and found.cross_encoder is not None:
        columns[LOGIT] = pa.array(found.cross_encoder.logits(score), pa.float32())
    return pa.table(columns).sort_by([("query", "ascending"), ("passage_id", "ascending")]).combine_chunks()


def _gathered(
    found: Found, alive: BoolArray, place: IntArray
) -> tuple[IntArray, IntArray, IntArray, np.ndarray | None]:
    """Return query (in the block), document, rank (0: not retrieved, or filtered out) and score of each pair."""
    pairs, pool = found.pairs, found.pool
    size = len(pairs.corpus)
    rows, ranks = np.nonzero(alive)
    positives = np.concatenate([np.arange(pairs.starts[each], pairs.starts[each + 1]) for each in place])
    owner = np.repeat(np.arange(len(place)), np.diff(pairs.starts)[place])
    keys = np.concatenate([rows * size + pool.documents[place][rows, ranks], owner * size + pairs.document[positives]])
    distinct, first = np.unique(keys, return_index=True)  # a positive that was retrieved: its place in the pool
    rank = np.concatenate([ranks + 1, np.zeros(len(positives), dtype=np.int64)])[first]
    score = None
    if found.cross_encoder is not None and found.positive_scores is not None:
        score = np.concatenate([pool.scores[place][rows, ranks], found.positive_scores[positives]])[first]
    return distinct // size, distinct % size, rank, score

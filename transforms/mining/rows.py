"""From a judged block to rows of the output's tables: candidates, triplets, pairs to review, counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.core.source import LOGIT, Source, first_similarity
from hardneg.transforms.filters.decisions import Decisions
from hardneg.transforms.filters.policy import Rules
from hardneg.transforms.filters.screening import Screened
from hardneg.transforms.filters.verdicts import LIKE_A_POSITIVE, Reason, Verdict
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.judge.seen_pairs import SEEN, marked_seen
from hardneg.transforms.mining.judging import Judged, judge_block
from hardneg.transforms.mining.pair_scores import Score
from hardneg.transforms.output.layout import TRIPLET_KEYS, TRIPLETS
from hardneg.transforms.output.pairing import all_of_query, every_pair, first_of_each_text, side_by_side


@dataclass
class Mined:
    """The rows that a block gives to the output's tables, what was counted, and how many known logits were used."""

    candidates: pa.Table
    triplets: pa.Table
    suspect_pairs: pa.Table
    counts: dict[str, int]
    stored: int


def mine_block(
    block: Block,
    rules: Rules,
    calibrated: CalibratedJudge,
    texts_of: TextsOf,
    score: Score | None,
    in_sample: BoolArray | None = None,
) -> Mined:
    """Judge a block's candidates, choose its negatives, and lay out what is to be written.

    Arguments as in ``judge_block``.
    """
    policy, sources = rules.policy, rules.sources
    judged = judge_block(block, rules, calibrated, texts_of, score, in_sample)
    screened, decisions = judged.screened, judged.screened.decisions
    if policy.drop_weak_positives:
        decisions.explain(judged.weak, Reason.WEAK_POSITIVE)
    # So that candidates/ alone says which positives are in triplets.
    decisions.explain(screened.positive & screened.held_out, Reason.HELD_OUT)
    positives = screened.positive & ~screened.held_out
    if policy.drop_weak_positives:
        positives &= ~judged.weak
    if policy.relabel_suspected:
        positives |= decisions.are(Verdict.SUSPECTED_POSITIVE)
    # What was only looked up, for its text, is no candidate.
    kept = screened.retrieved | screened.positive
    candidates = _with_verdicts(block, sources, judged, policy.pass_through)
    rows = np.flatnonzero(positives)
    digests = block.candidates["text_digest"].take(pa.array(rows)).to_pylist()
    rows = rows[first_of_each_text(screened.query[rows], digests)]
    avoided = kept & _avoided(screened, decisions)
    triplets = _triplets(block, rows, judged.selected, avoided, texts_of)
    return Mined(
        candidates=candidates.filter(pa.array(kept)),
        triplets=triplets,
        suspect_pairs=_suspect_pairs(block, sources, judged, texts_of),
        counts=_counts(len(block.queries), judged, kept, policy.negatives) | {"triplets": len(triplets)},
        stored=judged.pairs.stored,
    )


def _floats(values: npt.NDArray[Any]) -> pa.Array:
    return pa.array(values, pa.float32(), mask=np.isnan(values))


def _with_verdicts(block: Block, sources: Sequence[Source], judged: Judged, pass_through: Sequence[str]) -> pa.Table:
    """Return the candidates in the layout of the output, plus the columns that place them."""
    candidates, screened = block.candidates, judged.screened
    query = pa.array(screened.query)
    ranks = [candidates[source.rank] for source in sources]
    names = [source.name for source in sources]
    found = np.stack([rank.is_valid().to_numpy(zero_copy_only=False) for rank in ranks], axis=1)
    lists = [[name for name, here in zip(names, row, strict=True) if here] for row in found.tolist()]
    verdicts, reasons = screened.decisions.columns()
    columns: dict[str, Any] = {
        "query_id": block.queries["query_id"].combine_chunks().take(query),
        "passage_id": candidates["passage_id"],
        "segment": candidates["segment"],
        "row": candidates["row"],
        "sources": pa.array(lists, pa.list_(pa.string())),
        **{source.rank: candidates[source.rank] for source in sources},
        **{source.signal: candidates[source.signal] for source in sources if source.signal},
        "fused_rank": candidates["fused_rank"],
        "grade": _floats(screened.grades),
        SEEN: pa.array(marked_seen(candidates), mask=~screened.positive),
        LOGIT: _floats(judged.logits),
        "judge_score": _floats(judged.scores),
        "verdict": verdicts,
        "reason": reasons,
        "selected": pa.array(judged.selected, pa.int32(), mask=judged.selected == 0),
        "difficulty": _floats(judged.difficulty),
        **{name: candidates[name] for name in pass_through},
        "query_digest": block.queries["digest"].combine_chunks().take(query),
    }
    return pa.table(columns)


def _avoided(screened: Screened, decisions: Decisions) -> BoolArray:
    """Return which candidates their query's rows are to meet in no batch: what is, or may be, relevant to it."""
    avoided = screened.positive | decisions.are(Verdict.SUSPECTED_POSITIVE)
    for reason in LIKE_A_POSITIVE:
        avoided |= decisions.because(reason) & decisions.are(Verdict.DROPPED)
    return avoided


def _triplets(
    block: Block, positives: IntArray, selected: npt.NDArray[np.int32], avoided: BoolArray, texts_of: TextsOf
) -> pa.Table:
    """Return positives x mined of each query, with the keys that order them in a shard."""
    candidates = block.candidates
    query = candidates["query"].to_numpy()
    mined = np.flatnonzero(selected)
    places, negatives = every_pair(query[positives], query[mined])
    positive, negative = positives[places], mined[negatives]
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
        side_by_side([digests.take(pa.array(positive)), digests.take(pa.array(negative))]),
        all_of_query(query[negative], query[avoided], digests.filter(pa.array(avoided))),
    ]
    return pa.table(columns, schema=pa.schema([*TRIPLETS, *TRIPLET_KEYS]))


def _suspect_pairs(block: Block, sources: Sequence[Source], judged: Judged, texts_of: TextsOf) -> pa.Table:
    """Return the pairs that a person should look at: likely unlabelled positives, and doubtful labelled ones."""
    decisions = judged.screened.decisions
    suspected = decisions.are(Verdict.SUSPECTED_POSITIVE)
    _, reasons = decisions.columns()
    rows = np.flatnonzero(suspected | judged.weak)
    place, query = pa.array(rows), pa.array(judged.screened.query[rows])
    candidates, queries = block.candidates, block.queries
    similarity = first_similarity(sources)
    texts = texts_of(candidates["segment"].to_numpy()[rows], candidates["row"].to_numpy()[rows])
    kinds = np.where(suspected[rows], "suspected_positive", "weak_positive")
    return pa.table(
        {
            "query_id": queries["query_id"].combine_chunks().take(query),
            "passage_id": candidates["passage_id"].combine_chunks().take(place),
            "kind": pa.array(kinds.tolist(), pa.string()),
            "reason": reasons.take(place),
            "judge_score": _floats(judged.scores[rows]),
            LOGIT: _floats(judged.logits[rows]),
            similarity: candidates[similarity].combine_chunks().take(place),
            "query": queries["text"].combine_chunks().take(query),
            "passage": pa.array(texts, pa.string()),
            "query_digest": queries["digest"].combine_chunks().take(query),
        }
    )


def _counts(queries: int, judged: Judged, kept: BoolArray, negatives: int) -> dict[str, int]:
    screened, decisions = judged.screened, judged.screened.decisions
    counts = {
        "queries": queries,
        "pairs_retrieved": int(screened.retrieved.sum()),
        "pairs_scored": int((~np.isnan(judged.logits)).sum()),
        "pairs_cut": judged.pairs.cut,
        "pairs_missing": judged.pairs.missing,
        "positives": int(screened.positive.sum()),
        "positives_retrieved": int((screened.positive & screened.retrieved).sum()),
        "positives_held_out": int((screened.positive & screened.held_out).sum()),
        "weak_positives": int(judged.weak.sum()),
        "mined": int((judged.selected > 0).sum()),
    }
    for verdict in Verdict:
        counts[f"verdict_{verdict}"] = int((decisions.are(verdict) & kept).sum())
    for reason in decisions.words:
        if number := int((decisions.because(reason) & kept).sum()):
            counts[f"reason_{reason}"] = number
    _count_short_queries(counts, queries, judged, kept, negatives)
    return counts


def _count_short_queries(counts: dict[str, int], queries: int, judged: Judged, kept: BoolArray, negatives: int) -> None:
    """Count queries with too few negatives, by what became of most of their candidates."""
    query, decisions = judged.screened.query, judged.screened.decisions
    of_query = [
        np.bincount(query[decisions.are(verdict) & kept], minlength=queries)
        for verdict in (Verdict.SUSPECTED_POSITIVE, Verdict.DROPPED)
    ]
    have = np.bincount(judged.screened.query[judged.selected > 0], minlength=queries)
    for number in np.flatnonzero(have < negatives):
        suspected, dropped = (int(counted[number]) for counted in of_query)
        if not suspected and not dropped:
            reason = "few_candidates"
        else:
            reason = "suspected_positives" if suspected >= dropped else "dropped"
        for name in ("queries_short", f"queries_short_{reason}"):
            counts[name] = counts.get(name, 0) + 1
        if have[number] == 0:
            counts["queries_without_negatives"] = counts.get("queries_without_negatives", 0) + 1

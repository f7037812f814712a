"""A block's part of the calibration sample: screened, scored, and laid out as rows of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray, IntArray
from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.core.source import LOGIT
from hardneg.transforms.filters.order import pair_lots, selection_score
from hardneg.transforms.filters.policy import Rules
from hardneg.transforms.filters.screening import Screened, candidates_for, screen
from hardneg.transforms.judge.calibrated_judge import Target
from hardneg.transforms.judge.sample import signals_of
from hardneg.transforms.judge.sample_rows import SampleRows, all_rows, sample_rows
from hardneg.transforms.judge.seen_pairs import marked_seen
from hardneg.transforms.mining.pair_scores import PairScores, Score
from hardneg.transforms.mining.screen_once import keep_screened

_LOTS = "calibration sample"  # of the lots by which deeper candidates are drawn


@dataclass(frozen=True)
class Sampled:
    """A block whose sample was scored.

    Attributes:
        block: with what is known now, so that mining finds out nothing again.
        rows: of the sample.
        queries: ids of its queries.
        pairs: its pairs, with how many of them were scored, cut, missing.
        seen: known positives that do not count, as the judge learned from them.
    """

    block: Block
    rows: pa.Table
    queries: pa.Table
    pairs: PairScores
    seen: int


def sample_block(
    block: Block, rules: Rules, target: Target, sampled: BoolArray, texts_of: TextsOf, score: Score | None
) -> Sampled:
    """Score a block's part of the calibration sample.

    Args:
        block: merged candidates.
        rules: retrievers, policy, evaluation sets.
        target: what is asked of the judge; decides whether candidates are scored, or known positives alone.
        sampled: bool (queries,).
        texts_of: passage strings by (segment, row).
        score: as in ``PairScores``.

    Returns:
        the block, its candidates with the column ``logit`` and with what screening gave for the sample, and rows of
        the SAMPLE schema with all signals.
    """
    policy = rules.policy
    mine = np.flatnonzero(sampled[block.candidates["query"].to_numpy()])
    part = replace(block, candidates=block.candidates.take(pa.array(mine)).combine_chunks())
    screened = screen(part.queries, part.candidates, rules, texts_of)
    pairs = PairScores.of(part, texts_of, score)
    rows = np.flatnonzero(screened.in_window | screened.positive)
    chosen = rows_to_score(part, screened, rules)
    if target.judge != "bi-encoder" or policy.needs_logit:
        sampled_rows = chosen.weight > 0 if target.needs_sample else np.zeros(len(screened.query), dtype=np.bool_)
        pairs.ask(np.flatnonzero(sampled_rows | screened.positive))
    candidates = keep_screened(_with_logits(block.candidates, pairs.known, mine), screened, mine)
    # What the judge learned from says nothing about how it scores what it did not.
    seen = marked_seen(part.candidates) & screened.countable
    screened.countable &= ~seen
    return Sampled(
        block=replace(block, candidates=candidates),
        rows=_laid_out(part, rules, target, screened, chosen, pairs, texts_of).take(pa.array(rows)),
        queries=block.queries.select(["query_id"]).filter(pa.array(sampled)),
        pairs=pairs,
        seen=int(seen[rows].sum()),
    )


def _with_logits(candidates: pa.Table, known: npt.NDArray[np.float32], rows: IntArray) -> pa.Table:
    """Return candidates whose column ``logit`` has, in some rows, what is known now."""
    logits = np.full(len(candidates), np.nan, dtype=np.float32)
    if LOGIT in candidates.column_names:
        logits = candidates[LOGIT].fill_null(np.nan).to_numpy().astype(np.float32)
        candidates = candidates.drop_columns([LOGIT])
    logits[rows] = known
    return candidates.append_column(LOGIT, pa.array(logits, pa.float32(), mask=np.isnan(logits)))


def rows_to_score(block: Block, screened: Screened, rules: Rules) -> SampleRows:
    """Return which rows of a block the cross-encoder scores where they are of a query of the calibration sample.

    Args:
        block: merged candidates; marked, where some are pairs that the judge learned from.
        screened: the same.
        rules: retrievers, policy, evaluation sets.
    """
    countable = screened.countable & ~marked_seen(block.candidates)
    if rules.policy.order == "judge":
        return all_rows(screened.eligible, countable)
    ids = _query_ids(block, screened)
    order = selection_score(block.candidates, ids, rules.policy.order, rules.sources, rules.policy.seed)
    lots = pair_lots(_LOTS, ids, block.candidates["passage_id"])
    return sample_rows(screened.query, screened.eligible, countable, order, lots, rules.policy.negatives)


def _query_ids(block: Block, screened: Screened) -> pa.ChunkedArray:
    return block.queries["query_id"].combine_chunks().take(pa.array(screened.query))


def _laid_out(
    block: Block,
    rules: Rules,
    target: Target,
    screened: Screened,
    chosen: SampleRows,
    pairs: PairScores,
    texts_of: TextsOf,
) -> pa.Table:
    candidates, policy = block.candidates, rules.policy
    ids = _query_ids(block, screened)
    order = np.zeros(len(ids))
    if policy.order != "judge":
        order = selection_score(candidates, ids, policy.order, rules.sources, policy.seed)
    logits = pairs.logits
    left = np.ones(len(ids), dtype=np.bool_)
    if target.needs_sample:
        seen = candidates_for(screened, block.queries, candidates, rules, texts_of)
        seen.asked, seen.logits = ~np.isnan(logits), logits
        for each in policy.thresholds:
            if not each.of_labels:
                left &= ~(each.applies(seen) & seen.asked)
    columns = {
        "query_id": ids,
        "passage_id": candidates["passage_id"],
        "order": order,
        "in_window": screened.in_window,
        "is_positive": screened.positive,
        "countable": screened.countable & left,
        "is_candidate": screened.eligible & left,
        "in_order": chosen.in_order,
        "weight": np.where(screened.positive, 1, chosen.weight),
        LOGIT: pa.array(logits, pa.float32(), mask=np.isnan(logits)),
        **{name: candidates[name] for name in signals_of(rules.sources) if name != LOGIT},
    }
    return pa.table(columns).combine_chunks()

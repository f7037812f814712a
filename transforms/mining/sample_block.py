"""A block's part of the calibration sample: screened, scored, and laid out as rows of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.filters.order import selection_score
from hardneg.transforms.filters.policy import Rules
from hardneg.transforms.filters.screen import Screened, screen
from hardneg.transforms.judge.calibrated_judge import Target
from hardneg.transforms.judge.sample import signals_of
from hardneg.transforms.judge.seen_pairs import marked_seen
from hardneg.transforms.mining.pair_scores import PairScores, Score, pair_scores


@dataclass(frozen=True)
class Sampled:
    """A block whose sample was scored: the block, the sample's rows, and how many pairs were cut, missing, seen."""

    block: Block
    rows: pa.Table
    queries: pa.Table
    cut: int
    missing: int
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
        the block, its candidates with the column ``logit``, and rows of the SAMPLE schema with all signals.
    """
    policy = rules.policy
    screened = screen(block.queries, block.candidates, rules, texts_of)
    pairs = pair_scores(block, texts_of, score)
    mine = sampled[screened.query]
    rows = np.flatnonzero(mine & (screened.in_window | screened.positive))
    if target.needs_sample and (target.judge != "bi-encoder" or policy.needs_logit):
        pairs.ask(rows)
    elif target.judge != "bi-encoder" or policy.needs_logit:
        pairs.ask(np.flatnonzero(mine & screened.positive))
    known = pa.array(pairs.known, pa.float32(), mask=np.isnan(pairs.known))
    candidates = block.candidates
    # What the judge learned from says nothing about how it scores what it did not.
    seen = marked_seen(candidates) & screened.countable
    screened.countable &= ~seen
    if "logit" in candidates.column_names:
        candidates = candidates.drop_columns(["logit"])
    return Sampled(
        block=replace(block, candidates=candidates.append_column("logit", known)),
        rows=_sample_rows(block, rules, screened, pairs).take(pa.array(rows)),
        queries=block.queries.select(["query_id"]).filter(pa.array(sampled)),
        cut=pairs.cut,
        missing=pairs.missing,
        seen=int(seen[rows].sum()),
    )


def _sample_rows(block: Block, rules: Rules, screened: Screened, pairs: PairScores) -> pa.Table:
    candidates, policy = block.candidates, rules.policy
    ids = block.queries["query_id"].combine_chunks().take(pa.array(screened.query))
    order = np.zeros(len(ids))
    if policy.order != "judge":
        order = selection_score(candidates, ids, policy.order, rules.sources, policy.seed)
    columns = {
        "query_id": ids,
        "passage_id": candidates["passage_id"],
        "order": order,
        "in_window": screened.in_window,
        "is_positive": screened.positive,
        "countable": screened.countable,
        "is_candidate": screened.open & screened.in_window,
        "logit": pa.array(pairs.logits, pa.float32(), mask=np.isnan(pairs.logits)),
        **{name: candidates[name] for name in signals_of(rules.sources) if name != "logit"},
    }
    return pa.table(columns).combine_chunks()

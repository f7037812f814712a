"""What can be decided about a block's candidates before anything is scored, so that none of it ever is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.arrays import BoolArray, FloatArray, IntArray
from hardneg.transforms.core.block import TextsOf
from hardneg.transforms.filters.decisions import Decisions
from hardneg.transforms.filters.filter import Candidates
from hardneg.transforms.filters.known import mask_known, masks_of_run
from hardneg.transforms.filters.policy import Rules
from hardneg.transforms.filters.twins import repeat_positives, repeat_query
from hardneg.transforms.filters.verdicts import Reason, Verdict


@dataclass
class Screened:
    """Where each candidate of a block stands before anything is scored. Arrays have one entry a candidate.

    Attributes:
        query: int64; the row of its query in the block.
        retrieved: bool; some retriever found it.
        in_window: bool; retrieved, with a fused rank inside the window.
        decisions: verdicts and reasons, as far as there are some.
        grades: float64; NaN where unjudged.
        positive: bool; known positives.
        countable: bool; known positives that stand for unlabelled ones in a calibration: in the window, and not
            removed by what removes candidates, judged against the query's *other* positives.
        held_out: bool; must not appear in a triplet.
    """

    query: IntArray
    retrieved: BoolArray
    in_window: BoolArray
    decisions: Decisions
    grades: FloatArray
    positive: BoolArray
    countable: BoolArray
    held_out: BoolArray

    @classmethod
    def of(
        cls,
        candidates: pa.Table,
        rules: Rules,
        decisions: Decisions,
        grades: FloatArray,
        countable: BoolArray,
        held_out: BoolArray,
    ) -> Screened:
        """Return what was decided about a block's candidates, with what follows from the candidates alone."""
        rank = candidates["fused_rank"].fill_null(0).to_numpy()
        return cls(
            query=candidates["query"].to_numpy().astype(np.int64),
            retrieved=rank > 0,
            in_window=rules.policy.window.inside(rank),
            decisions=decisions,
            grades=grades,
            positive=decisions.are(Verdict.POSITIVE),
            countable=countable,
            held_out=held_out,
        )

    @property
    def open(self) -> BoolArray:
        """Candidates that nothing has been decided about."""
        return self.decisions.open

    @property
    def eligible(self) -> BoolArray:
        """Candidates that may still become negatives."""
        return self.open & self.in_window


def screen(queries: pa.Table, candidates: pa.Table, rules: Rules, texts_of: TextsOf) -> Screened:
    """Apply the masks and every filter that needs no logit.

    Args:
        queries: the block's, of the JOINED schema.
        candidates: merged ones, sorted by query and passage id. If they have the columns ``verdict``, ``reason``
            and ``grade`` of a finished run, its masks are taken over instead of made again.
        rules: retrievers, policy, evaluation sets.
        texts_of: passage strings by (segment, row).
    """
    policy = rules.policy
    stored = "verdict" in candidates.column_names
    decisions, grades = masks_of_run(candidates) if stored else mask_known(queries, candidates, policy.min_relevance)
    held_out = rules.holdout.passages(candidates["passage_id"], candidates["text_digest"])
    _, not_relevant = rules.marks.find(queries, candidates, candidates["query"].to_numpy().astype(np.int64))
    grades[not_relevant & np.isnan(grades)] = 0.0  # judged, as a grade of 0 is
    screened = Screened.of(candidates, rules, decisions, grades, decisions.are(Verdict.POSITIVE), held_out)
    screened.countable &= screened.retrieved
    screened.countable &= ~_repeats_other_positive(candidates, screened)
    seen = candidates_for(screened, queries, candidates, rules, texts_of)
    _mask_bare_texts(seen, screened)
    for guard in policy.guards:
        open_ = screened.open & screened.retrieved
        seen.asked = open_ | screened.countable
        caught = guard.applies(seen)
        if not guard.of_labels:
            screened.countable &= ~caught
        decisions.decide(caught & open_, guard.verdict, guard.reason)
    return screened


def _mask_bare_texts(seen: Candidates, screened: Screened) -> None:
    """Apply the masks that compare bare texts; a positive that is another one in other wrapping does not count."""
    decisions = screened.decisions
    open_ = screened.open & screened.retrieved
    known = screened.positive | decisions.because(Reason.POSITIVE_OF_EQUAL_QUERY)
    caught = repeat_positives(seen, np.flatnonzero(open_ | screened.countable), known)
    screened.countable &= ~caught
    decisions.decide(caught & open_, Verdict.DROPPED, Reason.EQUAL_TO_POSITIVE)
    own = repeat_query(seen, np.flatnonzero(open_ & ~caught))
    decisions.decide(own, Verdict.DROPPED, Reason.EQUAL_TO_QUERY)


def candidates_for(
    screened: Screened, queries: pa.Table, candidates: pa.Table, rules: Rules, texts_of: TextsOf
) -> Candidates:
    """Return a block's candidates as filters see them, none of them scored."""
    return Candidates(
        table=candidates,
        queries=queries,
        query=screened.query,
        positive=screened.positive,
        held_out=screened.held_out,
        marked=rules.marks.find(queries, candidates, screened.query)[0],
        asked=np.zeros(len(candidates), dtype=np.bool_),
        sources=rules.sources,
        texts_of=texts_of,
        logits=np.full(len(candidates), np.nan, dtype=np.float32),
    )


def _repeats_other_positive(candidates: pa.Table, screened: Screened) -> BoolArray:
    """Return which positives have the text of another of their query: as candidates they would be masked."""
    repeats = np.zeros(len(candidates), dtype=np.bool_)
    seen: dict[tuple[int, bytes], int] = {}
    rows = np.flatnonzero(screened.positive)
    digests = candidates["text_digest"].take(pa.array(rows)).to_pylist()
    for row, digest in zip(rows.tolist(), digests, strict=True):
        other = seen.setdefault((int(screened.query[row]), digest), row)
        if other != row:
            repeats[[row, other]] = True
    return repeats

"""What is known not to be a negative: the first verdicts, from judgements and equal texts alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.core.arrays import FloatArray
from hardneg.transforms.filters.decisions import Decisions
from hardneg.transforms.filters.verdicts import MASKS, Reason, Verdict

# Passages of one text may be known in several ways: the first counts, whatever their ids.
_BY_TEXT = (Reason.EQUAL_TO_POSITIVE, Reason.PARTIALLY_RELEVANT, Reason.NEGATIVE_GRADE, Reason.EQUAL_TO_QUERY)


def mask_known(queries: pa.Table, candidates: pa.Table, min_relevance: float) -> tuple[Decisions, FloatArray]:
    """Return what is decided about each candidate, and its grade: float64 (n,), NaN where unjudged.

    Texts are compared by the digest of their normalised form. A passage that repeats the text of a positive,
    of a masked passage or of the query itself is masked as they are, whatever its id.

    Args:
        queries: columns text_digest, judged_ids, judged_grades, shared_ids.
        candidates: sorted by query; columns query, passage_id, text_digest, fused_rank.
    """
    decisions = Decisions.nothing(len(candidates))
    grades = np.full(len(candidates), np.nan)
    ids = candidates["passage_id"].to_pylist()
    digests = candidates["text_digest"].to_pylist()
    ranks = candidates["fused_rank"].fill_null(np.iinfo(np.int32).max).to_numpy()
    ends = np.searchsorted(candidates["query"].to_numpy(), np.arange(len(queries) + 1))
    known = queries.select(["text_digest", "judged_ids", "judged_grades", "shared_ids"])
    for number, query in enumerate(known.to_pylist()):
        rows = range(ends[number], ends[number + 1])
        judged = dict(zip(query["judged_ids"], query["judged_grades"], strict=True))
        shared = set(query["shared_ids"])
        by_text: dict[bytes, Reason] = {query["text_digest"]: Reason.EQUAL_TO_QUERY}
        for row in rows:
            grade = judged.get(ids[row])
            if grade is not None:
                grades[row] = grade
            reason = _by_judgement(grade, ids[row] in shared, min_relevance)
            if grade is not None and grade >= min_relevance:
                decisions.decide(row, Verdict.POSITIVE)
                by_text[digests[row]] = Reason.EQUAL_TO_POSITIVE
            elif reason:
                decisions.decide(row, Verdict.DROPPED, reason)
                same = Reason.EQUAL_TO_POSITIVE if reason == Reason.POSITIVE_OF_EQUAL_QUERY else reason
                by_text[digests[row]] = min(same, by_text.get(digests[row], same), key=_BY_TEXT.index)
        _mask_texts(rows, digests, ranks, by_text, decisions)
    return decisions, grades


def _by_judgement(grade: float | None, shared: bool, min_relevance: float) -> Reason | None:
    if shared:
        return Reason.POSITIVE_OF_EQUAL_QUERY
    if grade is not None and 0 < grade < min_relevance:
        return Reason.PARTIALLY_RELEVANT
    if grade is not None and grade < 0:
        return Reason.NEGATIVE_GRADE
    return None


def _mask_texts(
    rows: Sequence[int],
    digests: list[bytes],
    ranks: np.ndarray,
    by_text: dict[bytes, Reason],
    decisions: Decisions,
) -> None:
    """Drop a query's rows that repeat a known text, then all but the best-ranked of equal texts."""
    best: set[bytes] = set()
    open_ = decisions.open
    for row in sorted(rows, key=lambda row: (ranks[row], row)):
        if not open_[row]:
            continue
        if digests[row] in by_text:
            decisions.decide(row, Verdict.DROPPED, by_text[digests[row]])
        elif digests[row] in best:
            decisions.decide(row, Verdict.DROPPED, Reason.DUPLICATE)
        best.add(digests[row])


def masks_of_run(candidates: pa.Table) -> tuple[Decisions, FloatArray]:
    """Return what ``mask_known`` decided for a finished run, from its columns ``verdict``, ``reason`` and ``grade``.

    Its other verdicts came from its policy, and are made again.
    """
    masks = [str(mask.reason) for mask in MASKS]
    known = pc.equal(candidates["verdict"], Verdict.POSITIVE)
    masked = pc.and_(pc.invert(known), pc.is_in(candidates["reason"], value_set=pa.array(masks)))
    decisions = Decisions.nothing(len(candidates))
    decisions.decide(known.to_numpy(), Verdict.POSITIVE)
    for mask in masks:
        rows = pc.and_(masked, pc.fill_null(pc.equal(candidates["reason"], mask), False))
        decisions.decide(rows.to_numpy(), Verdict.DROPPED, mask)
    grades = candidates["grade"].cast(pa.float64()).fill_null(np.nan).to_numpy()
    return decisions, grades.astype(np.float64)

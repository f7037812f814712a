"""What is known not to be a negative: the first verdicts, from judgements and equal texts alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hardneg.transforms.filters.verdicts import Reason, Verdict

# Passages of one text may be known in several ways: the first counts, whatever their ids.
_BY_TEXT = (Reason.EQUAL_TO_POSITIVE, Reason.PARTIALLY_RELEVANT, Reason.NEGATIVE_GRADE, Reason.EQUAL_TO_QUERY)


def mask_known(
    queries: pa.Table, candidates: pa.Table, min_relevance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return verdict (None: open), reason (None: none) and grade (NaN: unjudged) of each candidate.

    Texts are compared by the digest of their normalised form. A passage that repeats the text of a positive,
    of a masked passage or of the query itself is masked as they are, whatever its id.

    Args:
        queries: columns text_digest, judged_ids, judged_grades, shared_ids.
        candidates: sorted by query; columns query, passage_id, text_digest, fused_rank.
    """
    verdicts = np.full(len(candidates), None, dtype=object)
    reasons = np.full(len(candidates), None, dtype=object)
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
                verdicts[row] = Verdict.POSITIVE
                by_text[digests[row]] = Reason.EQUAL_TO_POSITIVE
            elif reason:
                verdicts[row], reasons[row] = Verdict.DROPPED, reason
                same = Reason.EQUAL_TO_POSITIVE if reason == Reason.POSITIVE_OF_EQUAL_QUERY else reason
                by_text[digests[row]] = min(same, by_text.get(digests[row], same), key=_BY_TEXT.index)
        _mask_texts(rows, digests, ranks, by_text, verdicts, reasons)
    return verdicts, reasons, grades


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
    verdicts: np.ndarray,
    reasons: np.ndarray,
) -> None:
    """Drop a query's rows that repeat a known text, then all but the best-ranked of equal texts."""
    best: set[bytes] = set()
    for row in sorted(rows, key=lambda row: (ranks[row], row)):
        if verdicts[row] is not None:
            continue
        if digests[row] in by_text:
            verdicts[row], reasons[row] = Verdict.DROPPED, by_text[digests[row]]
        elif digests[row] in best:
            verdicts[row], reasons[row] = Verdict.DROPPED, Reason.DUPLICATE
        best.add(digests[row])

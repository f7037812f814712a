"""What must hold before anything expensive starts: a corpus, queries, models that can read it."""

from __future__ import annotations

from collections.abc import Sequence

from hardneg.errors import InputError, parameter
from hardneg.transforms.core.progress import record
from hardneg.transforms.corpus.ingestion import SegmentInfo


def check_corpus(passages: int) -> str:
    """Raise InputError for a corpus without passages."""
    if not passages:
        raise InputError(
            f"The corpus has no passage; check {parameter('corpus')}, {parameter('input')} or {parameter('pairs')}."
        )
    return "corpus"


def check_queries(wanted: tuple[int, int], work: str) -> str:
    """Raise InputError for a run without queries."""
    if not wanted[0]:
        raise InputError(
            "No query has a known positive in the corpus; check that the ids in the qrels are those of the queries "
            f"and the corpus, or pass {parameter('allow_no_positives')} to mine into candidates/ only."
        )
    record(work, "mine", expected=wanted[0])
    return "queries"


def count_segments(info: SegmentInfo, work: str, names: Sequence[str]) -> list[tuple[str, int]]:
    """Return a segment's counts, and tell the progress display how much there is to encode."""
    for name in names:
        record(work, f"encode passages ({name})", expected=info.passages)
    return [("segments", 1), ("passages", info.passages), ("passages_repeated", info.repeated)]

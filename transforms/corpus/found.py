"""How much of what a user brings is found in the input: evaluation sets, runs of other systems.

A file that names other ids, or texts of another collection, would do nothing and say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from hardneg.errors import InputError, parameter
from hardneg.transforms.core.hashing import Keys, digest_keys, id_keys, text_keys
from hardneg.transforms.inputs.evaluation_sets import Holdout

_NONE: Keys = np.zeros(0, dtype=np.uint64)
HELD_OUT = ("query_ids", "query_texts", "passage_ids", "passage_texts")


def held_out_queries(table: pa.Table, holdout: Holdout) -> dict[str, Keys]:
    """Return which keys of evaluation sets queries have, by the field of ``Holdout``.

    Args:
        table: columns query_id, text.
        holdout: the evaluation sets.
    """
    found = {}
    if len(holdout.query_ids):
        found["query_ids"] = np.intersect1d(id_keys(table["query_id"]), holdout.query_ids)
    if len(holdout.query_texts):
        found["query_texts"] = np.intersect1d(text_keys(table["text"]), holdout.query_texts)
    return found


def held_out_passages(table: pa.Table, holdout: Holdout) -> dict[str, Keys]:
    """Return the same of passages.

    Args:
        table: columns passage_id, text_digest.
        holdout: the evaluation sets.
    """
    found = {}
    if len(holdout.passage_ids):
        found["passage_ids"] = np.intersect1d(id_keys(table["passage_id"]), holdout.passage_ids)
    if len(holdout.passage_texts):
        found["passage_texts"] = np.intersect1d(digest_keys(table["text_digest"]), holdout.passage_texts)
    return found


def joined(parts: Iterable[Mapping[str, Keys]]) -> dict[str, Keys]:
    """Return what was found anywhere, each key once."""
    each = list(parts)
    return {name: np.unique(np.concatenate([_NONE, *(part.get(name, _NONE) for part in each)])) for name in HELD_OUT}


def held_out_note(found: Mapping[str, Keys], holdout: Holdout) -> str:
    """Return how much of the evaluation sets is in the input, in a sentence.

    Raises:
        InputError: nothing of them is.
    """
    queries, passages = (
        (sum(len(found.get(name, _NONE)) for name in names), sum(len(getattr(holdout, name)) for name in names))
        for names in (HELD_OUT[:2], HELD_OUT[2:])
    )
    said = f"{queries[0]:,} of {queries[1]:,} queries, {passages[0]:,} of {passages[1]:,} passages"
    if not queries[0] and not passages[0]:
        raise InputError(
            f"{parameter('holdout')}: nothing of it is in the input ({said}): check that its ids and texts are those "
            "of the input, or leave it out.",
            parameter="holdout",
        )
    return f"holdout: {said} are in the input, and are kept out."


def run_note(name: str, counts: Mapping[str, int]) -> str | None:
    """Return how much of a run is unknown, in a sentence; None if nothing is.

    Args:
        name: the retriever's.
        counts: ``queries`` and ``passages`` of the run, and of those ``known_queries`` and ``known_passages``.

    Raises:
        InputError: none of its queries, or none of its passages, is in the input.
    """
    parts = []
    for kind in ("queries", "passages"):
        whole, known = counts.get(kind, 0), counts.get(f"known_{kind}", 0)
        if whole and not known:
            raise InputError(
                f"{parameter('run')} {name}: none of its {whole:,} {kind} is in the input: check that its ids are "
                "those of the input.",
                parameter="run",
            )
        if known < whole:
            parts.append(f"{whole - known:,} of its {whole:,} {kind}")
    return f"run {name}: {' and '.join(parts)} are not in the input, and are left out." if parts else None


def known_queries(run: Iterable[pa.Table], queries: Iterable[pa.Table]) -> dict[str, int]:
    """Return how many queries of a run there are, and how many of them are known, as ``run_note`` takes it."""
    ids = {each for table in run for each in table["query_id"].to_pylist()}
    known = {each for table in queries for each in table["query_id"].to_pylist()}
    return {"queries": len(ids), "known_queries": len(ids & known)}

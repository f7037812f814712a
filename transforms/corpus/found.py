"""How much of what a user brings is found in the input: evaluation sets, runs of other systems.

A file that names other ids, or texts of another collection, would do nothing and say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from hardneg.errors import InputError, parameter
from hardneg.transforms.core.arrays import BoolArray
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


def run_note(name: str, found: Mapping[str, int | str]) -> str | None:
    """Return how much of a run is unknown, in a sentence; None if nothing is.

    Args:
        name: the retriever's.
        found: what ``joined_run`` returns: ``queries`` and ``passages`` of the run, of those ``known_queries`` and
            ``known_passages``; and, as far as there are such, an id of each that is unknown (``unknown_queries``), and
            one of the input (``input_queries``).

    Raises:
        InputError: none of its queries, or none of its passages, is in the input.
    """
    parts = []
    for kind in ("queries", "passages"):
        whole, known = int(found.get(kind, 0)), int(found.get(f"known_{kind}", 0))
        if whole and not known:
            its, ours = found.get(f"unknown_{kind}", ""), found.get(f"input_{kind}", "")
            raise InputError(
                f"The run {name}: none of its {whole:,} {kind} is in the input: it has such ids as {its!r}, and the "
                f"input such as {ours!r}. Give a run of this collection, or change the ids of one of them.",
                parameter="retriever",
            )
        if known < whole:
            example = found.get(f"unknown_{kind}")
            parts.append(f"{whole - known:,} of its {whole:,} {kind}" + (f" (such as {example})" if example else ""))
    return f"run {name}: {' and '.join(parts)} are not in the input, and are left out." if parts else None


def joined_run(parts: Iterable[Mapping[str, int | str]]) -> dict[str, int | str]:
    """Return what was found anywhere: numbers are added, and of ids the least is taken."""
    whole: dict[str, int | str] = {}
    for part in parts:
        for name, value in part.items():
            before = whole.get(name)
            if before is None:
                whole[name] = value
            elif isinstance(value, str):
                whole[name] = min(str(before), value)
            else:
                whole[name] = int(before) + value
    return whole


def known_queries(run: Iterable[pa.Table], queries: Iterable[pa.Table]) -> dict[str, int | str]:
    """Return how many queries of a run there are, and how many of them are known, as ``run_note`` takes it."""
    ids = {each for table in run for each in table["query_id"].to_pylist()}
    own = {each for table in queries for each in table["query_id"].to_pylist()}
    return _found_of("queries", ids, ids & own, own)


def known_passages(ids: pa.Array, known: BoolArray, own: pa.ChunkedArray | None) -> dict[str, int | str]:
    """Return the same of the passages of a slice of the ids.

    Args:
        ids: of the run, each once.
        known: bool (n,); which of them are in the input.
        own: ids of the input; None if it has none of this slice.
    """
    its = set(ids.to_pylist())
    return _found_of("passages", its, set(ids.filter(pa.array(known)).to_pylist()), own[:1].to_pylist() if own else ())


def _found_of(kind: str, ids: set[str], known: set[str], own: Iterable[str]) -> dict[str, int | str]:
    found: dict[str, int | str] = {kind: len(ids), f"known_{kind}": len(known)}
    if unknown := ids - known:
        found[f"unknown_{kind}"] = min(unknown)
    if (first := min(own, default=None)) is not None:
        found[f"input_{kind}"] = first
    return found

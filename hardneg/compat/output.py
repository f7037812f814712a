"""Mined negatives as the columns of a dataset, in the layouts that trainers take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardneg.compat.pairs import Pairs
from hardneg.compat.request import Request
from hardneg.compat.selection import Mined

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Ids:
    """The ids that are to be kept beside the texts.

    Attributes:
        anchor: the column's name and one id a row of the dataset, or None.
        positive: likewise.
        corpus: the id of each text of the corpus that has one; None: documents' ids are not asked for.
    """

    anchor: tuple[str, Sequence[Any]] | None = None
    positive: tuple[str, Sequence[Any]] | None = None
    corpus: dict[int, Any] | None = None


def read_ids(
    pairs: Pairs,
    corpus: Sequence[str] | None,
    corpus_ids: Sequence[Any] | None,
    anchor: tuple[str, Sequence[Any]] | None,
    positive: tuple[str, Sequence[Any]] | None,
) -> Ids:
    """Return the ids of documents: those of the corpus; for its other texts, those of the positives.

    Args:
        pairs: texts and pairs.
        corpus, corpus_ids: texts and ids as given; a text that stands twice goes by its first id.
        anchor, positive: a column's name and its values.
    """
    if corpus_ids is None and positive is None:
        return Ids(anchor)
    known: dict[str, Any] = {}
    for text, identifier in zip(corpus or (), corpus_ids or (), strict=bool(corpus_ids)):
        known.setdefault(text, identifier)
    if positive is not None:
        for document, row in zip(pairs.document.tolist(), pairs.row.tolist(), strict=True):
            known.setdefault(pairs.corpus[document], positive[1][row])
    return Ids(anchor, positive, {place: known[text] for place, text in enumerate(pairs.corpus) if text in known})


def check_columns(request: Request, anchor_id: str | None, positive_id: str | None, corpus_ids: bool) -> None:
    """Check that no column of the dataset would be overwritten by one of the output's own.

    Args:
        request: what is to be returned.
        anchor_id, positive_id: columns of ids to keep beside the texts.
        corpus_ids: whether documents have ids.

    Raises:
        ValueError: two of the output's columns would have one name.
    """
    kept = [("anchor", request.anchor), ("positive", request.positive)]
    kept += [(f"{part}_id", name) for part, name in (("anchor", anchor_id), ("positive", positive_id)) if name]
    labeled = request.output_format.startswith("labeled")
    known = corpus_ids or positive_id is not None
    own = _own_columns(request, known and not labeled)
    if known and labeled and positive_id is None:
        own.append(f"{request.positive}_id")
    taken: dict[str, str] = {}
    for part, name in kept:
        if name in own or name in taken:
            what = f"its {taken[name]}" if name in taken else f"what output_format={request.output_format!r} adds"
            raise ValueError(
                f"The dataset's column {name!r} cannot be the {part} of the output, which has that name for {what}: "
                "rename the column."
            )
        taken[name] = part


def _own_columns(request: Request, ids: bool) -> list[str]:
    """Return the names of the columns that a format adds to the dataset's."""
    if request.output_format in ("triplet", "n-tuple"):
        numbers = range(1, request.num_negatives + 1)
        negatives = ["negative"] if request.output_format == "triplet" else [f"negative_{number}" for number in numbers]
        return [
            *negatives,
            *(f"{name}_id" for name in negatives if ids),
            *(["scores"] if request.output_scores else []),
        ]
    plural = "s" if request.output_format == "labeled-list" else ""
    return [("score" if request.output_scores else "label") + plural]


@dataclass(frozen=True, eq=False)
class _Row:
    """A pair with its query's negatives."""

    query: int
    positive: int
    source: int  # row of the dataset
    score: float
    negatives: list[int]
    scores: list[float]


def _rows(pairs: Pairs, mined: Mined) -> Iterator[_Row]:
    kept = [row[row >= 0].tolist() for row in mined.documents]
    scores = [values[row >= 0].tolist() for values, row in zip(mined.scores, mined.documents, strict=True)]
    columns = (pairs.query.tolist(), pairs.document.tolist(), pairs.row.tolist(), mined.positive_scores.tolist())
    for query, positive, source, score in zip(*columns, strict=True):
        yield _Row(query, positive, source, score, kept[query], scores[query])


def layout(pairs: Pairs, mined: Mined, request: Request, ids: Ids) -> Columns:
    """Return the columns of the dataset, by name; those of ids stand last.

    ``triplet``: a row a pair and negative. ``n-tuple``: a row a pair, if its query has all the negatives asked for.
    ``labeled-list``: a row a pair, if its query has any. ``labeled-pair``: a row a positive, and a row a negative,
    once a query.
    """
    rows = list(_rows(pairs, mined))
    make = {"triplet": _triplets, "n-tuple": _n_tuples, "labeled-pair": _labeled_pairs, "labeled-list": _labeled_lists}
    return make[request.output_format](rows, pairs, request, ids)


def _triplets(rows: list[_Row], pairs: Pairs, request: Request, ids: Ids) -> Columns:
    flat = [(row, negative, score) for row in rows for negative, score in zip(row.negatives, row.scores, strict=True)]
    columns: Columns = {
        request.anchor: [pairs.queries[row.query] for row, _, _ in flat],
        request.positive: [pairs.corpus[row.positive] for row, _, _ in flat],
        "negative": [pairs.corpus[negative] for _, negative, _ in flat],
    }
    if request.output_scores:
        columns["scores"] = [[row.score, score] for row, _, score in flat]
    columns |= _source_ids([row for row, _, _ in flat], ids)
    if ids.corpus is not None:
        columns["negative_id"] = [ids.corpus.get(negative) for _, negative, _ in flat]
    return columns


def _n_tuples(rows: list[_Row], pairs: Pairs, request: Request, ids: Ids) -> Columns:
    rows = [row for row in rows if len(row.negatives) == request.num_negatives]
    numbers = range(request.num_negatives)
    columns: Columns = {
        request.anchor: [pairs.queries[row.query] for row in rows],
        request.positive: [pairs.corpus[row.positive] for row in rows],
    }
    for number in numbers:
        columns[f"negative_{number + 1}"] = [pairs.corpus[row.negatives[number]] for row in rows]
    if request.output_scores:
        columns["scores"] = [[row.score, *row.scores] for row in rows]
    columns |= _source_ids(rows, ids)
    if ids.corpus is not None:
        for number in numbers:
            columns[f"negative_{number + 1}_id"] = [ids.corpus.get(row.negatives[number]) for row in rows]
    return columns


def _labeled_lists(rows: list[_Row], pairs: Pairs, request: Request, ids: Ids) -> Columns:
    rows = [row for row in rows if row.negatives]
    documents = [[row.positive, *row.negatives] for row in rows]
    columns: Columns = {
        request.anchor: [pairs.queries[row.query] for row in rows],
        request.positive: [[pairs.corpus[document] for document in listed] for listed in documents],
    }
    if request.output_scores:
        columns["scores"] = [[row.score, *row.scores] for row in rows]
    else:
        columns["labels"] = [[1] + [0] * len(row.negatives) for row in rows]
    columns |= _source_ids(rows, Ids(ids.anchor))
    if ids.corpus is not None:
        name = _document_id(request, ids)
        columns[name] = [[ids.corpus.get(document) for document in listed] for listed in documents]
    return columns


def _labeled_pairs(rows: list[_Row], pairs: Pairs, request: Request, ids: Ids) -> Columns:
    flat: list[tuple[_Row, int, float, int]] = []
    for number, row in enumerate(rows):
        flat.append((row, row.positive, row.score, 1))
        if number + 1 == len(rows) or rows[number + 1].query != row.query:
            first = rows[int(pairs.starts[row.query])]
            flat.extend((first, *negative, 0) for negative in zip(row.negatives, row.scores, strict=True))
    columns: Columns = {
        request.anchor: [pairs.queries[row.query] for row, *_ in flat],
        request.positive: [pairs.corpus[document] for _, document, *_ in flat],
    }
    if request.output_scores:
        columns["score"] = [score for _, _, score, _ in flat]
    else:
        columns["label"] = [label for *_, label in flat]
    columns |= _source_ids([row for row, *_ in flat], Ids(ids.anchor))
    if ids.corpus is not None:
        columns[_document_id(request, ids)] = [ids.corpus.get(document) for _, document, *_ in flat]
    return columns


def _document_id(request: Request, ids: Ids) -> str:
    return ids.positive[0] if ids.positive else f"{request.positive}_id"


def _source_ids(rows: list[_Row], ids: Ids) -> Columns:
    """Return the ids that the dataset has, of the first row with each pair."""
    columns: Columns = {}
    for kept in (ids.anchor, ids.positive):
        if kept is not None:
            columns[kept[0]] = [kept[1][row.source] for row in rows]
    return columns


def most_rows(pairs: Pairs, request: Request) -> int:
    """Return how many rows there were if every query had all its negatives."""
    of_queries = len(pairs.queries) * request.num_negatives
    most = {
        "triplet": len(pairs.query) * request.num_negatives,
        "labeled-pair": len(pairs.query) + of_queries,
    }
    return most.get(request.output_format, len(pairs.query))


def report(pairs: Pairs, mined: Mined, request: Request, rows: int) -> Iterator[str]:
    """Yield the lines that say what was mined, what each filter took, and what is missing."""
    found = mined.scores[mined.documents >= 0]
    gaps = np.concatenate([np.empty(0, np.float32), *_gaps(pairs, mined)])
    yield f"{'':<8}{'positive':>12}{'negative':>12}{'difference':>12}"
    yield f"{'count':<8}{len(mined.positive_scores):>12,}{len(found):>12,}"
    columns = [_statistics(values) for values in (mined.positive_scores, found, gaps)]
    for number, name in enumerate(_STATISTICS):
        yield f"{name:<8}" + "".join(f"{column[number]:>12}" for column in columns)
    for name, count in mined.skipped.items():
        limit = request.filters.in_use[name]
        share = count / mined.candidates if mined.candidates else 0.0
        yield f"Skipped {count:,} candidates ({share:.2%}) due to the {name} of {limit}."
    if mined.note:
        yield mined.note
    missing = most_rows(pairs, request) - rows
    if missing > 0:
        limits = ["range_max", *(["range_min"] if request.range_min else []), *request.filters.in_use]
        named = " and ".join(filter(None, [", ".join(limits[:-1]), limits[-1]]))
        yield (
            f"Could not find enough negatives for {missing:,} samples ({missing / most_rows(pairs, request):.2%}). "
            f"Consider adjusting the {named} parameter{'s' if len(limits) > 1 else ''} if you want more."
        )


_STATISTICS = ("mean", "std", "min", "25%", "median", "75%", "max")


def _statistics(values: np.ndarray) -> list[str]:
    if not len(values):
        return ["-"] * len(_STATISTICS)
    figures = [values.mean(), values.std(), *np.quantile(values, (0, 0.25, 0.5, 0.75, 1))]
    return [f"{figure:.4f}" for figure in figures]


def _gaps(pairs: Pairs, mined: Mined) -> Iterator[np.ndarray]:
    """Yield how far each pair's negatives lie below its positive."""
    for query, score in zip(pairs.query.tolist(), mined.positive_scores, strict=True):
        yield score - mined.scores[query][mined.documents[query] >= 0]

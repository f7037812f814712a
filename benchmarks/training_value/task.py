"""What is trained on, and what is asked of the trained: of any folder in the BEIR layout.

Training queries and what is known of them are in ``qrels/train.tsv``. The truth about them is for measuring alone: the
labels of ``labels.tsv`` (a passage and its label), or ``qrels/hidden.tsv``. The test is ``test/``, a folder like this
one, or ``qrels/test.tsv``, or those queries that are not trained on.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.training_value.bases import Texts
from benchmarks.withheld import Collection, Qrels, read_qrels
from hardneg.transforms.core.text import normalise, passage_string

TRAIN_QUERIES = 300
TEST_QUERIES = 2_000  # at most, where the test is of queries that are not trained on


@dataclass(frozen=True)
class Test:
    """What trained models are asked.

    Attributes:
        corpus, queries: id -> text.
        relevant: query id -> ids of its relevant passages.
    """

    corpus: dict[str, str]
    queries: dict[str, str]
    relevant: dict[str, frozenset[str]]

    @cached_property
    def groups(self) -> list[list[str]]:
        """The queries that have the same relevant passages together, as of one intent; what is resampled."""
        found: dict[frozenset[str], list[str]] = {}
        for query in sorted(self.queries):
            found.setdefault(self.relevant[query], []).append(query)
        return sorted(found.values())


@dataclass(frozen=True)
class Task:
    """A collection: what is trained on, the truth about it if there is one, and the test."""

    train: Collection
    test: Test
    is_relevant: Callable[[str, str], bool] | None

    @property
    def name(self) -> str:
        return self.train.name

    @cached_property
    def texts(self) -> Texts:
        """All texts of both."""
        parts = (self.train.queries, self.train.passages, self.test.queries, self.test.corpus)
        return Texts(text for part in parts for text in part.values())


def read_task(folder: Path, queries: int = TRAIN_QUERIES) -> Task:
    """Read a folder; of its training queries, those are taken whose ids have the smallest digests."""
    known, hidden = read_qrels(folder / "qrels" / "train.tsv"), _qrels(folder / "qrels" / "hidden.tsv")
    texts, passages = _queries(folder), _passages(folder)
    order = sorted(known.keys() & hidden.keys() if hidden else known.keys(), key=_digest)
    held = _test_of(folder, texts, passages)
    chosen = set(order[: queries if held else min(queries, len(order) * 3 // 4)])
    train = Collection(
        folder=folder,
        queries={query: texts[query] for query in sorted(chosen)},
        passages=passages,
        known={query: known[query] for query in sorted(chosen)},
        hidden={query: hidden[query] for query in sorted(chosen & hidden.keys())},
        is_cut=True,
    )
    if held is None:
        rest = {query: texts[query] for query in order[::-1] if query not in chosen}
        rest = dict(list(rest.items())[:TEST_QUERIES])
        held = Test(passages, rest, {q: frozenset([*known[q], *hidden.get(q, ())]) for q in rest})
    return Task(train, held, _truth(folder, train))


def _truth(folder: Path, train: Collection) -> Callable[[str, str], bool] | None:
    """Return what says whether a passage is relevant to a training query; None if nothing does."""
    labels = folder / "labels.tsv"
    if labels.exists():
        with labels.open(encoding="utf-8", newline="") as file:
            label = {row[0]: row[1] for row in list(csv.reader(file, delimiter="\t"))[1:]}
        of_query = {query: {label[each] for each in known} for query, known in train.known.items()}
        return lambda query, passage: label[passage] in of_query[query]
    if not train.hidden:
        return None
    texts = {
        query: {normalise(train.passages[each]) for each in [*train.known[query], *train.hidden.get(query, ())]}
        for query in train.queries
    }
    return lambda query, passage: normalise(train.passages[passage]) in texts[query]


def _test_of(folder: Path, texts: dict[str, str], passages: dict[str, str]) -> Test | None:
    own = folder / "test"
    if (own / "corpus.jsonl").exists():
        (qrels,) = (own / "qrels").glob("*.tsv")
        return _test(_passages(own), _queries(own), read_qrels(qrels))
    if (folder / "qrels" / "test.tsv").exists():
        return _test(passages, texts, read_qrels(folder / "qrels" / "test.tsv"))
    return None


def _test(passages: dict[str, str], texts: dict[str, str], qrels: Qrels) -> Test:
    return Test(passages, {query: texts[query] for query in qrels}, {q: frozenset(ids) for q, ids in qrels.items()})


def _qrels(path: Path) -> Qrels:
    return read_qrels(path) if path.exists() else {}


def _queries(folder: Path) -> dict[str, str]:
    return {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl")}


def _passages(folder: Path) -> dict[str, str]:
    return {row["_id"]: passage_string(row.get("title"), row["text"]) for row in _rows(folder / "corpus.jsonl")}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _digest(query: str) -> tuple[bytes, str]:
    return hashlib.sha256(query.encode()).digest(), query

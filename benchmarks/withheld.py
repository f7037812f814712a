"""Collections with withheld judgements, as both miners of the benchmark get them.

A collection is a folder in the BEIR layout with ``qrels/train.tsv`` (what the miners are told) and
``qrels/hidden.tsv`` (what they are judged by).
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.hashing import KeyMap, Keys, id_keys, text_keys
from hardneg.transforms.core.text import passage_string
from hardneg.transforms.inputs.judgements import Judgements
from hardneg.transforms.reports.evaluation import Relevance

NAMES = ("hotpotqa_500", "debian_packages", "vaswani")
ALL_QUERIES_UP_TO = 500  # a collection with more known queries is tried on SOME_QUERIES of them
SOME_QUERIES = 300

Qrels = dict[str, list[str]]  # query id -> ids of its relevant passages


@dataclass(frozen=True)
class Collection:
    """One collection, cut to the queries it is tried on.

    Attributes:
        folder: where it lies.
        queries: id -> text, sorted by id.
        passages: id -> passage string, of the whole corpus.
        known: what the miners are told.
        hidden: what they are not told.
        is_cut: whether only some of the known queries are tried.
    """

    folder: Path
    queries: dict[str, str]
    passages: dict[str, str]
    known: Qrels
    hidden: Qrels
    is_cut: bool

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def passage_keys(self) -> KeyMap:
        """Key of each passage's id -> key of its normalised text."""
        return _keys_of(self.passages)

    @cached_property
    def query_keys(self) -> KeyMap:
        """Key of each query's id -> key of its normalised text."""
        return _keys_of(self.queries)

    def relevance(self, qrels: Qrels) -> Relevance:
        """Return judgements as they apply to pairs: passages, and queries, of equal normalised text are one."""
        pairs = [(query, passage) for query in qrels for passage in qrels[query]]
        queries, passages = keys([pair[0] for pair in pairs]), keys([pair[1] for pair in pairs])
        return Relevance(Judgements(queries, passages, np.unique(queries)), self.query_keys, self.passage_keys)


def keys(ids: list[str]) -> Keys:
    """Return the keys of ids, shape (n,)."""
    return id_keys(pa.array(ids, pa.string()))


def _keys_of(texts: dict[str, str]) -> KeyMap:
    return KeyMap(keys(list(texts)), text_keys(pa.array(texts.values(), pa.string())))


def read_collection(folder: Path) -> Collection:
    """Read a collection. Of many queries, those with hidden judgements whose ids have the smallest digests."""
    known, hidden = read_qrels(folder / "qrels" / "train.tsv"), read_qrels(folder / "qrels" / "hidden.tsv")
    is_cut = len(known) > ALL_QUERIES_UP_TO
    chosen = set(sorted(known.keys() & hidden.keys(), key=_digest)[:SOME_QUERIES] if is_cut else known)
    texts = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl")}
    return Collection(
        folder=folder,
        queries={query: texts[query] for query in sorted(chosen)},
        passages={row["_id"]: passage_string(row.get("title"), row["text"]) for row in _rows(folder / "corpus.jsonl")},
        known={query: known[query] for query in sorted(chosen)},
        hidden={query: hidden[query] for query in sorted(chosen & hidden.keys())},
        is_cut=is_cut,
    )


def read_qrels(path: Path) -> Qrels:
    """Return the relevant passages (score above 0) of each query."""
    found: Qrels = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if float(row["score"]) > 0:
                found.setdefault(row["query-id"], []).append(row["corpus-id"])
    return found


def _rows(path: Path):
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _digest(query: str) -> tuple[bytes, str]:
    return hashlib.sha256(query.encode()).digest(), query


def mining_options(collection: Collection, inputs: Path) -> list[str]:
    """Return the input options of ``hardneg mine``; the chosen queries of a cut collection are written to files."""
    if not collection.is_cut:
        return ["--input", str(collection.folder), "--split", "train"]
    inputs.mkdir(parents=True, exist_ok=True)
    queries, qrels = inputs / "queries.jsonl", inputs / "train.tsv"
    rows = [json.dumps({"_id": query, "text": text}) for query, text in collection.queries.items()]
    queries.write_text("\n".join(rows) + "\n", encoding="utf-8")
    lines = [f"{query}\t{passage}\t1" for query, passages in collection.known.items() for passage in passages]
    qrels.write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n", encoding="utf-8")
    corpus = collection.folder / "corpus.jsonl"
    return ["--corpus", str(corpus), "--queries", str(queries), "--qrels", str(qrels)]

"""The training sets that the benchmark compares: the same queries and positives, other negatives."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, load_dataset
from false_negatives_data import Qrels, read_qrels
from sentence_transformers import CrossEncoder
from sentence_transformers.util import mine_hard_negatives
from training_value_fit import load

from hardneg.pipelines.cli import run as hardneg
from hardneg.transforms.model_files import ModelSpec, find_model
from hardneg.transforms.run_tables import read_shard, shards
from hardneg.transforms.text import passage_string

PEER = {"relative_margin": 0.05, "num_negatives": 1, "sampling_strategy": "top", "verbose": False}
RERANKED = 30  # candidates a query that the peer's cross-encoder scores


class Kind(StrEnum):
    """What is trained on."""

    UNTRAINED = "untrained"
    IN_BATCH = "in-batch"
    HARDNEG = "hardneg"
    DENSE = "dense-top"
    PEER = "peer"
    PEER_RERANKED = "peer-reranked"
    BM25 = "bm25-top"
    RANDOM = "random"
    GIST = "gist"
    NO_DUPLICATES = "no-duplicates"
    HARDNEG_NO_DUPLICATES = "hardneg-no-duplicates"
    DISTILLED = "distilled"


@dataclass(frozen=True)
class Arm:
    """One training set, and how it is trained on.

    Attributes:
        rows: (anchor, positive[, negative[, scores]]); None: the model stays as it is.
        loss: ``mnrl`` (MultipleNegativesRankingLoss), ``gist`` or ``margin-mse``.
        seconds: what finding the negatives took; 0 where they were found before.
    """

    kind: Kind
    rows: Dataset | None
    loss: str = "mnrl"
    no_duplicates: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Training:
    """A collection: what is trained from, and what is evaluated.

    Attributes:
        run: the mined run of hardneg that the negatives of several arms come from.
        queries: id -> text of the train queries.
        known: their positives.
        corpus: id -> passage string, all of it.
    """

    run: str
    queries: dict[str, str]
    known: Qrels
    corpus: dict[str, str]
    test_queries: dict[str, str]
    test_relevant: dict[str, set[str]]
    bi_encoder: str
    work: Path

    @property
    def pairs(self) -> dict[str, tuple[str, str]]:
        """(anchor, positive) of each query id: its positive of the smallest id."""
        return {query: (text, self.corpus[min(self.known[query])]) for query, text in self.queries.items()}


def read_training(folder: Path, split: str, queries: int, bi_encoder: str, work: Path) -> Training:
    """Read a collection, and mine its train queries with hardneg if that has not been done."""
    run = work / f"{folder.name}.{queries}.run"
    if not run.exists():
        options = ["--input", str(folder), "--split", "train", "--max-queries", str(queries), "--negatives", "1"]
        code = hardneg(
            ["mine", *options, "--bi-encoder", bi_encoder, "--output", str(run), "--", "--direct_num_workers=1"]
        )
        if code:
            raise SystemExit(f"mining {folder.name} ended with code {code}; the same command goes on from there")
    table = pa.concat_tables([read_shard(path) for path in shards(str(run), "queries")]).sort_by("query_id")
    texts = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl")}
    relevant = read_qrels(folder / "qrels" / f"{split}.tsv")
    return Training(
        run=str(run),
        queries=dict(zip(table["query_id"].to_pylist(), table["text"].to_pylist(), strict=True)),
        known=read_qrels(folder / "qrels" / "train.tsv"),
        corpus={row["_id"]: passage_string(row.get("title"), row["text"]) for row in _rows(folder / "corpus.jsonl")},
        test_queries={query: texts[query] for query in sorted(relevant)},
        test_relevant={query: set(passages) for query, passages in relevant.items()},
        bi_encoder=bi_encoder,
        work=work,
    )


def _rows(path: Path):
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def make_arm(kind: Kind, training: Training, seed: int) -> Arm:
    """Return a kind's training set; ``seed`` draws the random negatives."""
    match kind:
        case Kind.UNTRAINED:
            return Arm(kind, None)
        case Kind.IN_BATCH:
            return Arm(kind, _triplets(training, None))
        case Kind.RANDOM:
            return Arm(kind, _triplets(training, _random(training, seed)))
        case Kind.BM25:
            return Arm(kind, _triplets(training, _best(training, "rank_bm25")))
        case Kind.DENSE:
            return Arm(kind, _triplets(training, _best(training, "rank_dense")))
        case Kind.GIST:
            return Arm(kind, _triplets(training, _best(training, "rank_dense")), loss="gist")
        case Kind.NO_DUPLICATES:
            return Arm(kind, _triplets(training, _best(training, "rank_dense")), no_duplicates=True)
        case Kind.PEER:
            return _timed(kind, lambda: _peer(training, reranked=False))
        case Kind.PEER_RERANKED:
            return _timed(kind, lambda: _peer(training, reranked=True))
        case Kind.HARDNEG:
            return Arm(kind, _hardneg(training).select_columns(["anchor", "positive", "negative"]))
        case Kind.HARDNEG_NO_DUPLICATES:
            return Arm(kind, _hardneg(training).select_columns(["anchor", "positive", "negative"]), no_duplicates=True)
        case Kind.DISTILLED:
            return Arm(kind, _hardneg(training, scores=True), loss="margin-mse")


def _timed(kind: Kind, make: Callable[[], Dataset]) -> Arm:
    start = time.perf_counter()
    rows = make()
    return Arm(kind, rows, seconds=time.perf_counter() - start)


def _triplets(training: Training, negatives: dict[str, str] | None) -> Dataset:
    """Return the rows of the queries that have a negative, in the order of their ids."""
    pairs = training.pairs
    chosen = [query for query in pairs if negatives is None or query in negatives]
    columns = {"anchor": [pairs[query][0] for query in chosen], "positive": [pairs[query][1] for query in chosen]}
    if negatives is not None:
        columns["negative"] = [training.corpus[negatives[query]] for query in chosen]
    return Dataset.from_dict(columns)


def _random(training: Training, seed: int) -> dict[str, str]:
    """Draw a passage for each query that is not known to be relevant."""
    generator, passages = np.random.default_rng(seed), sorted(training.corpus)
    drawn = {}
    for query in training.queries:
        known = {training.corpus[passage] for passage in training.known[query]}
        others = (passages[place] for place in generator.integers(len(passages), size=100))
        drawn[query] = next(passage for passage in others if training.corpus[passage] not in known)
    return drawn


def _best(training: Training, rank: str) -> dict[str, str]:
    """Return what a retriever ranks first among what is not known to be relevant: mining without a judge."""
    best: dict[str, tuple[int, str]] = {}
    for path in shards(training.run, "candidates"):
        rows = read_shard(path, ["query_id", "passage_id", rank])
        for row in rows.filter(pc.is_valid(rows[rank])).to_pylist():
            query, passage = row["query_id"], row["passage_id"]
            texts = {training.corpus[known] for known in training.known[query]}
            if training.corpus[passage] not in texts:
                best[query] = min(best.get(query, (row[rank], passage)), (row[rank], passage))
    return {query: passage for query, (_, passage) in best.items()}


def _peer(training: Training, reranked: bool) -> Dataset:
    """Mine with sentence-transformers' function, at what its documentation recommends."""
    name = "peer-reranked" if reranked else "peer"
    stored = training.work / f"{Path(training.run).name}.{name}.parquet"
    if not stored.exists():
        more = {}
        if reranked:
            spec = ModelSpec("cross-encoder", "bundled").resolved()
            model = {"dtype": spec.torch_dtype, "use_safetensors": True}
            more = {"cross_encoder": CrossEncoder(str(find_model(spec)), model_kwargs=model), "range_max": RERANKED}
        pairs = training.pairs.values()
        rows = Dataset.from_dict({"anchor": [pair[0] for pair in pairs], "positive": [pair[1] for pair in pairs]})
        corpus = list(dict.fromkeys(training.corpus.values()))
        with contextlib.redirect_stderr(io.StringIO()):  # it always draws a bar
            mined = mine_hard_negatives(rows, load(training.bi_encoder), corpus=corpus, **PEER, **more)
        mined.to_parquet(stored)
    return load_dataset("parquet", data_files=str(stored), split="train", cache_dir=str(training.work / "cache"))


def _hardneg(training: Training, scores: bool = False) -> Dataset:
    output = f"{training.run}.scores" if scores else f"{training.run}.triplet"
    if not Path(output).exists():
        options = ["--format", "triplet", *(["--scores"] if scores else []), "--output", output]
        if code := hardneg(["export", training.run, *options]):
            raise SystemExit(f"exporting {training.run} ended with code {code}")
    files = [str(path) for path in sorted(Path(output).rglob("*.parquet"))]
    return load_dataset("parquet", data_files=files, split="train", cache_dir=str(training.work / "cache"))

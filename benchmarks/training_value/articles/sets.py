"""The mined sets that the benchmark trains on, kept as ids and logits: a training can be repeated without mining."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset
from sentence_transformers.util import mine_hard_negatives

from benchmarks.training_value.articles.fit import load
from benchmarks.training_value.articles.judge import StoredJudge
from benchmarks.withheld import Qrels, read_qrels
from hardneg.pipelines.cli import run as hardneg
from hardneg.transforms.core.text import passage_string
from hardneg.transforms.output.finished_run import FinishedRun

QUERIES, HARDNEG, DENSE, BM25, PEER, PEER_RERANKED = "queries", "hardneg", "dense", "bm25", "peer", "peer-reranked"
PEER_OPTIONS: dict[str, Any] = {
    "relative_margin": 0.05,
    "num_negatives": 1,
    "sampling_strategy": "top",
    "verbose": False,
}
CANDIDATES = 30  # a query: what hardneg retrieves with each retriever, and what the peer's cross-encoder scores
# A query with a negative or, in the set of all queries, without; the logits are known of hardneg's set alone.
ROWS = pa.schema(
    [
        ("query_id", pa.string()),
        ("positive_id", pa.string()),
        ("negative_id", pa.string()),
        ("positive_logit", pa.float32()),
        ("negative_logit", pa.float32()),
    ]
)


@dataclass(frozen=True)
class MinedSets:
    """The train queries of a collection and what each miner found for them.

    Attributes:
        folder: the collection.
        queries: how many of its train queries are mined for, those of the smallest digests.
        bi_encoder: what they are mined with.
        stored: where the sets are kept.
        work: where hardneg's run lies while they are made.
    """

    folder: Path
    queries: int
    bi_encoder: str
    stored: Path
    work: Path

    @cached_property
    def texts(self) -> dict[str, str]:
        """Query id -> text, of all splits."""
        return {row["_id"]: row["text"] for row in _rows(self.folder / "queries.jsonl")}

    @cached_property
    def corpus(self) -> dict[str, str]:
        """Passage id -> passage string, all of it."""
        return {
            row["_id"]: passage_string(row.get("title"), row["text"]) for row in _rows(self.folder / "corpus.jsonl")
        }

    @cached_property
    def known(self) -> Qrels:
        return read_qrels(self.folder / "qrels" / "train.tsv")

    def rows(self, name: str) -> pa.Table:
        """Return a set of the ``ROWS`` schema, sorted by query id; it is made if it is not stored."""
        path = self.stored / f"{self.folder.name}.{self.queries}.{name}.parquet"
        if not path.exists():
            self.stored.mkdir(parents=True, exist_ok=True)
            if name in (PEER, PEER_RERANKED):
                table = self._mined_by_peer(reranked=name == PEER_RERANKED)
            else:
                table = self._of_run(name)
            pq.write_table(table, path, compression="zstd")
        return pq.read_table(path)

    def _run(self) -> str:
        """Return hardneg's run, and mine if that has not been done."""
        run = self.work / f"{self.folder.name}.{self.queries}.run"
        if not run.exists():
            options = ["--input", str(self.folder), "--split", "train", "--max-queries", str(self.queries)]
            options += ["--negatives", "1", "--k", str(CANDIDATES), "--bi-encoder", self.bi_encoder]
            code = hardneg(["mine", *options, "--output", str(run), "--", "--direct_num_workers=1"])
            if code:
                raise SystemExit(
                    f"mining {self.folder.name} ended with code {code}; the same command goes on from there"
                )
        return str(run)

    def _of_run(self, name: str) -> pa.Table:
        run = FinishedRun.open(self._run())
        columns = ["query_id", "passage_id", "selected", "logit", "rank_dense", "rank_bm25"]
        rows = pa.concat_tables([table.select(columns) for table in run.tables("candidates")])
        queries = pa.concat_tables(run.tables("queries", ["query_id"]))
        match name:
            case "hardneg":
                chosen = rows.filter(pc.equal(rows["selected"], 1))
                negatives = dict(_pairs(chosen, "passage_id"))
            case "dense" | "bm25":
                negatives = self._best(rows, f"rank_{name}")
            case _:
                return self._table(dict.fromkeys(queries["query_id"].to_pylist()))
        logits = {}
        if name == HARDNEG:
            scored = rows.filter(pc.is_valid(rows["logit"]))
            ids = zip(scored["query_id"].to_pylist(), scored["passage_id"].to_pylist(), strict=True)
            logits = dict(zip(ids, scored["logit"].to_pylist(), strict=True))
        return self._table(negatives, logits)

    def _best(self, rows: pa.Table, rank: str) -> dict[str, str]:
        """Return what a retriever ranks first among what is not known to be relevant: mining without a judge."""
        best: dict[str, str] = {}
        for query, passage in _pairs(rows.filter(pc.is_valid(rows[rank])).sort_by(rank), "passage_id"):
            if query not in best and self.corpus[passage] not in self.known_texts(query):
                best[query] = passage
        return best

    def known_texts(self, query: str) -> set[str]:
        return {self.corpus[passage] for passage in self.known[query]}

    def _mined_by_peer(self, reranked: bool) -> pa.Table:
        """Mine with sentence-transformers' function, at what its documentation recommends."""
        if not reranked:
            return self._by_peer()
        judge = StoredJudge(self.work / f"{self.folder.name}.{self.queries}.scores")
        models = json.loads(Path(self._run(), "manifest.json").read_text(encoding="utf-8"))["models"]
        if models["cross_encoder"]["fingerprint"] == judge.fingerprint:
            judge.know(*self._scored())
        self._by_peer(cross_encoder=judge, range_max=CANDIDATES)  # only to hear what it asks for
        judge.score()
        return self._by_peer(cross_encoder=judge, range_max=CANDIDATES)

    def _by_peer(self, **more: Any) -> pa.Table:
        pairs = self.rows(QUERIES)
        anchors = [self.texts[query] for query in pairs["query_id"].to_pylist()]
        positives = [self.corpus[passage] for passage in pairs["positive_id"].to_pylist()]
        corpus = {text: passage for passage, text in sorted(self.corpus.items(), reverse=True)}
        with contextlib.redirect_stderr(io.StringIO()):  # it always draws a bar
            mined = mine_hard_negatives(
                Dataset.from_dict({"anchor": anchors, "positive": positives}),
                load(self.bi_encoder),
                corpus=list(corpus),
                **PEER_OPTIONS,
                **more,
            )
        ids = dict(zip(zip(anchors, positives, strict=True), pairs["query_id"].to_pylist(), strict=True))
        return self._table({ids[row["anchor"], row["positive"]]: corpus[row["negative"]] for row in mined})

    def _scored(self) -> tuple[list[str], list[str], list[float]]:
        """Return the query texts, passage strings and logits of what hardneg's run has scored."""
        run = FinishedRun.open(self._run())
        rows = pa.concat_tables(run.tables("candidates", ["query_id", "passage_id", "logit"]))
        rows = rows.filter(pc.is_valid(rows["logit"]))
        queries, passages, logits = (column.to_pylist() for column in rows.columns)
        return [self.texts[query] for query in queries], [self.corpus[passage] for passage in passages], logits

    def _table(
        self, negatives: dict[str, str] | dict[str, None], logits: dict[tuple[str, str | None], float] | None = None
    ) -> pa.Table:
        rows = []
        for query, negative in sorted(negatives.items()):
            positive = min(self.known[query])
            scored = [(logits or {}).get((query, passage)) for passage in (positive, negative)]
            rows.append(dict(zip(ROWS.names, [query, positive, negative, *scored], strict=True)))
        return pa.Table.from_pylist(rows, schema=ROWS)


def _pairs(table: pa.Table, column: str) -> Iterator[tuple[str, str]]:
    yield from zip(table["query_id"].to_pylist(), table[column].to_pylist(), strict=True)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)

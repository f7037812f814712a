"""The negatives of each arm: for the same queries and positives, in selection order, as ids."""

from __future__ import annotations

import contextlib
import io
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.false_negatives.peer import StoredEncoder, mine, vectors
from benchmarks.training_value.articles.judge import StoredJudge
from benchmarks.training_value.task import Task
from benchmarks.withheld import mining_options
from hardneg.pipelines.cli import run as hardneg
from hardneg.transforms.filters.verdicts import MASKS
from hardneg.transforms.models.spec import ModelSpec
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.store.uses import values_of

ASKED = 5
CANDIDATES = 40  # a query and retriever; as many as the peer's cross-encoder scores
PEER: dict[str, Any] = {"relative_margin": 0.05, "num_negatives": ASKED, "sampling_strategy": "top"}
LEAKS = (5, 20)  # percent: thresholds that let more through than the default's
SKIPPED = (10, 30, 100, 300)  # of the oracle's order: the same truth, easier negatives

Mined = dict[str, list[str]]
_MASKED = {str(meaning.reason) for meaning in MASKS}


@dataclass(frozen=True)
class Miners:
    """Mines for a task with each arm; what is expensive is kept.

    Attributes:
        task: the collection.
        work: a folder of this collection's own.
        store: where embeddings and logits are kept, of all collections.
    """

    task: Task
    work: Path
    store: Path

    def arms(self) -> list[str]:
        """Return the arms that have negatives and can be mined here: the oracle needs the truth."""
        arms = ["random", "bm25", "dense", "peer", "peer-reranked", "hardneg", "hardneg-relabelled"]
        arms += [f"hardneg-leak-{percent}" for percent in LEAKS]
        oracle = ["oracle", *(f"oracle-{skipped}" for skipped in SKIPPED)]
        return arms + (oracle if self.task.is_relevant else [])

    def mined(self, arm: str, seed: int) -> Mined:
        """Return an arm's negatives; ``seed`` draws the random ones."""
        if arm == "random":
            return self._random(seed)
        if arm not in self._kept:
            self._kept[arm] = self._mine(arm)
        return self._kept[arm]

    @cached_property
    def _kept(self) -> dict[str, Mined]:
        return {}

    def _mine(self, arm: str) -> Mined:
        match arm:
            case "bm25" | "dense":
                return self._first(f"rank_{arm}")
            case "peer":
                return self._peer
            case "peer-reranked":
                return self._peer_reranked
            case "hardneg" | "hardneg-relabelled":
                return self._selected(self._candidates)
            case _ if arm.startswith("hardneg-leak-"):
                return self._selected(self._again(int(arm.rpartition("-")[2])))
            case _:
                return self._oracle(int(arm.partition("-")[2] or 0))

    def positives(self, arm: str) -> Mined:
        """Return the positives that an arm trains on: the known ones, and those that it relabelled."""
        found = {query: list(known) for query, known in self.task.train.known.items()}
        if arm == "hardneg-relabelled":
            for row in self._candidates:
                if row["verdict"] == "suspected_positive":
                    found[row["query_id"]].append(row["passage_id"])
        return found

    def hardness(self, mined: Mined) -> float:
        """Return the mean similarity of the mined to their query."""
        queries, passages = self._vectors
        own = [
            float(queries[place] @ passages[self._place[each]])
            for place, query in enumerate(self.task.train.queries)
            for each in mined[query]
        ]
        return float(np.mean(own)) if own else float("nan")

    def false_rate(self, mined: Mined) -> float | None:
        """Return which share of the mined is relevant in truth; None if nobody knows."""
        relevant = self.task.is_relevant
        own = [relevant(query, each) for query, ids in mined.items() for each in ids] if relevant else []
        return float(np.mean(own)) if own else None

    @cached_property
    def run(self) -> str:
        """hardneg's run at its default; it is mined if that has not been done."""
        output = self.work / "run"
        if not output.exists():
            inputs = mining_options(self.task.train, self.work / "input")
            options = ["--negatives", str(ASKED), "--k", str(CANDIDATES), "--score", "all", "--store", str(self.store)]
            code = hardneg(["mine", *inputs, *options, "--output", str(output), "--", "--direct_num_workers=1"])
            if code:
                shutil.rmtree(output, ignore_errors=True)
                raise SystemExit(f"mining {self.task.name} ended with code {code}; the same command goes on from there")
        return str(output)

    def _again(self, leak: int) -> list[dict[str, Any]]:
        """Return what the run's candidates become at a target for the leak rate, in percent."""
        output = self.work / f"leak-{leak}"
        if not output.exists():
            code = hardneg(["mine", "--from", self.run, "--target-leak-rate", str(leak / 100), "--output", str(output)])
            if code:
                raise SystemExit(f"mining {self.task.name} again ended with code {code}")
        return _candidates_of(str(output))

    @cached_property
    def _candidates(self) -> list[dict[str, Any]]:
        return _candidates_of(self.run)

    @cached_property
    def _encoder(self) -> StoredEncoder:
        return StoredEncoder(ModelSpec("bi-encoder", "bundled"), self.work / "encoder")

    @cached_property
    def _vectors(self) -> tuple[np.ndarray, np.ndarray]:
        return vectors(self._encoder, self.task.train)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {passage: place for place, passage in enumerate(self.task.train.passages)}

    def _similarity(self, query: str) -> np.ndarray:
        queries, passages = self._vectors
        return passages @ queries[list(self.task.train.queries).index(query)]

    def _known(self, query: str) -> set[str]:
        """Return the texts that nobody would take for negatives: the query's own, and its known positives'."""
        train = self.task.train
        return {train.queries[query], *(train.passages[each] for each in train.known[query])}

    def _selected(self, rows: list[dict[str, Any]]) -> Mined:
        mined = sorted((row for row in rows if row["selected"]), key=lambda row: row["selected"])
        found: Mined = {query: [] for query in self.task.train.queries}
        for row in mined:
            found[row["query_id"]].append(row["passage_id"])
        return found

    def _first(self, rank: str) -> Mined:
        """Return what a retriever ranks first among what is not known to be relevant: mining without a judge."""
        found: Mined = {query: [] for query in self.task.train.queries}
        open_ = (row for row in self._candidates if row["verdict"] != "positive" and row["reason"] not in _MASKED)
        for row in sorted((row for row in open_ if row[rank]), key=lambda row: row[rank]):
            own = found[row["query_id"]]
            if len(own) < ASKED:
                own.append(row["passage_id"])
        return found

    def _random(self, seed: int) -> Mined:
        generator, passages = np.random.default_rng(seed), sorted(self.task.train.passages)
        found: Mined = {}
        for query in self.task.train.queries:
            known = self._known(query)
            drawn = [passages[place] for place in generator.integers(len(passages), size=10 * ASKED)]
            kept = [each for each in dict.fromkeys(drawn) if self.task.train.passages[each] not in known]
            found[query] = kept[:ASKED]
        return found

    def _oracle(self, skipped: int) -> Mined:
        """Return the most similar that are not relevant in truth, leaving out so many of them."""
        relevant = self.task.is_relevant
        assert relevant is not None
        passages = list(self.task.train.passages)
        found: Mined = {}
        for query in self.task.train.queries:
            order = np.argsort(-self._similarity(query), kind="stable").tolist()
            known = self._known(query)
            own: list[str] = []
            for place in order:
                passage = passages[place]
                if not relevant(query, passage) and self.task.train.passages[passage] not in known:
                    own.append(passage)
                if len(own) == skipped + ASKED:
                    break
            found[query] = own[skipped:]
        return found

    @cached_property
    def _peer(self) -> Mined:
        return self._grouped(mine(self._encoder, self.task.train, **PEER))

    @cached_property
    def _peer_reranked(self) -> Mined:
        judge = StoredJudge(Path(values_of(str(self.store))))
        with contextlib.redirect_stdout(io.StringIO()):
            mine(self._encoder, self.task.train, cross_encoder=judge, **PEER, range_max=CANDIDATES)
        judge.score()
        return self._grouped(mine(self._encoder, self.task.train, cross_encoder=judge, **PEER, range_max=CANDIDATES))

    def _grouped(self, pairs: list[tuple[str, str]]) -> Mined:
        found: Mined = {query: [] for query in self.task.train.queries}
        for query, passage in pairs:
            found[query].append(passage)
        return found


def _candidates_of(run: str) -> list[dict[str, Any]]:
    columns = ["query_id", "passage_id", "verdict", "reason", "selected", "logit", "rank_dense", "rank_bm25"]
    return pa.concat_tables(list(FinishedRun.open(run).tables("candidates", columns))).to_pylist()

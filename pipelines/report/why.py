"""`hardneg report RUN --why QUERY PASSAGE`: why one pair is what it is in a finished run. Runs no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hardneg.errors import RunError
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.stored import config_of
from hardneg.transforms.core.partition import part_of
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.output.finished_run import FinishedRun
from hardneg.transforms.output.run_tables import read_shard


@dataclass(frozen=True)
class Why:
    """What a run knows of a pair.

    Attributes:
        query_id, query: its id and text.
        passage_id, passage: likewise.
        row: of ``candidates/``; None: no retriever found it among its first.
        positives: judge scores of the query's known positives, as far as they have one, ascending.
        config: the run's options.
        denoising: the run's judge.
    """

    query_id: str
    query: str
    passage_id: str
    passage: str
    row: dict[str, Any] | None
    positives: list[float]
    config: MineConfig
    denoising: CalibratedJudge


def why(run: str, query: str, passage: str) -> list[Why]:
    """Explain a pair, given by ids or exact texts; where a text has several ids, each of their pairs.

    Raises:
        HardnegError: no finished run, or a query or passage that is not in it.
    """
    finished = FinishedRun.open(run)
    finished.require("candidates", ("query_id", "passage_id", "verdict", "reason"))
    config, denoising = config_of(finished), finished.judge
    queries, passages = _found(finished, "queries", query), _found(finished, "passages", passage)
    answers = []
    for query_id, query_text in queries:
        own = _candidates(finished, query_id)
        rows = {row["passage_id"]: row for row in own.to_pylist()} if own else {}
        positives = sorted(
            row["judge_score"]
            for row in rows.values()
            if row["verdict"] == Verdict.POSITIVE and row["judge_score"] is not None
        )
        answers += [
            Why(query_id, query_text, passage_id, text, rows.get(passage_id), positives, config, denoising)
            for passage_id, text in passages
        ]
    # Of several pairs with these texts, those that the run looked at are the ones that were meant.
    return [each for each in answers if each.row] or answers[:1]


def _found(run: FinishedRun, kind: str, given: str) -> list[tuple[str, str]]:
    """Return (id, text) of a query or passage by its id or else, all of them, by the exact text."""
    by_text: list[tuple[str, str]] = []
    for batch in run.batches(kind):
        for column in range(2):
            same = batch.filter(pc.equal(batch.column(column), given))
            pairs = list(zip(same.column(0).to_pylist(), same.column(1).to_pylist(), strict=True))
            if pairs and column == 0:
                return pairs
            by_text += pairs
    if not by_text:
        what = "query" if kind == "queries" else "passage"
        aside = "" if kind == "queries" else " (it has those that a retriever found for some query, and the positives)"
        raise RunError(
            f"{run.path} has no {what} whose id or exact text is {_short(given)!r} in {kind}/{aside}: copy the id from "
            "candidates/, or the text from triplets/."
        )
    return sorted(by_text)


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _candidates(run: FinishedRun, query_id: str) -> pa.Table | None:
    """Return a query's candidates: they are all in one shard."""
    path = run.shards("candidates").get(part_of(query_id, run.parts))
    if path is None:
        return None
    table = read_shard(path)
    return table.filter(pc.equal(table["query_id"], query_id))

"""What a finished run says that no batch may show a query: all that is, or may well be, relevant to it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.core.hashing import Keys, id_keys
from hardneg.transforms.filters.verdicts import LIKE_A_POSITIVE, Verdict
from hardneg.transforms.output.finished_run import FinishedRun


def is_avoided(candidates: pa.Table) -> BoolArray:
    """Return which rows of ``candidates/`` their query's batches are not to show, bool; of verdict and reason."""
    like = pa.array([str(reason) for reason in LIKE_A_POSITIVE], pa.string())
    kinds = pa.array([str(Verdict.POSITIVE), str(Verdict.SUSPECTED_POSITIVE)], pa.string())
    dropped = pc.and_(pc.equal(candidates["verdict"], Verdict.DROPPED), pc.is_in(candidates["reason"], value_set=like))
    avoided = pc.or_(pc.is_in(candidates["verdict"], value_set=kinds), dropped)
    return pc.fill_null(avoided, False).to_numpy()


def avoided_by_run(run: FinishedRun) -> tuple[Keys, Keys]:
    """Return (query, passage), as keys of their texts, for all that the queries of a run avoid.

    Raises:
        HardnegError: a table is missing or can't be read.
    """
    run.require("candidates", ("query_id", "passage_id", "verdict", "reason"))
    queries, passages = run.text_keys("queries"), run.text_keys("passages")
    found: list[tuple[Keys, Keys]] = [(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64))]
    for table in run.tables("candidates", ("query_id", "passage_id", "verdict", "reason")):
        rows = table.filter(pa.array(is_avoided(table)))
        found.append((queries.get(id_keys(rows["query_id"])), passages.get(id_keys(rows["passage_id"]))))
    query, passage = (np.concatenate(part) for part in zip(*found, strict=True))
    known = (query != 0) & (passage != 0)
    return query[known], passage[known]

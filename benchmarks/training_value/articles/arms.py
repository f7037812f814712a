"""The training sets that the benchmark compares: the same queries and positives, other negatives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
from datasets import Dataset

from benchmarks.training_value.articles import sets
from benchmarks.training_value.articles.sets import MinedSets


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
        rows: (anchor, positive[, negative[, score]]), ``score`` being the margin that MarginMSELoss takes; None: the
            model stays as it is.
        loss: ``mnrl`` (MultipleNegativesRankingLoss), ``gist`` or ``margin-mse``.
    """

    kind: Kind
    rows: Dataset | None
    loss: str = "mnrl"
    no_duplicates: bool = False

    def trains_as(self, other: Arm) -> bool:
        """Return whether both train on the same rows, in the same order, in the same way."""
        if self.rows is None or other.rows is None:
            return False
        same_way = (self.loss, self.no_duplicates) == (other.loss, other.no_duplicates)
        same_columns = self.rows.column_names == other.rows.column_names
        return same_way and same_columns and self.rows.to_dict() == other.rows.to_dict()


def make_arm(kind: Kind, mined: MinedSets, seed: int) -> Arm:
    """Return a kind's training set; ``seed`` draws the random negatives."""
    match kind:
        case Kind.UNTRAINED:
            return Arm(kind, None)
        case Kind.IN_BATCH:
            return Arm(kind, _texts(mined, mined.rows(sets.QUERIES)).remove_columns("negative"))
        case Kind.RANDOM:
            return Arm(kind, _texts(mined, _random(mined, seed)))
        case Kind.GIST:
            return Arm(kind, _texts(mined, mined.rows(sets.DENSE)), loss="gist")
        case Kind.NO_DUPLICATES:
            return Arm(kind, _texts(mined, mined.rows(sets.DENSE)), no_duplicates=True)
        case Kind.HARDNEG_NO_DUPLICATES:
            return Arm(kind, _texts(mined, mined.rows(sets.HARDNEG)), no_duplicates=True)
        case Kind.DISTILLED:
            rows = mined.rows(sets.HARDNEG)
            margins = rows["positive_logit"].to_numpy() - rows["negative_logit"].to_numpy()
            return Arm(kind, _texts(mined, rows).add_column("score", margins.tolist()), loss="margin-mse")
        case _:
            name = {
                Kind.HARDNEG: sets.HARDNEG,
                Kind.DENSE: sets.DENSE,
                Kind.BM25: sets.BM25,
                Kind.PEER: sets.PEER,
                Kind.PEER_RERANKED: sets.PEER_RERANKED,
            }[kind]
            return Arm(kind, _texts(mined, mined.rows(name)))


def _texts(mined: MinedSets, rows: pa.Table) -> Dataset:
    """Return (anchor, positive, negative) of a set, in the order of its query ids."""
    return Dataset.from_dict(
        {
            "anchor": [mined.texts[query] for query in rows["query_id"].to_pylist()],
            "positive": [mined.corpus[passage] for passage in rows["positive_id"].to_pylist()],
            "negative": [passage and mined.corpus[passage] for passage in rows["negative_id"].to_pylist()],
        }
    )


def _random(mined: MinedSets, seed: int) -> pa.Table:
    """Draw a passage for each query that is not known to be relevant."""
    generator, passages = np.random.default_rng(seed), sorted(mined.corpus)
    rows = mined.rows(sets.QUERIES).to_pylist()
    for row in rows:
        known = mined.known_texts(row["query_id"])
        drawn = (passages[place] for place in generator.integers(len(passages), size=100))
        row["negative_id"] = next(passage for passage in drawn if mined.corpus[passage] not in known)
    return pa.Table.from_pylist(rows, schema=sets.ROWS)

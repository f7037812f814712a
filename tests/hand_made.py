"""Hand-made blocks: a few queries and passages, whose logits and similarities are functions of their texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from hardneg.transforms.core.block import Block, TextsOf
from hardneg.transforms.core.partition import DIGEST
from hardneg.transforms.core.schemas import BLOCK_TEXTS, JOINED
from hardneg.transforms.core.source import Source
from hardneg.transforms.core.text import cut_digest, text_digest
from hardneg.transforms.corpus.texts import texts_from_table
from hardneg.transforms.filters.policy import Policy, Rules
from hardneg.transforms.filters.registry import make_filters
from hardneg.transforms.inputs.evaluation_sets import NOTHING_HELD_OUT, Holdout
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge
from hardneg.transforms.judge.judge import single_signal_judge
from hardneg.transforms.mining.rows import Mined, mine_block

SOURCES = [Source("bm25", signal="bm25"), Source.of_similarity("dense"), Source("r")]


def filters(policy: Policy, **options: Any) -> Policy:
    """Return a policy with the filters that these options ask for."""
    return replace(policy, filters=make_filters(options))


LAZY = filters(Policy(negatives=2, order="similarity"), max_sigmoid=0.1)
FULL = replace(LAZY, score_all=True)
# No threshold of the judge's own; half of the known positives score above 1.5.
LOGIT = CalibratedJudge("cross-encoder", single_signal_judge("logit", "logit"), positive_median=1.5)


class Case:
    """A few queries and passages; a pair's logit and similarity are functions of its texts."""

    def __init__(self, queries: dict[str, dict[str, Any]], passages: dict[str, str], logits: dict[str, float]) -> None:
        self.queries = queries
        self.passages = passages
        self.logits = logits
        self.calls: list[list[tuple[str, str]]] = []

    def score(self, queries: Sequence[str], passages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        assert len(queries) == len(passages)
        self.calls.append(list(zip(queries, passages, strict=True)))
        logits = np.array([self.logits[passage] for passage in passages], dtype=np.float32)
        return logits, np.array([len(passage) > 30 for passage in passages], dtype=bool)

    def block(self, names: Sequence[str]) -> Block:
        """Return a block of some queries; ``retrieved`` passages are ranked in the order given."""
        names = sorted(names)
        known = [self.queries[name] for name in names]
        texts = [query.get("text", f"query {name}") for query, name in zip(known, names, strict=True)]
        judged = [sorted(query.get("grades", {}).items()) for query in known]
        queries = pa.table(
            [
                names,
                texts,
                [cut_digest(name) for name in names],
                pa.array([text_digest(text) for text in texts], DIGEST),
                pa.array([[name for name, _ in pairs] for pairs in judged], pa.list_(pa.string())),
                pa.array([[grade for _, grade in pairs] for pairs in judged], pa.list_(pa.float64())),
                pa.array([sorted(query.get("shared", [])) for query in known], pa.list_(pa.string())),
            ],
            schema=JOINED,
        )
        ids = sorted(self.passages)
        rows = []
        for number, query in enumerate(known):
            retrieved = query.get("retrieved", ids)
            for passage in sorted(
                {*retrieved, *query.get("grades", {}), *query.get("shared", []), *query.get("more", [])}
            ):
                rank = retrieved.index(passage) + 1 if passage in retrieved else None
                rows.append(
                    {
                        "query": number,
                        "segment": ids.index(passage) % 2,
                        "row": ids.index(passage) // 2,
                        "passage_id": passage,
                        "text_digest": text_digest(self.passages[passage]),
                        "source": f"from {passage}",
                        "bm25": 0.5,
                        "similarity_dense": 1 - 0.01 * (rank or 99),
                        "rank_bm25": rank,
                        "rank_dense": rank if rank and rank % 2 else None,
                        "rank_r": None,
                        "fused_rank": rank,
                    }
                )
        schema = pa.schema(
            [
                *(("query", pa.int32()), ("segment", pa.int32()), ("row", pa.int32()), ("passage_id", pa.string())),
                *(("text_digest", DIGEST), ("source", pa.string())),
                *(("bm25", pa.float32()), ("similarity_dense", pa.float32())),
                *((name, pa.int32()) for name in ("rank_bm25", "rank_dense", "rank_r", "fused_rank")),
            ]
        )
        return Block(queries, pa.Table.from_pylist(rows, schema), BLOCK_TEXTS.empty_table())

    def mine(
        self,
        policy: Policy,
        names: Sequence[str] | None = None,
        denoising: CalibratedJudge = LOGIT,
        holdout: Holdout = NOTHING_HELD_OUT,
    ) -> Mined:
        self.calls = []
        block = self.block(names or list(self.queries))
        rules = Rules(tuple(SOURCES), policy, holdout)
        return mine_block(block, rules, denoising, self.texts_of(), self.score)

    def texts_of(self) -> TextsOf:
        ids = sorted(self.passages)
        texts = pa.table(
            [
                pa.array([place % 2 for place in range(len(ids))], pa.int32()),
                pa.array([place // 2 for place in range(len(ids))], pa.int32()),
                pa.array([self.passages[name] for name in ids], pa.string()),
            ],
            schema=BLOCK_TEXTS,
        )
        return texts_from_table(texts)


def by_pair(mined: Mined) -> dict[tuple[str, str], dict[str, Any]]:
    rows = mined.candidates.to_pylist()
    pairs = {(row["query_id"], row["passage_id"]): row for row in rows}
    assert len(pairs) == len(rows)
    return pairs

"""The block loop on hand-made blocks: verdicts, triplets and counts, lazy as full, whatever the block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hand_made import FULL, LAZY, Case, by_pair, filters
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from hardneg.transforms.core.text import cut_digest, text_digest
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.output.layout import TRIPLET_KEYS, TRIPLETS


@pytest.fixture
def case() -> Case:
    return Case(
        {
            "q1": {
                "grades": {"own": 1, "far": 2, "partly": 0.5, "zero": 0},
                "retrieved": ["own", "n1", "hot", "zero", "n2", "twin", "partly", "n3"],
            },
            "q2": {"grades": {"own": 1}, "shared": ["n1"], "retrieved": ["hot", "n1", "warm"], "more": ["n3"]},
            "q3": {},
        },
        {
            "own": "positive of two", "far": "positive that nobody retrieved and that is long", "partly": "partial",
            "zero": "judged zero", "twin": "Positive  of two", "n1": "one", "n2": "two", "n3": "three",
            "hot": "looks relevant", "warm": "nearly",
        },
        {
            "positive of two": 5.0, "positive that nobody retrieved and that is long": 4.0, "Positive  of two": 5.0,
            "partial": 0.0, "judged zero": -6.0, "one": -5.0, "two": -4.0, "three": -9.0, "looks relevant": 2.0,
            "nearly": -2.0,
        },
    )  # fmt: skip


def test_a_block_is_judged(case: Case) -> None:
    rows = by_pair(case.mine(LAZY, ["q1", "q2"]))
    verdicts = {pair: (row["verdict"], row["reason"], row["selected"]) for pair, row in rows.items()}
    assert verdicts == {
        ("q1", "own"): ("positive", None, None),
        ("q1", "far"): ("positive", None, None),
        ("q1", "partly"): ("dropped", "partially_relevant", None),
        ("q1", "twin"): ("dropped", "equal_to_positive", None),
        ("q1", "n1"): ("negative", None, 1),
        ("q1", "hot"): ("suspected_positive", "above_max_sigmoid", None),
        ("q1", "zero"): ("negative", None, 2),
        ("q1", "n2"): ("unscored", None, None),
        ("q1", "n3"): ("unscored", None, None),
        ("q2", "own"): ("positive", None, None),
        ("q2", "n1"): ("dropped", "positive_of_equal_query", None),
        ("q2", "hot"): ("suspected_positive", "above_max_sigmoid", None),
        ("q2", "warm"): ("dropped", "above_max_sigmoid", None),  # its sigmoid is 0.119; no positive scores like it
        # n3 was only looked at for q2: it is no candidate.
    }
    assert rows["q1", "zero"]["grade"] == 0
    assert rows["q1", "partly"]["grade"] == 0.5
    assert rows["q1", "n1"]["grade"] is None
    assert rows["q1", "far"]["fused_rank"] is None
    assert rows["q1", "far"]["sources"] == []
    assert rows["q1", "n1"]["sources"] == ["bm25"]
    assert rows["q1", "own"]["sources"] == ["bm25", "dense"]
    for row in rows.values():
        assert row["judge_score"] == row["logit"]
        scored = row["verdict"] in ("positive", "negative", "suspected_positive") or row["passage_id"] == "warm"
        assert (row["logit"] is not None) == scored
        if scored:
            assert row["logit"] == case.logits[case.passages[row["passage_id"]]]


def test_triplets_are_positives_times_mined(case: Case) -> None:
    mined = case.mine(LAZY, ["q1", "q2"])
    assert mined.triplets.schema == pa.schema([*TRIPLETS, *TRIPLET_KEYS])
    far, own = case.passages["far"], case.passages["own"]
    rows = sorted(
        (row["anchor"], row["positive"], row["negative"], row["selected"]) for row in mined.triplets.to_pylist()
    )
    assert rows == sorted(
        [
            ("query q1", own, "one", 1),
            ("query q1", own, "judged zero", 2),
            ("query q1", far, "one", 1),
            ("query q1", far, "judged zero", 2),
        ]
    )
    words = {"positive", "suspected_positive", "partially_relevant", "equal_to_positive"}
    avoided = {
        text_digest(case.passages[row["passage_id"]])
        for row in mined.candidates.to_pylist()
        if row["query_id"] == "q1" and words & {row["verdict"], row["reason"]}
    }
    assert len(avoided) == 4
    for row in mined.triplets.to_pylist():
        assert row["query_id"] == "q1"
        assert row["query_digest"] == cut_digest("q1")
        assert row["query_text"] == text_digest(row["anchor"])
        assert row["shown"] == [text_digest(row["positive"]), text_digest(row["negative"])]
        assert set(row["avoided"]) == avoided
        assert case.passages[row["positive_id"]] == row["positive"]


def test_counts(case: Case) -> None:
    counts = case.mine(LAZY).counts
    assert counts == {
        "queries": 3,
        "pairs_retrieved": 8 + 3 + 10,
        "pairs_scored": (2 + 3) + (1 + 2) + 4,
        "pairs_cut": 2,
        "pairs_missing": 0,
        "positives": 3,
        "positives_retrieved": 1,
        "positives_held_out": 0,
        "weak_positives": 0,
        "mined": 4,
        "triplets": 4,
        "verdict_positive": 3,
        "verdict_negative": 4,
        "verdict_suspected_positive": 1 + 1 + 2,
        "verdict_dropped": 2 + 2 + 1,
        "verdict_unscored": 2 + 5,
        "reason_partially_relevant": 1,
        "reason_equal_to_positive": 1,
        "reason_positive_of_equal_query": 1,
        "reason_duplicate": 1,
        "reason_above_max_sigmoid": 5,
        "queries_short": 1,
        "queries_short_dropped": 1,
        "queries_without_negatives": 1,
    }


def test_everything_is_scored_once(case: Case) -> None:
    lazy = case.mine(LAZY)
    pairs = [pair for call in case.calls for pair in call]
    assert len(pairs) == len(set(pairs)) == lazy.counts["pairs_scored"]
    full = case.mine(FULL)
    pairs = [pair for call in case.calls for pair in call]
    assert len(pairs) == len(set(pairs)) == full.counts["pairs_scored"]
    assert full.counts["verdict_unscored"] == 0
    assert full.triplets.sort_by("negative").equals(lazy.triplets.sort_by("negative"))


def test_columns_pass_through_and_types_hold(case: Case) -> None:
    policy = replace(LAZY, order="fused", pass_through=("source",))
    table = case.mine(policy).candidates
    assert table.column_names == [
        *("query_id", "passage_id", "segment", "row", "sources", "rank_bm25", "rank_dense", "rank_r", "bm25"),
        *(
            "similarity_dense",
            "fused_rank",
            "grade",
            "seen_in_training",
            "logit",
            "judge_score",
            "verdict",
            "reason",
            "selected",
        ),
        *("difficulty", "source", "query_digest"),
    ]
    assert all(row["source"] == f"from {row['passage_id']}" for row in table.to_pylist())
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert [types[name] for name in ("rank_r", "fused_rank", "selected")] == ["int32"] * 3
    assert [types[name] for name in ("grade", "logit", "judge_score", "bm25", "similarity_dense")] == ["float"] * 5
    assert types["sources"].startswith("list<")
    assert table["verdict"].null_count == 0


def test_a_query_without_positives_is_mined_but_gives_no_triplet(case: Case) -> None:
    mined = case.mine(LAZY, ["q3"])
    assert len(mined.triplets) == 0
    assert mined.triplets.schema == pa.schema([*TRIPLETS, *TRIPLET_KEYS])
    assert mined.counts["mined"] == 2
    assert sorted(row["selected"] for row in mined.candidates.to_pylist() if row["selected"]) == [1, 2]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"grades": {"own": 1}, "retrieved": ["own", "n1"]}, "few_candidates"),
        ({"grades": {"own": 1}, "retrieved": ["own"]}, "few_candidates"),
        ({"grades": {"own": 1}, "retrieved": []}, "few_candidates"),
        ({"grades": {"own": 1}, "retrieved": ["own", "twin", "n1"]}, "dropped"),
        ({"grades": {"own": 1}, "retrieved": ["twin", "hot", "n1"]}, "suspected_positives"),
        # What was looked up but not retrieved, as shared positives are, or a segment's hits, does not count.
        ({"grades": {"own": 1}, "shared": ["n2"], "more": ["twin"], "retrieved": ["n1"]}, "few_candidates"),
    ],
)
def test_why_a_query_is_short(case: Case, query: dict[str, Any], reason: str) -> None:
    case.queries = {"q": query}
    counts = case.mine(LAZY).counts
    short = {name: count for name, count in counts.items() if name.startswith("queries_short")}
    assert short == {"queries_short": 1, f"queries_short_{reason}": 1}
    assert counts.get("queries_without_negatives", 0) == ("n1" not in query["retrieved"])


def test_a_block_without_candidates(case: Case) -> None:
    """Queries for which nothing was found, and that have no positive either."""
    case.queries = {"q1": {"retrieved": []}, "q2": {"retrieved": []}}
    for policy in (LAZY, FULL):
        mined = case.mine(policy)
        assert len(mined.candidates) == len(mined.triplets) == 0
        assert mined.counts["queries_short_few_candidates"] == mined.counts["queries_without_negatives"] == 2
        assert mined.counts["pairs_scored"] == 0


def test_every_candidate_is_masked(case: Case) -> None:
    case.queries = {"q1": {"grades": {"own": 1, "partly": 0.5}, "retrieved": ["own", "twin", "partly"]}}
    mined = case.mine(LAZY)
    assert len(mined.triplets) == 0
    assert mined.counts["queries_short_dropped"] == 1
    assert mined.counts["pairs_scored"] == 1


@examples(60)
@given(st.integers(0, 2**32), st.integers(1, 4), st.sampled_from(["similarity", "fused"]))
def test_laziness_and_blocks_change_nothing(seed: int, negatives: int, order: Any) -> None:
    """Random blocks: the whole block, each query alone, and full scoring agree."""
    rng = np.random.default_rng(seed)
    names = [f"p{number:02d}" for number in range(25)]
    passages = {name: f"text {rng.integers(0, 20)}" for name in names}
    queries = {}
    for number in range(4):
        picked = rng.permutation(names).tolist()
        grades = {name: float(rng.choice([1, 2, 0.5, 0, -1])) for name in picked[: rng.integers(0, 4)]}
        queries[f"q{number}"] = {"grades": grades, "retrieved": rng.permutation(picked[: rng.integers(0, 25)]).tolist()}
    case = Case(queries, passages, {f"text {number}": float(rng.normal(-2, 2)) for number in range(20)})
    lazy = filters(Policy(negatives, order), max_sigmoid=0.1)
    together = case.mine(lazy)
    full = case.mine(replace(lazy, score_all=True))
    alone = [case.mine(lazy, [name]) for name in queries]
    assert pa.concat_tables([mined.candidates for mined in alone]).equals(together.candidates)
    assert pa.concat_tables([mined.triplets for mined in alone]).equals(together.triplets)
    for name, count in together.counts.items():
        assert sum(mined.counts.get(name, 0) for mined in alone) == count, name
    # What a full run scores beyond, it keeps out of a query's batches.
    assert full.triplets.drop_columns("avoided").equals(together.triplets.drop_columns("avoided"))
    for one, other in zip(together.candidates.to_pylist(), full.candidates.to_pylist(), strict=True):
        if one["verdict"] == "dropped" and one["logit"] is None:
            assert other["logit"] is not None  # everything retrieved is scored; the verdict stays
            one = {**one, **{name: other[name] for name in ("logit", "judge_score")}}
        if one["verdict"] == "unscored":
            assert other["verdict"] in ("negative", "suspected_positive", "dropped")
            one = {**one, **{name: other[name] for name in ("verdict", "reason", "logit", "judge_score")}}
        assert one == other
    # No made-up row: each negative passed, is no positive's text, and has its anchor's query.
    positive_texts = {
        name: {passages[p] for p, grade in query["grades"].items() if grade >= 1} for name, query in queries.items()
    }
    for row in together.triplets.to_pylist():
        assert case.logits[row["negative"]] < np.log(0.1 / 0.9) + 1e-5
        assert row["positive"] in positive_texts[row["query_id"]]
        assert row["negative"] not in positive_texts[row["query_id"]]

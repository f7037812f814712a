"""What is known not to be a negative, and why: every reason, its precedence, equal texts under other ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.transforms.core.partition import DIGEST
from hardneg.transforms.core.text import text_digest
from hardneg.transforms.filters.known import mask_known
from hardneg.transforms.filters.verdicts import Reason, Verdict

POSITIVE, DROPPED = Verdict.POSITIVE, Verdict.DROPPED
OPEN: tuple[None, None] = (None, None)


def queries_table(*queries: dict[str, Any]) -> pa.Table:
    """Return a table of queries: text, grades by passage id, ids shared with equal queries."""
    return pa.table(
        {
            "text_digest": pa.array([text_digest(query.get("text", "what?")) for query in queries], DIGEST),
            "judged_ids": pa.array([sorted(query.get("grades", {})) for query in queries], pa.list_(pa.string())),
            "judged_grades": pa.array(
                [[grade for _, grade in sorted(query.get("grades", {}).items())] for query in queries],
                pa.list_(pa.float64()),
            ),
            "shared_ids": pa.array([sorted(query.get("shared", [])) for query in queries], pa.list_(pa.string())),
        }
    )


def candidates_table(rows: list[tuple[int, str, str, int | None]]) -> pa.Table:
    """Return a table of candidates from (query, passage id, text, fused rank), sorted as after the merge."""
    rows = sorted(rows, key=lambda row: row[:2])
    return pa.table(
        {
            "query": pa.array([row[0] for row in rows], pa.int32()),
            "passage_id": pa.array([row[1] for row in rows], pa.string()),
            "text_digest": pa.array([text_digest(row[2]) for row in rows], DIGEST),
            "fused_rank": pa.array([row[3] for row in rows], pa.int32()),
        }
    )


def mask(
    query: dict[str, Any], texts: dict[str, str], ranks: dict[str, int | None] | None = None, min_relevance: float = 1
) -> dict[str, tuple[str | None, str | None]]:
    """Mask one query's candidates, ranked in the order given unless ``ranks`` says otherwise."""
    given_ranks = {name: place for place, name in enumerate(texts, start=1)} if ranks is None else ranks
    table = candidates_table([(0, name, text, given_ranks.get(name)) for name, text in texts.items()])
    decisions, _ = mask_known(queries_table(query), table, min_relevance)
    verdicts, reasons = (column.to_pylist() for column in decisions.columns())
    return dict(zip(table["passage_id"].to_pylist(), zip(verdicts, reasons, strict=True), strict=True))


def test_every_reason() -> None:
    masked = mask(
        {"text": "What?", "grades": {"own": 1, "partly": 0.5, "refused": -1, "zero": 0}, "shared": ["theirs"]},
        {
            "own": "positive",
            "theirs": "other positive",
            "partly": "partial",
            "refused": "refused",
            "zero": "judged not relevant",
            "twin": "POSITIVE ",
            "theirs-twin": "other  positive",
            "query": " what?",
            "first": "same",
            "second": "Same",
            "free": "free",
        },
    )
    assert masked == {
        "own": (POSITIVE, None),
        "theirs": (DROPPED, Reason.POSITIVE_OF_EQUAL_QUERY),
        "partly": (DROPPED, Reason.PARTIALLY_RELEVANT),
        "refused": (DROPPED, Reason.NEGATIVE_GRADE),
        "zero": OPEN,
        "twin": (DROPPED, Reason.EQUAL_TO_POSITIVE),
        "theirs-twin": (DROPPED, Reason.EQUAL_TO_POSITIVE),
        "query": (DROPPED, Reason.EQUAL_TO_QUERY),
        "first": OPEN,
        "second": (DROPPED, Reason.DUPLICATE),
        "free": OPEN,
    }


@pytest.mark.parametrize(
    ("grade", "min_relevance", "expected"),
    [
        (1, 1, (POSITIVE, None)),
        (2, 1, (POSITIVE, None)),
        (0.99, 1, (DROPPED, Reason.PARTIALLY_RELEVANT)),
        (1, 2, (DROPPED, Reason.PARTIALLY_RELEVANT)),
        (0, 1, OPEN),
        (0, 0.001, OPEN),
        (-0.5, 1, (DROPPED, Reason.NEGATIVE_GRADE)),
    ],
)
def test_grades(grade: float, min_relevance: float, expected: tuple) -> None:
    assert mask({"grades": {"p": grade}}, {"p": "text"}, min_relevance=min_relevance) == {"p": expected}


def test_grades_are_handed_on() -> None:
    table = candidates_table([(0, "a", "x", 1), (0, "b", "y", 2), (1, "a", "x", 1)])
    _, grades = mask_known(queries_table({"grades": {"a": 0, "elsewhere": 3}}, {"grades": {"a": -2}}), table, 1)
    np.testing.assert_array_equal(grades, [0, np.nan, -2])


@pytest.mark.parametrize("grade", [0.5, 0, -1])
def test_a_shared_positive_counts_before_the_own_grade(grade: float) -> None:
    """What an equal query calls positive is masked, whatever grade below a positive it has here."""
    assert mask({"grades": {"p": grade}, "shared": ["p"]}, {"p": "x"}) == {
        "p": (DROPPED, Reason.POSITIVE_OF_EQUAL_QUERY)
    }


def test_an_own_positive_stays_positive_beside_its_twins() -> None:
    """Two positives of one text are both positives, and so is one that repeats the query."""
    masked = mask({"text": "same", "grades": {"a": 1, "b": 1}}, {"a": "same", "b": "SAME", "c": "same"})
    assert masked == {"a": (POSITIVE, None), "b": (POSITIVE, None), "c": (DROPPED, Reason.EQUAL_TO_POSITIVE)}


KNOWN = {
    # What is known of a text, from the strongest to the weakest, and the reason its unjudged twin gets.
    "own": Reason.EQUAL_TO_POSITIVE,
    "partly": Reason.PARTIALLY_RELEVANT,
    "refused": Reason.NEGATIVE_GRADE,
    "query": Reason.EQUAL_TO_QUERY,
}


@settings(deadline=None)
@given(st.permutations(list(KNOWN)), st.sets(st.sampled_from(list(KNOWN)), min_size=1), st.booleans())
def test_a_text_known_in_several_ways(order: list[str], known: set[str], shared: bool) -> None:
    """The strongest reason counts, whatever the order of the ids."""
    ids = {name: f"{place}-{name}" for place, name in enumerate(order)}
    grades = {"own": 1.0, "partly": 0.5, "refused": -1.0}
    own = {} if shared else {"own": grades["own"]}
    judged = {ids[name]: grade for name, grade in (own | {n: grades[n] for n in ("partly", "refused")}).items()}
    query = {
        "text": "text" if "query" in known else "what?",
        "grades": {
            identifier: judged[identifier] for name, identifier in ids.items() if name in known and identifier in judged
        },
        "shared": [ids["own"]] if shared and "own" in known else [],
    }
    texts = {ids[name]: "text" for name in known if name != "query"} | {"9-twin": "TEXT"}
    expected = next(reason for name, reason in KNOWN.items() if name in known)
    assert mask(query, texts)["9-twin"] == (DROPPED, expected)


@pytest.mark.parametrize(("kept", "dropped"), [("a", "b"), ("b", "a")])
def test_of_equal_texts_the_best_ranked_stays(kept: str, dropped: str) -> None:
    masked = mask({}, {"a": "same", "b": "same"}, {kept: 1, dropped: 2})
    assert masked == {kept: OPEN, dropped: (DROPPED, Reason.DUPLICATE)}


def test_a_candidate_that_was_not_retrieved_displaces_none() -> None:
    masked = mask({}, {"a": "same", "b": "same"}, {"a": None, "b": 90})
    assert masked == {"b": OPEN, "a": (DROPPED, Reason.DUPLICATE)}


def test_a_positive_that_was_not_retrieved_masks_its_twins() -> None:
    assert mask({"grades": {"p": 1}}, {"p": "x", "twin": "x"}, {"twin": 1}) == {
        "p": (POSITIVE, None),
        "twin": (DROPPED, Reason.EQUAL_TO_POSITIVE),
    }


def test_queries_do_not_see_each_other() -> None:
    queries = queries_table({"text": "a", "grades": {"p": 1}}, {"text": "b"}, {"text": "c", "grades": {"q": 1}})
    table = candidates_table([(0, "p", "x", 1), (0, "q", "y", 2), (2, "p", "x", 1), (2, "q", "y", 2)])
    decisions, _ = mask_known(queries, table, 1)
    verdicts, reasons = (column.to_pylist() for column in decisions.columns())
    assert list(zip(verdicts, reasons, strict=True)) == [(POSITIVE, None), OPEN, OPEN, (POSITIVE, None)]


def test_no_candidates() -> None:
    decisions, grades = mask_known(queries_table({}), candidates_table([]), 1)
    assert len(decisions.verdicts) == len(decisions.reasons) == len(grades) == 0


@settings(deadline=None)
@given(st.data())
def test_against_a_plain_reading_of_the_rules(data: st.DataObject) -> None:
    """Random queries with few texts and few grades, compared with one rule after another over all pairs."""
    names = data.draw(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1))
    texts = {name: data.draw(st.sampled_from(["x", "y", "z", "what?"])) for name in names}
    grades = {
        name: grade
        for name in names
        if (grade := data.draw(st.sampled_from([None, None, 1.0, 0.5, 0.0, -1.0]))) is not None
    }
    positives = {name for name, grade in grades.items() if grade >= 1}
    shared = {name for name in names if name not in positives and data.draw(st.booleans())}
    ranks = dict(zip(data.draw(st.permutations(names)), range(1, 9), strict=False))
    masked = mask({"grades": grades, "shared": shared}, texts, ranks)

    def has_text(name: str, which: Any) -> bool:
        return any(texts[other] == texts[name] for other in which)

    partly = {name for name, grade in grades.items() if 0 < grade < 1 and name not in shared}
    refused = {name for name, grade in grades.items() if grade < 0 and name not in shared}
    for name in names:
        if name in positives:
            expected: tuple = (POSITIVE, None)
        elif name in shared:
            expected = (DROPPED, Reason.POSITIVE_OF_EQUAL_QUERY)
        elif name in partly:
            expected = (DROPPED, Reason.PARTIALLY_RELEVANT)
        elif name in refused:
            expected = (DROPPED, Reason.NEGATIVE_GRADE)
        elif has_text(name, positives | shared):
            expected = (DROPPED, Reason.EQUAL_TO_POSITIVE)
        elif has_text(name, partly):
            expected = (DROPPED, Reason.PARTIALLY_RELEVANT)
        elif has_text(name, refused):
            expected = (DROPPED, Reason.NEGATIVE_GRADE)
        elif texts[name] == "what?":
            expected = (DROPPED, Reason.EQUAL_TO_QUERY)
        elif any(texts[other] == texts[name] and ranks[other] < ranks[name] for other in names):
            expected = (DROPPED, Reason.DUPLICATE)
        else:
            expected = OPEN
        assert masked[name] == expected, name

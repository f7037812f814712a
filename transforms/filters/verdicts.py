"""What becomes of a candidate, and why: the words of the columns ``verdict`` and ``reason``, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from hardneg.errors import parameter

# Where a reason comes from: what is known of a pair, a demand that needs no logit, one that does, or the positives.
Kind = Literal["mask", "guard", "threshold", "positive"]


class Verdict(StrEnum):
    NEGATIVE = "negative"
    POSITIVE = "positive"
    SUSPECTED_POSITIVE = "suspected_positive"
    DROPPED = "dropped"
    UNSCORED = "unscored"


class Reason(StrEnum):
    """The reasons that code asks for by name. Those of the other filters stand with them (``Filter.reason``)."""

    POSITIVE_OF_EQUAL_QUERY = "positive_of_equal_query"
    PARTIALLY_RELEVANT = "partially_relevant"
    NEGATIVE_GRADE = "negative_grade"
    EQUAL_TO_POSITIVE = "equal_to_positive"
    EQUAL_TO_QUERY = "equal_to_query"
    DUPLICATE = "duplicate"
    HELD_OUT = "held_out"
    ABOVE_THRESHOLD = "above_threshold"
    WEAK_POSITIVE = "weak_positive"  # of a positive, which keeps its verdict


# Of a candidate that is dropped because it is, or may well be, relevant. So no batch should show it to its query.
LIKE_A_POSITIVE = (
    Reason.POSITIVE_OF_EQUAL_QUERY,
    Reason.PARTIALLY_RELEVANT,
    Reason.EQUAL_TO_POSITIVE,
    "marked_relevant",
    "same_group",
    "near_duplicate",
)


@dataclass(frozen=True)
class Meaning:
    """What a reason says of a candidate.

    Attributes:
        reason: its name.
        kind: where it comes from.
        sentence: in words, with parameters as in errors; file and column names between backticks.
        options: the parameters that decide.
        beside: other sentences, for the verdicts beside which the first one would not do.
    """

    reason: str
    kind: Kind
    sentence: str
    options: tuple[str, ...] = ()
    beside: Mapping[Verdict, str] = field(default_factory=dict)


# What masks decide: from judgements and texts alone, so that no policy changes it. In the order of precedence.
MASKS = (
    Meaning(Reason.POSITIVE_OF_EQUAL_QUERY, "mask", "a positive of another query with an equal text"),
    Meaning(
        Reason.PARTIALLY_RELEVANT,
        "mask",
        f"its grade, or that of a passage with an equal text, is above 0 but below {parameter('min_relevance')}",
        ("min_relevance",),
    ),
    Meaning(Reason.NEGATIVE_GRADE, "mask", "its grade, or that of a passage with an equal text, is below 0"),
    Meaning(
        Reason.EQUAL_TO_POSITIVE,
        "mask",
        "its text equals that of a positive, under another id, or is that text in other wrapping",
    ),
    Meaning(
        Reason.EQUAL_TO_QUERY,
        "mask",
        "its text equals the query's, or is that text in other wrapping; or it is the query's own document",
    ),
    Meaning(Reason.DUPLICATE, "mask", "its text equals that of a better-ranked candidate of the query"),
)
OF_JUDGE = Meaning(Reason.ABOVE_THRESHOLD, "threshold", "its judge score is not below the threshold of `judge.json`")
OF_POSITIVE = Meaning(
    Reason.WEAK_POSITIVE,
    "positive",
    f"known relevant, but scores like a negative, and {parameter('drop_weak_positives')} leaves it out of the triplets",
)

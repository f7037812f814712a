"""TODO."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    NEGATIVE = "negative"
    POSITIVE = "positive"
    SUSPECTED_POSITIVE = "suspected_positive"
    DROPPED = "dropped"
    UNSCORED = "unscored"


class Reason(StrEnum):
    """Why a candidate has its verdict; the first that applies, in this order."""

    POSITIVE_OF_EQUAL_QUERY = "positive_of_equal_query"
    PARTIALLY_RELEVANT = "partially_relevant"
    NEGATIVE_GRADE = "negative_grade"
    EQUAL_TO_POSITIVE = "equal_to_positive"
    EQUAL_TO_QUERY = "equal_to_query"
    DUPLICATE = "duplicate"
    HELD_OUT = "held_out"
    OUTSIDE_RANKS = "outside_ranks"
    SAME_GROUP = "same_group"
    NEAR_DUPLICATE = "near_duplicate"
    RELATIVE_MARGIN = "relative_margin"
    ABOVE_THRESHOLD = "above_threshold"
    ABOVE_MAX_SIGMOID = "above_max_sigmoid"
    ABSOLUTE_MARGIN = "absolute_margin"
    BELOW_MIN_SIGMOID = "below_min_sigmoid"
    WEAK_POSITIVE = "weak_positive"  # of a positive, which keeps its verdict

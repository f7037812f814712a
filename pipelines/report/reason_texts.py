"""What verdicts, reasons and status words mean, in one sentence each: the wording of the README's tables."""

from __future__ import annotations

from hardneg.transforms.filters.verdicts import Reason, Verdict

VERDICTS = {
    Verdict.POSITIVE: "known relevant: a grade of at least --min-relevance",
    Verdict.NEGATIVE: "passed every threshold; mined if it is also selected",
    Verdict.SUSPECTED_POSITIVE: "perhaps relevant, so worth a look",
    Verdict.DROPPED: "left out",
    Verdict.UNSCORED: "not scored, because the query had its negatives before its turn came",
}
REASONS = {
    Reason.POSITIVE_OF_EQUAL_QUERY: "a positive of another query with an equal text",
    Reason.PARTIALLY_RELEVANT: "its grade, or that of a passage with an equal text, is above 0 but below "
    "--min-relevance",
    Reason.NEGATIVE_GRADE: "its grade, or that of a passage with an equal text, is below 0",
    Reason.EQUAL_TO_POSITIVE: "its text equals that of a positive, under another id",
    Reason.EQUAL_TO_QUERY: "its text equals the query's",
    Reason.DUPLICATE: "its text equals that of a better-ranked candidate of the query",
    Reason.HELD_OUT: "a gold passage of a --holdout set",
    Reason.OUTSIDE_RANKS: "its fused rank is before --min-rank or after --max-rank",
    Reason.SAME_GROUP: "from the document of a positive",
    Reason.NEAR_DUPLICATE: "its text nearly repeats a positive's: --near-duplicates",
    Reason.RELATIVE_MARGIN: "its similarity is not --relative-margin below the query's lowest positive",
    Reason.ABOVE_THRESHOLD: "its judge score is not below the threshold of judge.json",
    Reason.ABOVE_MAX_SIGMOID: "the sigmoid of its logit is not below --max-sigmoid, or the fallback's 0.1",
    Reason.ABSOLUTE_MARGIN: "its logit is not --absolute-margin below the query's lowest positive",
    Reason.BELOW_MIN_SIGMOID: "the sigmoid of its logit is below --min-sigmoid: too easy",
    Reason.WEAK_POSITIVE: "known relevant, but scores like a negative, and --drop-weak-positives leaves it out of the "
    "triplets",
}
_OF_BOTH = {
    (Verdict.POSITIVE, Reason.HELD_OUT): "known relevant, but a gold passage of a --holdout set, so it is in no "
    "triplet",
    (Verdict.SUSPECTED_POSITIVE, Reason.SAME_GROUP): "from the document of a positive, with --same-group suspect",
    (Verdict.DROPPED, Reason.SAME_GROUP): "from the document of a positive, with --same-group forbid",
}
_LIKE_A_POSITIVE = (
    "and its judge score is at least that of the query's lowest positive, or the median of all positives: perhaps "
    "relevant, so worth a look"
)
NOTHING_PROMISED = "nothing promised"
STATUSES = {
    "certified": "a person marked a random sample of the mined pairs, which bounds the rate",
    "estimated": "a one-sided 95 % bound under an assumption: that the scores of unlabelled relevant passages are "
    "distributed like those of labelled ones, up to a factor gamma in density",
    "unsupported": "what was asked for cannot be promised of this run; its reason says why, and what stands instead",
    NOTHING_PROMISED: "no target was asked for, so nothing is known of the false-negative rate",
}


def meaning(verdict: str, reason: str | None) -> str:
    """Return what a verdict and its reason say of a candidate."""
    if verdict not in set(Verdict) or (reason is not None and reason not in set(Reason)):
        return "of another version of hardneg"
    if reason is None:
        return VERDICTS[Verdict(verdict)]
    both = Verdict(verdict), Reason(reason)
    if both in _OF_BOTH:
        return _OF_BOTH[both]
    text = REASONS[both[1]]
    if verdict == Verdict.SUSPECTED_POSITIVE:
        return f"{text}, {_LIKE_A_POSITIVE}"
    return text

"""The drop-in's arguments: settled once, early, by the rules of the function that it stands in for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

OutputFormat = Literal["triplet", "n-tuple", "labeled-pair", "labeled-list"]

FAISS_GPU_LIMIT = 2048  # documents that FAISS on a GPU can retrieve for a query
_WIDER = 10  # candidates for each negative asked, where some will be dropped

logger = logging.getLogger("hardneg.compat.drop_in")


@dataclass(frozen=True)
class Filters:
    """What a candidate's score must keep to; None: anything.

    Attributes:
        max_score: not above this.
        min_score: not below this.
        absolute_margin: at least this far below the lowest of the query's positives.
        relative_margin: below the lowest of the query's positives by at least this share of its magnitude.
    """

    max_score: float | None = None
    min_score: float | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None

    @property
    def of_labels(self) -> bool:
        """Whether a candidate is compared with what is labelled."""
        return self.absolute_margin is not None or self.relative_margin is not None

    @property
    def in_use(self) -> dict[str, float]:
        """The filters that are set, by name, in the order in which they are applied."""
        names = ("absolute_margin", "relative_margin", "max_score", "min_score")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True)
class Request:
    """What is to be mined, and how it is returned.

    Attributes:
        anchor, positive: columns of the dataset.
        filters: on the score.
        range_min: how many of the best survivors are left out.
        range_max: candidates of a query, beside room for its positives.
        num_negatives: asked of each query.
        random: survivors are drawn, not taken from the top.
        include_positives: a query's positives may be among its candidates.
        output_format, output_scores: what the rows look like.
    """

    anchor: str
    positive: str
    filters: Filters
    range_min: int
    range_max: int
    num_negatives: int
    random: bool
    include_positives: bool
    output_format: OutputFormat
    output_scores: bool


def settle_columns(columns: list[str], anchor: str | None, positive: str | None) -> tuple[str, str]:
    """Return the names of the anchor's and the positive's columns: those given, or else the first and the second.

    Raises:
        ValueError: there is no second column, or both are the same.
    """
    for name in (anchor, positive):
        if name and name not in columns:
            logger.warning("The dataset has no column %r; it has %s.", name, ", ".join(map(repr, columns)))
    anchor = anchor if anchor and anchor in columns else columns[0]
    if not positive or positive not in columns:
        if len(columns) < 2:
            raise ValueError("Dataset must contain at least two columns to select the positive column automatically.")
        positive = columns[1]
    if positive == anchor:
        raise ValueError(f"The column {anchor!r} cannot be both anchor and positive: name them both.")
    return anchor, positive


def settle_format(given: Mapping[str, Any]) -> tuple[OutputFormat, bool]:
    """Return the output's format and whether it has scores, of the arguments by name, deprecated ones too.

    Raises:
        ValueError: there is no such format.
    """
    form, scores = given["output_format"], bool(given["output_scores"])
    if given["as_triplets"] is not None:
        form = "triplet" if given["as_triplets"] else "n-tuple"
        logger.warning("`as_triplets` is deprecated: say `output_format=%r`.", form)
    if given["include_positives"]:
        if _may_drop_positives(given):
            logger.warning(
                "With `include_positives=True`, other values than the defaults of `range_min`, `range_max`, "
                "`max_score`, `min_score`, the margins or `sampling_strategy` may still discard the positive values."
            )
        if form != "n-tuple":
            logger.warning('With `include_positives=True`, `output_format` is "n-tuple", which keeps the ranking.')
        form = "n-tuple"
    if form == "n-tuple-scores":
        logger.warning('`output_format="n-tuple-scores"` is deprecated: say "n-tuple" with `output_scores=True`.')
        form, scores = "n-tuple", True
    if form not in get_args(OutputFormat):
        known = ", ".join(repr(name) for name in get_args(OutputFormat))
        raise ValueError(f"Invalid output_format: {form}. Must be one of {known}.")
    return cast("OutputFormat", form), scores


def _may_drop_positives(given: Mapping[str, Any]) -> bool:
    limits = ("range_max", "max_score", "min_score", "absolute_margin", "relative_margin", "margin")
    return (
        given["range_min"] != 0
        or given["sampling_strategy"] != "top"
        or any(given[name] is not None for name in limits)
    )


def settle_filters(given: Mapping[str, Any]) -> Filters:
    """Return the filters of the arguments by name."""
    absolute = given["absolute_margin"]
    if given["margin"] is not None:
        absolute = given["margin"]
        logger.warning("`margin` is deprecated: say `absolute_margin=%s`.", absolute)
    return Filters(given["max_score"], given["min_score"], absolute, given["relative_margin"])


def settle_range(given: Mapping[str, Any], filters: Filters, max_positives: int, faiss: Any = None) -> int:
    """Return ``range_max``, derived where it is not given: wide where some candidates will be dropped or re-ranked.

    Args:
        given: the arguments by name.
        filters: on the score.
        max_positives: rows of the query that has most.
        faiss: the module, if it searches.

    Raises:
        ValueError: the window holds no negatives, or fewer than are asked.
    """
    asked, first, last = given["num_negatives"], given["range_min"], given["range_max"]
    if asked < 1:
        raise ValueError(f"num_negatives must be at least 1, got num_negatives={asked}.")
    note = ""
    if last is None:
        last = first + (asked * _WIDER if _drops(given, filters) else asked) + max_positives
        if faiss is not None and last + max_positives > FAISS_GPU_LIMIT and _gpus(faiss):
            last = FAISS_GPU_LIMIT - max_positives
            note = (
                f" Note that range_max was capped to {last} because FAISS on GPU finds at most {FAISS_GPU_LIMIT} "
                "documents a query, positives included; use_faiss=False has no such limit."
            )
    if first < 0:
        raise ValueError(f"range_min must be non-negative, got range_min={first}.")
    if first >= last:
        raise ValueError(f"range_min must be smaller than range_max, got range_min={first} and range_max={last}.{note}")
    if asked > last - first:
        raise ValueError(
            f"Cannot mine {asked} negatives per query: only {last - first} candidates remain after skipping the first "
            f"range_min={first} of range_max={last}; ask for fewer, or widen the range.{note}"
        )
    return int(last)


def _drops(given: Mapping[str, Any], filters: Filters) -> bool:
    """Whether more candidates are wanted than negatives; ``min_score`` alone has never counted without re-ranking."""
    return (
        filters.of_labels
        or filters.max_score is not None
        or given["cross_encoder"] is not None
        or given["target_false_negative_rate"] is not None
    )


def _gpus(faiss: Any) -> int:
    return getattr(faiss, "get_num_gpus", lambda: 0)()


def check_extras(given: Mapping[str, Any], filters: Filters) -> None:
    """Check what hardneg adds to the function's arguments, and what the function itself lets pass.

    Raises:
        ValueError: arguments that contradict each other, or a value that is none.
    """
    rate, judge = given["target_false_negative_rate"], given["judge"]
    if given["sampling_strategy"] not in ("top", "random"):
        raise ValueError(f"sampling_strategy must be 'top' or 'random', got {given['sampling_strategy']!r}.")
    if given["corpus_ids"] is not None and (
        given["corpus"] is None or len(given["corpus_ids"]) != len(given["corpus"])
    ):
        raise ValueError("corpus_ids must hold one id for each text of corpus.")
    if rate is None:
        if judge is not None:
            raise ValueError(f"judge={judge!r} decides nothing without target_false_negative_rate.")
        return
    if not 0 < rate < 1:
        raise ValueError(f"target_false_negative_rate must lie between 0 and 1, got {rate}.")
    if judge not in (None, "combined", "cross-encoder", "bi-encoder"):
        raise ValueError(f"judge must be 'combined', 'cross-encoder' or 'bi-encoder', got {judge!r}.")
    if judge in ("combined", "cross-encoder") and given["cross_encoder"] is None:
        raise ValueError(f"judge={judge!r} needs a cross_encoder.")
    if filters.of_labels:
        raise ValueError(
            "A margin drops candidates by what is labelled, so no target_false_negative_rate can be estimated under "
            "it: give one or the other."
        )
    if given["range_min"]:
        raise ValueError("range_min skips what passes, which no target_false_negative_rate allows for: give only one.")
    if given["include_positives"]:
        raise ValueError("include_positives ranks positives, which a target_false_negative_rate drops: give only one.")

"""What a user demands of a negative, and what decides about a candidate."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hardneg.transforms.core.source import Source
from hardneg.transforms.filters.filter import Filter
from hardneg.transforms.filters.order import Order
from hardneg.transforms.filters.ranks import OutsideRanks
from hardneg.transforms.filters.registry import BUILT_IN, make_filters
from hardneg.transforms.filters.threshold import AboveMaxSigmoid
from hardneg.transforms.inputs.evaluation_sets import NOTHING_HELD_OUT, Holdout
from hardneg.transforms.inputs.marks import NOTHING_MARKED, Marks


@dataclass(frozen=True)
class Policy:
    """Which candidates may be negatives, in which order they are tried, and how many a query gets.

    The judge's threshold is not here: it comes from calibration (``CalibratedJudge``).

    Attributes:
        negatives: N, asked of each query.
        order: the selection order.
        seed: of the order ``random``.
        min_relevance: grades from here on are positives.
        score_all: score what is retrieved, all of it.
        filters: the demands, in the order in which they are asked: the first that is not met is the reason.
        relabel_suspected: suspected positives become further positives of the triplets.
        drop_weak_positives: positives that score like negatives are left out of the triplets.
        pass_through: corpus columns to copy into ``candidates/``.
    """

    negatives: int
    order: Order
    seed: int = 0
    min_relevance: float = 1.0
    score_all: bool = False
    filters: tuple[Filter, ...] = field(default_factory=lambda: make_filters({}))
    relabel_suspected: bool = False
    drop_weak_positives: bool = False
    pass_through: tuple[str, ...] = ()

    @property
    def guards(self) -> tuple[Filter, ...]:
        """The filters that need no logit."""
        return tuple(each for each in self.filters if each.stage == "guard")

    @property
    def thresholds(self) -> tuple[Filter, ...]:
        """The filters that look at the cross-encoder's score; the judge's own threshold is not among them."""
        return tuple(each for each in self.filters if each.stage == "threshold")

    @property
    def needs_logit(self) -> bool:
        """Whether the policy, the judge aside, looks at the cross-encoder's score."""
        return bool(self.thresholds)

    @property
    def window(self) -> OutsideRanks:
        """The window on fused ranks."""
        return next((each for each in self.filters if isinstance(each, OutsideRanks)), OutsideRanks())

    @property
    def of_labels(self) -> tuple[str, ...]:
        """The reasons of filters that treat a query's other candidates by its own labelled positives.

        They change with which passages are labelled, so no rate can be estimated from labelled ones under them.
        """
        return tuple(each.reason for each in self.filters if each.of_labels)

    def without_thresholds(self) -> Policy:
        """Return the policy without the thresholds that a target, or another threshold, stands instead of."""
        return replace(self, filters=tuple(each for each in self.filters if not each.instead_of_target))

    def at_most(self, max_sigmoid: float) -> Policy:
        """Return the policy with a limit on the sigmoid, or its own where that is stricter."""
        own = [each.max_sigmoid for each in self.filters if isinstance(each, AboveMaxSigmoid)]
        others = tuple(each for each in self.filters if not isinstance(each, AboveMaxSigmoid))
        return replace(self, filters=(AboveMaxSigmoid(min([max_sigmoid, *own])), *others))

    def conditions(self) -> dict[str, Any]:
        """Return what the filters add to a judge file's conditions; None for built-in ones that are not asked for."""
        found: dict[str, Any] = {}
        for kind in BUILT_IN:
            found |= kind.absent()
        for each in self.filters:
            found |= each.describe()
        return found


@dataclass(frozen=True)
class Rules:
    """What decides about a candidate, apart from where a run keeps things and what it computes them with.

    Attributes:
        sources: the retrievers.
        policy: what is demanded of a negative.
        holdout: the evaluation sets.
        marks: what a person marked.
    """

    sources: tuple[Source, ...]
    policy: Policy
    holdout: Holdout = NOTHING_HELD_OUT
    marks: Marks = NOTHING_MARKED

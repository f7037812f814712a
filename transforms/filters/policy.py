"""What a user demands of a negative, and what decides about a candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardneg.transforms.core.source import Source
from hardneg.transforms.filters.order import Order
from hardneg.transforms.inputs.evaluation_sets import NOTHING_HELD_OUT, Holdout

SameGroup = Literal["allow", "forbid", "suspect"]


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
        max_sigmoid: the logit's sigmoid must be below this.
        min_sigmoid: and not below this: what is, is too easy.
        absolute_margin: the logit must be this far below the lowest of the query's positives.
        relative_margin: the similarity must be below the lowest of the query's positives by this share of it.
        min_rank, max_rank: the window on the fused rank, ends included.
        near_duplicates: shingle containment from which a candidate repeats a positive; None: not looked at.
        group_column: passages with one value of it belong together.
        same_group: what becomes of a candidate of a positive's group.
        relabel_suspected: suspected positives become further positives of the triplets.
        drop_weak_positives: positives that score like negatives are left out of the triplets.
        pass_through: corpus columns to copy into ``candidates/``.
    """

    negatives: int
    order: Order
    seed: int = 0
    min_relevance: float = 1.0
    score_all: bool = False
    max_sigmoid: float | None = None
    min_sigmoid: float | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    min_rank: int = 1
    max_rank: int | None = None
    near_duplicates: float | None = None
    group_column: str | None = None
    same_group: SameGroup = "allow"
    relabel_suspected: bool = False
    drop_weak_positives: bool = False
    pass_through: tuple[str, ...] = ()

    @property
    def needs_logit(self) -> bool:
        """Whether the policies, the judge aside, look at the cross-encoder's score."""
        return not (self.max_sigmoid is self.min_sigmoid is self.absolute_margin is None)

    @property
    def of_labels(self) -> tuple[str, ...]:
        """The policies in use that treat a query's other candidates by its own labelled positives.

        They change with which passages are labelled, so no rate can be estimated from labelled ones under them.
        """
        named = {"--relative-margin": self.relative_margin, "--absolute-margin": self.absolute_margin}
        return tuple(name for name, value in named.items() if value is not None)


@dataclass(frozen=True)
class Rules:
    """What decides about a candidate, apart from where a run keeps things and what it computes them with.

    Attributes:
        sources: the retrievers.
        policy: what is demanded of a negative.
        holdout: the evaluation sets.
    """

    sources: tuple[Source, ...]
    policy: Policy
    holdout: Holdout = NOTHING_HELD_OUT

"""The options that decide what a negative is: targets, thresholds, guards, order, judge."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hardneg.transforms.core.tokenization import TokenizerSpec
from hardneg.transforms.filters.near_duplicates import DEFAULT_CONTAINMENT
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.filters.registry import FILTERS, make_filters
from hardneg.transforms.judge.calibrated_judge import JudgeName, Target

DEFAULT_TARGET = 0.02
# What decides; giving any of them replaces all that a former run had.
THRESHOLDS = (
    "target_false_negative_rate",
    "target_leak_rate",
    "judge_file",
    *(name for kind in FILTERS.values() if kind.instead_of_target for name in kind.options),
)


class DenoiseOptions(BaseModel):
    """What makes a candidate a negative; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target_false_negative_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="The share of relevant passages among the mined that you accept: the most permissive threshold "
        f"whose upper bound keeps to it. Default: {DEFAULT_TARGET:g}, unless another threshold is given.",
    )
    target_leak_rate: float | None = Field(
        None, gt=0, lt=1, description="The share of relevant passages that the threshold may let pass."
    )
    judge: JudgeName | None = Field(
        None,
        description="What is thresholded: all signals combined, the cross-encoder's logit, or the first bi-encoder's "
        "similarity. Default: combined with a target, cross-encoder with a threshold on its score, else bi-encoder.",
    )
    gamma: float | None = Field(
        None,
        ge=1,
        allow_inf_nan=False,
        description="How much easier to mine unlabelled relevant passages may be than labelled ones. Default: "
        "estimated where queries have several positives, at least 1.25.",
    )
    judge_file: str | None = Field(
        None, description="The judge.json of an earlier calibration: its judge and its threshold, as they are."
    )
    calibration_queries: int = Field(
        400, ge=1, description="Queries of the calibration sample, those of the smallest digests; scored completely."
    )
    max_sigmoid: float | None = Field(
        None, gt=0, le=1, description="The sigmoid of the cross-encoder's logit must be below this. RocketQA: 0.1."
    )
    min_sigmoid: float | None = Field(
        None, gt=0, lt=1, description="And not below this: such negatives are too easy to learn from."
    )
    absolute_margin: float | None = Field(
        None, ge=0, description="The logit must be this far below the lowest of the query's positives. MS MARCO: 3.0."
    )
    relative_margin: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="The similarity must be this share below the lowest of the query's positives. NV-Retriever: 0.05.",
    )
    min_rank: int = Field(1, ge=1, description="Leave out candidates with a fused rank before this.")
    max_rank: int | None = Field(None, ge=1, description="Leave out candidates with a fused rank after this.")
    near_duplicates: float = Field(
        DEFAULT_CONTAINMENT,
        gt=0,
        le=1,
        description="Leave out candidates that share this much of their text with a positive.",
    )
    allow_near_duplicates: bool = Field(False, description="Do not look for near-duplicates of positives.")
    group_column: str | None = Field(
        None, description="A corpus column: passages with one value of it are parts of one document."
    )
    same_group: Literal["allow", "forbid", "suspect"] | None = Field(
        None, description="What a candidate from a positive's document is; belongs to --group-column."
    )
    filter: dict[str, dict[str, Any]] = Field(
        {},
        description="Filters from outside the package, with their settings, by their reason: a table "
        "[filter.REASON] of the configuration file. Beam's workers must be able to import them.",
    )
    holdout: list[str] = Field(
        [],
        description="An evaluation set to keep out of the triplets: qrels, a BEIR folder, files of queries or "
        "passages. May be repeated.",
    )
    holdout_split: str | None = Field(None, description="Which qrels of a folder given with --holdout.")
    negatives: int = Field(5, ge=1, description="Negatives per query.")
    order: Literal["similarity", "fused", "judge", "random"] = Field(
        "similarity",
        description="The order in which candidates are tried: what the first bi-encoder finds most similar, what all "
        "retrievers agree on, what the judge scores highest, or by lot.",
    )
    seed: int = Field(0, description="Of the order random.")
    score: Literal["lazy", "all"] = Field(
        "lazy",
        description="lazy: only until a query has its negatives; all: every retrieved candidate, for analysis.",
    )
    relabel_suspected: bool = Field(False, description="Suspected positives become further positives of the triplets.")
    drop_weak_positives: bool = Field(
        False, description="Leave known positives that score like negatives out of the triplets."
    )

    @model_validator(mode="after")
    def _thresholds_fit(self) -> DenoiseOptions:
        if self.judge_file:
            for name in ("target_false_negative_rate", "target_leak_rate", "gamma"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"--judge-file brings its own threshold, so --{name.replace('_', '-')} has nothing to decide; "
                        "give one of them"
                    )
        if bool(self.group_column) != bool(self.same_group):
            raise ValueError("--group-column NAME and --same-group allow|forbid|suspect belong together; give both")
        if self.max_rank is not None and self.max_rank < self.min_rank:
            raise ValueError(f"--max-rank {self.max_rank} is before --min-rank {self.min_rank}")
        if self.max_sigmoid is not None and self.min_sigmoid is not None and self.max_sigmoid <= self.min_sigmoid:
            raise ValueError(f"no sigmoid is both below {self.max_sigmoid:g} and not below {self.min_sigmoid:g}")
        return self

    @property
    def target(self) -> Target:
        """What is asked of the judge."""
        others = (self.target_leak_rate, self.max_sigmoid, self.absolute_margin, self.relative_margin, self.judge_file)
        rate = self.target_false_negative_rate
        if rate is None and all(value is None for value in others):
            rate = DEFAULT_TARGET
        wanted = rate is not None or self.target_leak_rate is not None
        by_logit = (self.max_sigmoid, self.min_sigmoid, self.absolute_margin)
        # A margin on the similarity needs no cross-encoder, so none runs unless it is asked for.
        alone: JudgeName = "bi-encoder" if all(value is None for value in by_logit) else "cross-encoder"
        return Target(self.judge or ("combined" if wanted else alone), rate, self.target_leak_rate, self.gamma)

    def policy_with(self, min_relevance: float, tokenizer: TokenizerSpec, pass_through: tuple[str, ...]) -> Policy:
        """Return the policy, with what belongs to the input and to BM25."""
        return Policy(
            negatives=self.negatives,
            order=self.order,
            seed=self.seed,
            min_relevance=min_relevance,
            score_all=self.score == "all",
            filters=make_filters({**dict(self), "tokenizer": tokenizer}),
            relabel_suspected=self.relabel_suspected,
            drop_weak_positives=self.drop_weak_positives,
            pass_through=pass_through,
        )

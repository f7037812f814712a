"""The door to filters: one of one's own, from its registration to where its reason is told."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from hand_made import LOGIT, SOURCES, Case, by_pair, filters

from hardneg.errors import OptionError
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.report.reason_texts import meaning, options_of, verdict_table
from hardneg.transforms.core.arrays import BoolArray
from hardneg.transforms.filters.filter import Candidates, Filter
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.filters.registry import FILTERS, make_filters, meanings, register_filter
from hardneg.transforms.judge.calibrated_judge import CalibratedJudge, Target, conditions_of
from hardneg.transforms.judge.judge import single_signal_judge
from hardneg.transforms.reports.funnel import funnel

PLAIN = Policy(negatives=3, order="fused")


@dataclass(frozen=True)
class ShortPassage(Filter):
    """What has too few words to learn from."""

    reason: ClassVar[str] = "short_passage"
    stage: ClassVar = "guard"
    sentence: ClassVar[str] = "it has too few words"
    options: ClassVar[tuple[str, ...]] = ("min_words",)

    min_words: int = 3

    def applies(self, candidates: Candidates) -> BoolArray:
        rows = np.flatnonzero(candidates.asked)
        short = np.zeros(len(candidates.query), dtype=np.bool_)
        short[rows] = [len(text.split()) < self.min_words for text in candidates.texts(rows)]
        return short


@dataclass(frozen=True)
class EvenLogit(Filter):
    """A threshold that looks at the logit."""

    reason: ClassVar[str] = "even_logit"
    stage: ClassVar = "threshold"
    sentence: ClassVar[str] = "its logit is an even number"

    def applies(self, candidates: Candidates) -> BoolArray:
        return candidates.logits % 2 == 0


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    for kind in (ShortPassage, EvenLogit):
        register_filter(kind)
    yield
    for kind in (ShortPassage, EvenLogit):
        FILTERS.pop(kind.reason, None)


@pytest.fixture
def case() -> Case:
    texts = {"own": "the positive of it", "a": "one two", "b": "one two three", "c": "four five six", "d": "7 8 9 10"}
    logits = {"the positive of it": 5.0, "one two": 1.0, "one two three": -1.0, "four five six": -2.0, "7 8 9 10": -3.0}
    return Case({"q": {"grades": {"own": 1}, "retrieved": ["own", "a", "b", "c", "d"]}}, texts, logits)


def of_tables(**tables: dict[str, Any]) -> Policy:
    return filters(PLAIN, filter=tables)


def test_it_takes_out_what_it_says(case: Case) -> None:
    rows = by_pair(case.mine(of_tables(short_passage={"min_words": "4"})))
    found = {name: (row["verdict"], row["reason"]) for (_, name), row in rows.items()}
    assert found["a"] == found["b"] == found["c"] == ("dropped", "short_passage")
    assert found["d"] == ("negative", None)
    assert found["own"] == ("positive", None), "a positive is never taken out"
    scored = {passage for call in case.calls for _, passage in call}
    assert scored == {"the positive of it", "7 8 9 10"} or not scored, "what a guard takes out is not scored"


def test_a_threshold_makes_the_pairs_be_scored(case: Case) -> None:
    judge = replace(LOGIT, judge=single_signal_judge("similarity_dense", "similarity"))
    result = case.mine(of_tables(even_logit={}), denoising=judge)
    assert {name for (_, name), row in by_pair(result).items() if row["reason"] == "even_logit"} == {"c"}
    assert result.counts["reason_even_logit"] == 1
    assert case.calls


def test_its_reason_is_told_everywhere() -> None:
    assert meaning("dropped", "short_passage") == "it has too few words"
    assert options_of("short_passage") == ("min_words",)
    assert "| `dropped` | `short_passage` | it has too few words |" in verdict_table()
    taken_out = {step.name: dict(step.gone) for step in funnel({("dropped", "short_passage"): 4}, 0)}
    assert taken_out["past the guards"] == {("dropped", "short_passage"): 4}
    assert list(meanings()).index("short_passage") < list(meanings()).index("above_threshold")


def test_its_settings_are_conditions_of_a_judge() -> None:
    target = Target("cross-encoder")
    with_it, without = (
        conditions_of(policy, target, SOURCES, 9) for policy in (of_tables(short_passage={"min_words": 4}), PLAIN)
    )
    assert with_it == {**without, "min_words": 4}, "what is registered and not used leaves no trace"
    made = CalibratedJudge("cross-encoder", single_signal_judge("logit", "logit"), conditions=with_it)
    made.check(with_it, {}, "j.json")
    with pytest.raises(OptionError, match=r"^j\.json was calibrated with min_words = 4, and this run has null"):
        made.check(without, {}, "j.json")
    FILTERS.pop("short_passage")  # as in a process that does not know it
    with pytest.raises(OptionError, match=r"with min_words = 4, and this run has null"):
        made.check(conditions_of(PLAIN, target, SOURCES, 9), {}, "j.json")


def test_a_judge_of_before_a_condition_was_noted() -> None:
    noted = conditions_of(PLAIN, Target("cross-encoder"), SOURCES, 9)
    old = {name: value for name, value in noted.items() if name not in ("min_relevance", "min_words")}
    judge = CalibratedJudge("cross-encoder", single_signal_judge("logit", "logit"), conditions=old)
    with pytest.raises(OptionError, match=r"^j\.json does not say which min_relevance it was calibrated with"):
        judge.check(noted, {}, "j.json")
    judge.check({name: value for name, value in noted.items() if name != "min_relevance"}, {}, "j.json")


def test_it_travels_with_the_policy() -> None:
    policy = of_tables(short_passage={"min_words": 4})
    data = pickle.dumps(policy)
    FILTERS.pop("short_passage")  # a worker that has not registered it
    assert pickle.loads(data) == policy  # noqa: S301
    assert pickle.loads(data).conditions()["min_words"] == 4  # noqa: S301


def test_a_configuration_names_it() -> None:
    config = MineConfig(
        output="out", corpus=["c"], queries=["q"], qrels=["r"], filter={"short_passage": {"min_words": 2}}
    )
    assert ShortPassage(2) in config.policy.filters
    assert config.policy.filters[: len(make_filters({}))] == make_filters({})


def test_what_is_wrong_with_a_filter() -> None:
    with pytest.raises(OptionError, match="filter longest: there is no such filter; there are held_out, "):
        of_tables(longest={})
    with pytest.raises(OptionError, match=r"short_passage: it has no setting max_words\. Its settings: min_words\."):
        of_tables(short_passage={"max_words": 3})
    with pytest.raises(OptionError, match="filter short_passage: min_words: "):
        of_tables(short_passage={"min_words": "many"})
    with pytest.raises(OptionError, match="There is a reason 'duplicate' already"):
        register_filter(type("Again", (EvenLogit,), {"reason": "duplicate"}))
    with pytest.raises(OptionError, match="There is a reason 'near_duplicate' already"):
        register_filter(type("Again", (EvenLogit,), {"reason": "near_duplicate"}))
    assert register_filter(ShortPassage) is ShortPassage, "a module may be imported again"

"""What calibration gives: the judge, its threshold, and what is known of them; ``judge.json``.

The artefact is small, readable, kept under version control, used as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from hardneg import __version__
from hardneg.errors import InputError, OptionError
from hardneg.transforms.core.arrays import FloatArray
from hardneg.transforms.core.source import LOGIT, Source
from hardneg.transforms.filters.policy import Policy
from hardneg.transforms.judge.judge import Judge

JudgeName = Literal["combined", "cross-encoder", "bi-encoder"]

_FORMAT = 1


@dataclass(frozen=True)
class Target:
    """What was asked of the judge.

    Attributes:
        judge: which judge.
        false_negative_rate: share of relevant passages among the mined to accept, or None.
        leak_rate: share of relevant passages that the threshold may let pass, or None.
        gamma: the allowance for unlabelled passages that are easier than labelled ones; None: estimated, at least
            ``DEFAULT_GAMMA``.
    """

    judge: JudgeName
    false_negative_rate: float | None = None
    leak_rate: float | None = None
    gamma: float | None = None

    @property
    def needs_sample(self) -> bool:
        """Whether candidates must be scored before anything can be mined."""
        return self.judge == "combined" or self.false_negative_rate is not None or self.leak_rate is not None


@dataclass(frozen=True)
class CalibratedJudge:
    """A judge, its threshold, and what is known of them; ``judge.json``.

    Attributes:
        judge_name: which judge.
        judge: the function.
        threshold: a candidate passes if its judge score is below; None: the judge has no say.
        max_sigmoid: set where a target could not be supported, and no known positive was there to choose by.
        status: ``estimated``, ``unsupported``, or None where no target was asked for.
        reason: one sentence, to be printed with the status.
        choice: the fields of ``false_negative_rate.Choice`` for a false-negative rate.
        leak: alpha, threshold and positives of the leak rate that was asked for.
        fallback: the fields of ``fallback.Fallback``, where a false-negative rate could not be supported.
        positive_median: median judge score of the sample's known positives.
        gap_quantiles: of the similarity gap between the lowest positive and a candidate, 101 of them.
        sample: what it was calibrated on.
        conditions: what must be the same where it is used.
        models: per model what a score depends on.
        figures: yield, hardness and rates in the sample.
    """

    judge_name: JudgeName
    judge: Judge
    threshold: float | None = None
    max_sigmoid: float | None = None
    status: str | None = None
    reason: str = ""
    choice: dict[str, Any] = field(default_factory=dict)
    leak: dict[str, Any] = field(default_factory=dict)
    fallback: dict[str, Any] = field(default_factory=dict)
    positive_median: float | None = None
    gap_quantiles: tuple[float, ...] = ()
    sample: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def needs_logit(self) -> bool:
        return LOGIT in self.judge.signals or self.max_sigmoid is not None

    def to_json(self) -> str:
        """Return the artefact; floats come back bit for bit."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        data["judge"] = self.judge.to_dict() | {"fingerprint": self.judge.fingerprint}
        data["gap_quantiles"] = list(self.gap_quantiles)
        return json.dumps({"format": _FORMAT, "hardneg": __version__, **data}, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, name: str = "judge.json") -> CalibratedJudge:
        """Read the artefact.

        Raises:
            InputError: it is not one, or one of another version.
        """
        try:
            data = json.loads(text, parse_constant=_refuse)
            if data.pop("format") != _FORMAT:
                raise InputError(f"{name} is of another version of hardneg: run `hardneg calibrate` again.")
            data.pop("hardneg")
            judge = Judge.from_dict(data.pop("judge"))
            if not set(data) < {item.name for item in fields(cls)}:
                raise ValueError("unknown fields")
            return _checked_types().validate_python({**data, "judge": asdict(judge)})
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{name} is no judge.json: give the file that `hardneg calibrate` wrote.") from None

    def check(self, conditions: Mapping[str, Any], models: Mapping[str, Any], name: str) -> None:
        """Raise OptionError where the threshold was made for another selection, or for other models.

        Args:
            conditions: those of the run, ``conditions_of``.
            models: what its models are, ``model_identity``, by source.
            name: of the artefact, for the message.
        """
        for key in [*conditions, *(key for key in self.conditions if key not in conditions)]:
            noted, here = self.conditions.get(key), conditions.get(key)
            if noted == here:
                continue
            if key in conditions and key not in self.conditions:
                raise OptionError(
                    f"{name} does not say which {key} it was calibrated with, so it is of an earlier version of "
                    "hardneg: run `hardneg calibrate` again.",
                    condition=key,
                )
            raise OptionError(
                f"{name} was calibrated with {key} = {json.dumps(noted)}, and this run has {json.dumps(here)}: its "
                "threshold says nothing here. Use the same options, or calibrate again.",
                condition=key,
            )
        for source, model in models.items():
            if source in self.models and not same_model(self.models[source], model):
                raise OptionError(
                    f"{name} was calibrated with another model as {source}, or with other prompts or lengths "
                    f"({self.models[source].get('model')}, here {model.get('model')}): calibrate again."
                )

    def manifest_entry(self) -> dict[str, Any]:
        """Return what a manifest tells: what was promised, with its status and what it assumes."""
        return {
            "judge": self.judge_name,
            "judge_fingerprint": self.judge.fingerprint,
            "threshold": self.threshold,
            "max_sigmoid": self.max_sigmoid,
            "status": self.status,
            "reason": self.reason,
            **{name: value for name, value in self.choice.items() if name not in ("status", "reason", "threshold")},
            **({"leak": self.leak} if self.leak else {}),
            **({"fallback": self.fallback} if self.fallback else {}),
            "sample": self.sample,
            "figures": self.figures,
        }


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON's")


@lru_cache
def _checked_types() -> TypeAdapter[CalibratedJudge]:
    """Return what holds each field of the artefact to its type: people edit files under version control."""
    return TypeAdapter(CalibratedJudge)


def model_identity(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes two models one judge: weights, prompts and lengths, not the machine they run on."""
    known = {name: description.get(name) for name in ("model", "files", "max_length", "prompts")}
    return known | {name: description[name] for name in ("name", "revision", "api") if name in description}


def same_model(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two identities are of one model: by its files where those are known, wherever they lie."""
    if one.get("files") and other.get("files"):
        return {**one, "model": None} == {**other, "model": None}
    return dict(one) == dict(other)


def conditions_of(policy: Policy, target: Target, sources: Sequence[Source], k: int) -> dict[str, Any]:
    """Return what a threshold depends on beside the collection, in the words of the options.

    What the filters add stands among them: None for a filter that the run has not.
    """
    return {
        "judge": target.judge,
        "negatives": policy.negatives,
        "order": policy.order,
        "seed": policy.seed if policy.order == "random" else None,
        "min_relevance": policy.min_relevance,
        **policy.conditions(),
        "k": k,
        "retrievers": [source.name for source in sources],
    }


def difficulty(gaps: FloatArray, quantiles: Sequence[float]) -> FloatArray:
    """Return how hard negatives are, 0 to 1: the share of the sample's candidates that lie further from a positive.

    Args:
        gaps: float64 (n,); similarity of the query's lowest positive less that of the negative; infinite without
            a positive, for which NaN is returned.
        quantiles: ``CalibratedJudge.gap_quantiles``.
    """
    if not len(quantiles):
        return np.full(len(gaps), np.nan)
    share = np.interp(gaps, quantiles, np.linspace(0, 1, len(quantiles)))
    return np.where(np.isfinite(gaps), 1 - share, np.nan)

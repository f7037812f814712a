"""The gates before a snapshot is published: what it must come to. The table ``[gates]`` in the file of options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hardneg.errors import OptionError, parameter
from hardneg.pipelines.options.files import checked
from hardneg.transforms.core.described import in_chinese

OFF = "off"


class GateOptions(BaseModel):
    """What a snapshot must come to; None: it is not asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_rows: int | None = Field(
        1, ge=0, description="The fewest triplets.", json_schema_extra=in_chinese("三元组至少这么多")
    )
    max_drop: float | None = Field(
        0.5,
        ge=0,
        le=1,
        description="Against the last snapshot: the largest share by which the triplets may be fewer.",
        json_schema_extra=in_chinese("与上一个快照相比，三元组最多可减少的比例"),
    )
    max_churn: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The largest share of the last snapshot's triplets that may be gone or changed.",
        json_schema_extra=in_chinese("上一个快照的三元组中，最多可消失或改变的比例"),
    )
    max_false_negative_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="The largest upper bound of the false-negative rate; one without a bound fails.",
        json_schema_extra=in_chinese("假负例率上界的最大值；没有上界就不通过"),
    )
    max_drift: float | None = Field(
        0.1,
        ge=0,
        le=1,
        description="How far the positives' judge scores may have moved since the last snapshot: the statistic of "
        "Kolmogorov and Smirnov, where it is no accident (p below 0.01).",
        json_schema_extra=in_chinese(
            "与上一个快照相比，正例的裁判分数最多可偏移多少：Kolmogorov-Smirnov 统计量，"
            "仅在并非偶然（p 低于 0.01）时计入"
        ),
    )
    max_without_negatives: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The largest share of queries without a single negative.",
        json_schema_extra=in_chinese("一个负例都没有的查询的最大比例"),
    )
    audit: bool = Field(
        True,
        description="What `hardneg audit` finds wrong fails the snapshot.",
        json_schema_extra=in_chinese("`hardneg audit` 发现任何问题就不通过"),
    )


def gates_of(table: Any, given: Sequence[str]) -> GateOptions:
    """Return the gates: those of the file's table, those of ``--gate NAME=VALUE`` before them.

    Raises:
        OptionError: there is no such gate, or a value is none.
    """
    if not isinstance(table, Mapping):
        raise OptionError(f"{parameter('gates')} is a table: [gates], then a line for each, such as max-drop = 0.2.")
    told: dict[str, Any] = {str(name).replace("-", "_"): value for name, value in table.items()}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise OptionError(f"{parameter('gate')} {each}: write NAME=VALUE, such as max-drop=0.2, or NAME=off.")
        told[name.strip().replace("-", "_")] = value.strip()
    if unknown := [name for name in told if name not in GateOptions.model_fields]:
        known = ", ".join(name.replace("_", "-") for name in GateOptions.model_fields)
        raise OptionError(
            f"{parameter('gate')} {unknown[0].replace('_', '-')}: there is no such gate; there are {known}."
        )
    off = {name: False if name == "audit" else None for name, value in told.items() if value in (OFF, False)}
    return checked(GateOptions, told).model_copy(update=off) if not off else _without(told, off)


def _without(told: dict[str, Any], off: dict[str, Any]) -> GateOptions:
    return checked(GateOptions, {name: value for name, value in told.items() if name not in off}).model_copy(update=off)

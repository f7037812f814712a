"""The options of ``hardneg refresh`` beside those of ``mine``: the store, its gates, what becomes of snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hardneg.errors import OptionError, parameter
from hardneg.pipelines.options.files import checked
from hardneg.pipelines.options.mine import MineConfig
from hardneg.transforms.core import storage
from hardneg.transforms.core.described import in_chinese
from hardneg.transforms.output.snapshots import is_date, snapshot_folder

KEEP = 14
BEFORE = "before"  # `--rollback` without a date
# What a store decides, not the user.
ASIDE = ("output", "work", "overwrite", "from_run", "score_missing", "store")
# What stands in the file of options and is not of ``mine``.
OF_REFRESH = ("gates", "keep")
# What decides at a calibration, and is brought along by a judge that is pinned.
_AT_CALIBRATION = ("target_false_negative_rate", "target_leak_rate", "gamma")


def _date(value: str) -> str:
    if not is_date(value):
        raise ValueError("it is a date such as 2026-11-28, or one with a time such as 2026-11-28T0215")
    return value


class RefreshOptions(BaseModel):
    """The store and its snapshots; a field's name with dashes is its option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str = Field(
        min_length=1,
        description="The folder of scores and snapshots; made if it is not there.",
        json_schema_extra=in_chinese("存放分数和快照的目录；不存在时自动建立"),
    )
    date: Annotated[str, AfterValidator(_date)] | None = Field(
        None,
        description="What the snapshot is called: a date, or one with a time. Default: today's; with the time, where "
        "there is one of that name.",
        json_schema_extra=in_chinese("快照的名称：日期，或带时间的日期。默认为当天；已有同名快照时加上时间"),
    )
    recalibrate: bool = Field(
        False,
        description="Calibrate anew, instead of judging as the last snapshot did: a person's decision.",
        json_schema_extra=in_chinese("重新校准，而不沿用上一个快照的裁判：由人决定"),
    )
    keep: int | None = Field(
        None,
        ge=1,
        description="Snapshots to keep; older ones are deleted once a new one is published. Default: 14.",
        json_schema_extra=in_chinese("保留的快照数，默认 14；新快照发布之后删除更早的"),
    )
    gate: list[str] = Field(
        [],
        description="NAME=VALUE, or NAME=off: a gate before publishing, before those of the table [gates] in the file "
        "of options. May be repeated.",
        json_schema_extra=in_chinese("NAME=VALUE 或 NAME=off：发布前的关卡，优先于选项文件中的 [gates] 表。可多次给出"),
    )


def with_rollback(argv: list[str]) -> list[str]:
    """Return the arguments with what ``--rollback`` means where no date follows it."""
    here = list(argv)
    for place, each in enumerate(argv):
        if each == "--rollback" and (place + 1 == len(argv) or argv[place + 1].startswith("-")):
            here.insert(place + 1, BEFORE)
            break
    return here


def config_of_refresh(options: Mapping[str, Any], store: str, date: str, judge: str | None) -> MineConfig:
    """Return what a refresh mines.

    Args:
        options: those of ``mine`` that were given.
        store: the store.
        date: the snapshot's.
        judge: the file of the judge that is pinned, where none is given; None: it is calibrated.

    Raises:
        OptionError: options that do not hold.
    """
    for name in ASIDE:
        if options.get(name) not in (None, False):
            raise OptionError(f"{parameter(name)} is not for a refresh: {parameter('store')} decides it.")
    told = {name: value for name, value in options.items() if name not in OF_REFRESH}
    if judge is not None and not told.get("judge_file"):
        told = {name: value for name, value in told.items() if name not in _AT_CALIBRATION} | {"judge_file": judge}
    own = {"output": snapshot_folder(store, date), "work": storage.join(store, "work"), "store": store}
    return checked(MineConfig, {**told, **own})

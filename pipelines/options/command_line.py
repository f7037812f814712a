"""The options of ``hardneg mine`` as the command line has them: how they are called, grouped and read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Group, Parameter
from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from hardneg.errors import OptionError, parameter
from hardneg.pipelines.options.files import checked, load_options, options_of_run
from hardneg.pipelines.options.former import GONE
from hardneg.pipelines.options.mine import MineConfig

# The tables that options stand in, in their order: English and Chinese.
GROUPS = {
    "input": ("Input", "输入"),
    "retrieval": ("Retrieval", "检索"),
    "judge": ("Threshold and judge", "阈值与裁判"),
    "guards": ("Guards", "防护"),
    "selection": ("Selection", "挑选"),
    "models": ("Models", "模型"),
    "served": ("A served cross-encoder", "已在服务的交叉编码器"),
    "output": ("Output", "输出"),
    "machinery": ("Machinery: none changes the output", "运行机制：都不影响输出"),
}
# Of the command, not of the run: no part of its configuration.
CONFIG = (
    "A TOML file of options, or a former run's `manifest.json`; options win.",
    "从 TOML 文件或以前运行的 `manifest.json` 读取选项；命令行上的优先",
)
ROLLBACK = (
    "Mine nothing: let LATEST name the snapshot before, or that of the DATE that follows.",
    "不挖掘：让 LATEST 指向上一个快照，或后面给出的日期的快照",
)
DRY_RUN = (
    "Check the input, time the models on a sample, print what the run would take, stop.",
    "检查输入、用样本测一下模型速度、打印预估开销，然后停止",
)
NO_WAIT = (
    "Leave once the engine has the job: for launchers that may not wait; `hardneg publish WORK` makes the output.",
    "引擎接受作业后立即退出：用于不能等待的启动器；之后用 `hardneg publish WORK` 发布结果",
)
JSON_FILE = ("Write all of it to this file, too.", "同时把全部内容写入这个 JSON 文件")
WHY = (
    "QUERY PASSAGE, each an id or else the exact text: print what became of this pair, and why, instead.",
    "QUERY PASSAGE，各写 id 或原文：改为显示这一对的结果和原因",
)
_NAMES = {"from_run": "from"}


def option_of(name: str, file_only: bool = False) -> str:
    """Return how an option is written: on the command line, or, for some, in the file that ``--config`` names."""
    written = _NAMES.get(name, name).replace("_", "-")
    return f"{written} in the --config file" if file_only else f"--{written}"


def told_to_mine(name: str) -> str:
    """Return a parameter's name as the messages of ``mine`` and ``calibrate`` write it."""
    field = MineConfig.model_fields.get(name)
    return option_of(name, field is not None and about_of(field)["file_only"])


def about_of(field: FieldInfo) -> dict[str, Any]:
    """Return what ``described.about`` left in a field."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {"file_only": False, "group": ""}


def default_of(field: FieldInfo, language: int = 0) -> str:
    """Return what is used where an option is not given, in English (0) or Chinese (1); nothing for None and no list."""
    if text := about_of(field).get("default_text"):
        return text[language]
    if isinstance(field.default, bool):
        return ("on", "开")[language] if field.default else ("off", "关")[language]
    if isinstance(field.default, list):
        return ", ".join(f"`{each}`" for each in field.default)
    return f"`{field.default}`" if isinstance(field.default, (str, int, float)) else ""


def arguments_of(config: type[BaseModel], aside: Collection[str] = ()) -> type[BaseModel]:
    """Return a model of the options that the command line takes, none of them given; it checks no value.

    Args:
        config: the options.
        aside: those that the command has not.
    """
    fields: dict[str, Any] = {}
    for name, field in config.model_fields.items():
        about = about_of(field)
        if not about["file_only"] and name not in aside:
            place = list(GROUPS).index(about["group"])
            said = Parameter(
                name=option_of(name),
                help=field.description,
                group=Group(GROUPS[about["group"]][0], sort_key=place),
                show_default=default_of(field).replace("`", "") or False,
            )
            fields[name] = (Annotated[_kind(field.annotation) | None, said], None)
    return create_model(f"{config.__name__}Arguments", **fields)


def _kind(annotation: Any) -> Any:
    """Return the type that the command line reads: what is not a plain one is left to the configuration."""
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    if type(None) not in get_args(annotation):
        kinds = [annotation]
    (kind, *others) = kinds
    if not others and (kind in (bool, int, float) or get_origin(kind) in (list, Literal)):
        return kind
    return str


def config_of_arguments(arguments: BaseModel, file: Path | None) -> MineConfig:
    """Return the configuration that a command line asks for: its options win over the file's, both over a run's.

    Raises:
        OptionError: options that do not hold.
    """
    options = options_of_arguments(arguments, file)
    run = options.get("from_run")
    return checked(MineConfig, {**(options_of_run(run, options) if run else {}), **options})


def options_of_arguments(arguments: BaseModel, file: Path | None) -> dict[str, Any]:
    """Return what a command line gives, and what the file of options gives beside."""
    told = {name: value for name, value in arguments if value is not None}
    return (load_options(str(file)) if file else {}) | told


def gone_option(written: str) -> OptionError | None:
    """Return what is said of an option of the version before, as it is written, with what to write instead."""
    name = written.partition("=")[0].removeprefix("--").replace("-", "_")
    return OptionError(f"{option_of(name)} has gone: {GONE[name]}.", parameter=name) if name in GONE else None


def refuse_unwritten(argv: Sequence[str]) -> None:
    """Refuse options that are not written on a command line, or not any more, with what to do instead.

    Raises:
        OptionError: there is one.
    """
    files = {name for name, field in MineConfig.model_fields.items() if about_of(field)["file_only"]}
    for arg in argv:
        name = arg.partition("=")[0].removeprefix("--").replace("-", "_")
        if not arg.startswith("--"):
            continue
        if gone := gone_option(arg):
            raise gone
        if name in files:
            written = name.replace("_", "-")
            raise OptionError(
                f"{option_of(name)} is written in the file that {parameter('config')} names, as {written} = ...; from "
                f"Python, {name}=... is an argument.",
                parameter=name,
            )

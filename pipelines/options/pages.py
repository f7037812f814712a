"""The tables of options in the docs, in both languages, written from the options themselves.

python -m hardneg.pipelines.options.pages docs      # writes docs/options.md and docs/options.zh-CN.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path

from pydantic import BaseModel

from hardneg.pipelines.options.command_line import (
    CONFIG,
    DRY_RUN,
    GROUPS,
    JSON_FILE,
    NO_WAIT,
    ROLLBACK,
    WHY,
    about_of,
    default_of,
    option_of,
)
from hardneg.pipelines.options.finished import AuditOptions, EvaluateOptions, ExportOptions, ReportOptions
from hardneg.pipelines.options.gates import GateOptions
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.refresh import RefreshOptions
from hardneg.pipelines.options.train import TrainOptions
from hardneg.transforms.retrieval.registry import BUILT_IN_RETRIEVERS
from hardneg.transforms.retrieval.retriever import Retriever

PAGES = {"options.md": 0, "options.zh-CN.md": 1}  # English, Chinese
# The other commands: their options, and those of the command line alone.
COMMANDS: dict[str, tuple[type[BaseModel], dict[str, tuple[str, str]]]] = {
    "audit": (AuditOptions, {}),
    "report": (ReportOptions, {"--why": WHY, "--json": JSON_FILE}),
    "evaluate": (EvaluateOptions, {"--json": JSON_FILE}),
    "export": (ExportOptions, {}),
    "train-judge": (TrainOptions, {}),
    "refresh": (RefreshOptions, {"--rollback": ROLLBACK, "--no-wait": NO_WAIT}),
}
_TITLE = ("# Options of `hardneg mine` and `hardneg calibrate`", "# `hardneg mine` 和 `hardneg calibrate` 的选项")
_OTHERS = (
    "# Options of the other commands\n\nThey are written on the command line; from Python, those of `audit` are "
    "arguments of `hardneg.audit`, with `_` for `-`.",
    "# 其他命令的选项\n\n都写在命令行上；在 Python 中，`audit` 的选项是 `hardneg.audit` 的参数，`-` 换成 `_`。",
)
_LEAD = (
    "[简体中文](options.zh-CN.md)\n\nMade from the options by `python -m hardneg.pipelines.options.pages docs`; do "
    "not edit it. An option with two dashes is written on the command line, or without them in the file that "
    "`--config` names; one without dashes stands in that file only. From Python, all of them are arguments of "
    "`hardneg.mine`, with `_` for `-`.",
    "[English](options.md)\n\n本页由 `python -m hardneg.pipelines.options.pages docs` 根据选项生成，请勿直接修改。"
    "带两条短横线的选项写在命令行上，也可以不带短横线写在 `--config` 指定的文件里；不带短横线的只能写在文件里。在 "
    "Python 中，它们都是 `hardneg.mine` 的参数，`-` 换成 `_`。",
)
_HEADINGS = (("default", "when to use it"), ("默认值", "何时使用"))
_TABLES = (
    "### `[[retriever]]` tables\n\nIn the file of options, one table a retriever, in the order of its columns in "
    '`candidates/`; `kind` says which. From Python: `retriever=[{"kind": "bm25"}, ...]`.',
    "### `[[retriever]]` 表格\n\n写在选项文件里，每个检索器一个表格，按 `candidates/` 中列的顺序；`kind` "
    "说明是哪一种。在 Python 中："
    '`retriever=[{"kind": "bm25"}, ...]`。',
)
_GATES = (
    "And, on the command line or in its file, the options of `mine` but for `--output`, `--work`, `--store`, "
    "`--overwrite`, `--from` and `--score-missing`.\n\n### The `[gates]` table\n\nIn the file of options, or as "
    "`--gate NAME=VALUE`; `off` asks nothing.",
    "此外，在命令行或其文件中接受 `mine` 的选项，但 `--output`、`--work`、`--store`、`--overwrite`、`--from` 和 "
    "`--score-missing` 除外。\n\n### `[gates]` 表\n\n写在选项文件里，或写成 `--gate NAME=VALUE`；`off` 表示不检查。",
)
_REQUIRED = ("required", "必填")
_NONE = ("none", "无")


def page(language: int, retrievers: Iterable[type[Retriever]] = BUILT_IN_RETRIEVERS) -> str:
    """Return the page in English (0) or Chinese (1), with the tables of some retrievers."""
    parts = [_TITLE[language], _LEAD[language]]
    for group, title in GROUPS.items():
        rows = list(_rows(group, language))
        if rows:
            parts += [f"## {title[language]}", _table(_HEADINGS[language], rows)]
        if group == "retrieval":
            parts += [_TABLES[language], *_retrievers(language, retrievers)]
    parts.append(_OTHERS[language])
    for command, (options, own) in COMMANDS.items():
        rows = [*_of_command(options, language), *((f"`{name}`", "", said[language]) for name, said in own.items())]
        parts += [f"## `hardneg {command}`", _table(_HEADINGS[language], rows)]
    gates = [(f"`{name[3:]}", default, said) for name, default, said in _of_command(GateOptions, language)]
    parts += [_GATES[language], _table(_HEADINGS[language], gates)]
    return "\n\n".join(parts) + "\n"


def _rows(group: str, language: int) -> Iterator[tuple[str, str, str]]:
    for name, field in MineConfig.model_fields.items():
        about = about_of(field)
        if about["group"] == group:
            written = option_of(name).removeprefix("--") if about["file_only"] else option_of(name)
            said = about["chinese"] if language else field.description or ""
            yield f"`{written}`", default_of(field, language), said
    if group == "output":
        yield "`--dry-run`", ("off", "关")[language], DRY_RUN[language]
        yield "`--no-wait`", ("off", "关")[language], NO_WAIT[language]
        yield "`--config`", "", CONFIG[language]


def _of_command(options: type[BaseModel], language: int) -> Iterator[tuple[str, str, str]]:
    for name, field in options.model_fields.items():
        said = about_of(field)["chinese"] if language else field.description or ""
        default = _REQUIRED[language] if field.is_required() else default_of(field, language)
        yield f"`{option_of(name)}`", default, said


def _retrievers(language: int, retrievers: Iterable[type[Retriever]]) -> Iterator[str]:
    for retriever in retrievers:
        yield f'`kind = "{retriever.kind}"`' + (f": {retriever.english}", f"：{retriever.chinese}")[language]
        rows = []
        for field in fields(retriever):
            default = _NONE[language] if field.default is None else f"`{field.default}`"
            default = _REQUIRED[language] if field.default is MISSING else default
            said = field.metadata[("english", "chinese")[language]]
            rows.append((f"`{field.name.replace('_', '-')}`", default, said))
        yield _table(_HEADINGS[language], rows)


def _table(headings: tuple[str, str], rows: Iterable[tuple[str, str, str]]) -> str:
    lines = [f"| | {headings[0]} | {headings[1]} |", "|---|---|---|"]
    lines += [f"| {name} | {default} | {_without_stop(said)} |" for name, default, said in rows]
    return "\n".join(lines)


def _without_stop(said: str) -> str:
    return said if said.endswith("...") else said.removesuffix(".")


def write_pages(folder: Path) -> None:
    """Write both pages into a folder."""
    for name, language in PAGES.items():
        (folder / name).write_text(page(language), encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))

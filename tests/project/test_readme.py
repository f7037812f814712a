"""The READMEs say what the code does: options, defaults, verdicts and commands, in both languages."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from cyclopts import Parameter
from pydantic.fields import FieldInfo

from hardneg.pipelines import cli
from hardneg.pipelines.options.command_line import GROUPS, about_of
from hardneg.pipelines.options.files import load_options
from hardneg.pipelines.options.finished import AuditOptions, EvaluateOptions, ExportOptions, ReportOptions
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.pages import COMMANDS
from hardneg.pipelines.options.pages import PAGES as OPTION_PAGES
from hardneg.pipelines.options.pages import page as page_of_options
from hardneg.pipelines.options.refresh import RefreshOptions, with_rollback
from hardneg.pipelines.options.train import TrainOptions
from hardneg.pipelines.runs.runner import pipeline_options
from hardneg.pipelines.terminal.json_line import without_flag
from hardneg.transforms.filters.registry import meanings
from hardneg.transforms.filters.verdicts import Verdict
from hardneg.transforms.inputs.options import InputOptions

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "README.zh-CN.md")


def option(name: str, field: FieldInfo) -> str:
    """Return what a field is called on the command line: its own name, unless it is given another."""
    given = [each.name[0] for each in field.metadata if isinstance(each, Parameter) and each.name]
    return given[0] if given else "--" + name.replace("_", "-")


OPTIONS = {option(name, field): field for name, field in MineConfig.model_fields.items()}
# The command line's own, which are no part of a run's configuration; and pip's.
OTHERS = {"--config", "--dry-run", "--no-wait", "--help", "--version", "--index-url", "--why", "--json", "--rollback"}
OTHERS |= {
    option(name, field)
    for model in (AuditOptions, EvaluateOptions, ExportOptions, RefreshOptions, ReportOptions, TrainOptions)
    for name, field in model.model_fields.items()
}


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page(name), re.DOTALL | re.MULTILINE)


def commands(name: str) -> list[list[str]]:
    """Return the arguments of every `hardneg SUBCOMMAND` in a code block."""
    lines = "".join(blocks(name, "bash")).replace("\\\n", " ").splitlines()
    split = [shlex.split(line) for line in lines]
    return [words[1:] for words in split if words and words[0].rsplit("/", 1)[-1] == "hardneg"]


@pytest.mark.parametrize("name", OPTION_PAGES)
def test_the_tables_of_options_are_those_of_the_options(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == page_of_options(OPTION_PAGES[name]), "run: python -m hardneg.pipelines.options.pages docs"


def shown_by(command: str) -> set[str]:
    return {argument.names[0] for argument in cli.app[command].assemble_argument_collection()}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_described_in_both_languages(command: str) -> None:
    options, own = COMMANDS[command]
    for name, field in options.model_fields.items():
        assert field.description, name
        assert re.search(r"[\u4e00-\u9fff]", about_of(field)["chinese"]), name
    assert all(re.search(r"[\u4e00-\u9fff]", chinese) for _, chinese in own.values())
    written = {f"--{name.replace('_', '-')}" for name in options.model_fields} | own.keys()
    # It takes those of mine, too.
    shown = shown_by(command) - ((shown_by("mine") - written) if command == "refresh" else set())
    assert {name for name in shown if name.startswith("--")} - {"--beam-args"} == written


def test_every_option_is_described_in_both_languages() -> None:
    for name, field in MineConfig.model_fields.items():
        about = about_of(field)
        assert field.description, name
        assert about["group"] in GROUPS, name
        assert re.search(r"[\u4e00-\u9fff]|^`cpu`", about["chinese"]), name
        # Options are named alike in both, and so are the values that are quoted.
        english, chinese = (
            sorted(set(re.findall(r"`--[a-z-]+`", text))) for text in (field.description, about["chinese"])
        )
        assert english == chinese, name


@pytest.mark.parametrize("name", PAGES)
def test_every_option_that_is_mentioned_exists(name: str) -> None:
    beam: set[str] = set()
    PipelineOptions([]).get_all_options(add_extra_args_fn=lambda parser: beam.update(parser._option_string_actions))
    text = re.sub(r"^\|[-|]+\|$", "", page(name), flags=re.MULTILINE)
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))
    assert (
        mentioned <= {option for option, field in OPTIONS.items() if not about_of(field)["file_only"]} | OTHERS | beam
    )


@pytest.mark.parametrize("name", PAGES)
def test_every_verdict_and_every_reason_is_explained(name: str) -> None:
    explained = re.findall(r"^\| `(\w+)` \| (?:`(\w+)` )?\|", page(name), re.MULTILINE)
    assert {str(verdict) for verdict in Verdict} <= {verdict for verdict, _ in explained}
    assert {reason for _, reason in explained if reason} == set(meanings())


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_are_understood(name: str) -> None:
    found = commands(name)
    subcommands = {"mine", "calibrate", "report", "audit", "evaluate", "export", "train-judge", "refresh", "publish"}
    assert {words[0] for words in found} == subcommands
    for words in found:
        here, beam_args = cli.split_arguments(without_flag(with_rollback(words))[0])
        cli.app.parse_args(here, exit_on_error=False, print_error=False)
        pipeline_options(beam_args)


@pytest.mark.parametrize("name", PAGES)
def test_the_configuration_file_is_understood(name: str, tmp_path: Path) -> None:
    (text,) = blocks(name, "toml")
    assert tomllib.loads(text)
    file = tmp_path / "run.toml"
    file.write_text(text, encoding="utf-8")
    config = MineConfig(output="mined", **load_options(str(file)))
    assert config.negatives == 3
    assert [each.kind for each in config.retrievers] == ["bi-encoder", "bm25", "run"]


@pytest.mark.parametrize("language", ["bash", "toml", "python"])
def test_both_languages_show_the_same_code(language: str) -> None:
    english, chinese = ([re.sub(r"#.*", "", block) for block in blocks(name, language)] for name in PAGES)
    assert english == chinese


def test_both_languages_have_the_same_sections_and_tables() -> None:
    shapes = [re.findall(r"^(?:#+ |```|!\[|\|---.*|- )", page(name), re.MULTILINE) for name in PAGES]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    text = page(name)
    headings = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            assert (ROOT / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("name", PAGES)
def test_the_pinned_torch_is_the_one_to_install_first(name: str) -> None:
    (pin,) = re.findall(r"^torch==\S+$", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert f"pip install {pin} --index-url" in page(name)


def test_every_option_of_the_training_has_its_row() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^\| `(--[a-z0-9-]+)` \| (\S*?) ?\|", text, re.MULTILINE))
    inputs = set(InputOptions.model_fields)  # as for `mine`
    fields = {name: field for name, field in TrainOptions.model_fields.items() if name not in inputs}
    assert set(found) == {option(name, field) for name, field in fields.items()}
    for name, field in fields.items():
        if isinstance(field.default, str | int | float) and not isinstance(field.default, bool):
            assert found[option(name, field)] == f"`{field.default}`", name

"""The options as a flat map of texts, as a Dataflow Flex Template takes them: one parameter a line in the console.

python -m hardneg.pipelines.options.flat deploy/flex/metadata.json      # writes the template's description
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from hardneg.errors import OptionError, parameter
from hardneg.pipelines.options.command_line import CONFIG, GROUPS, about_of, default_of, option_of
from hardneg.pipelines.options.files import load_options
from hardneg.pipelines.options.mine import MineConfig
from hardneg.pipelines.options.refresh import RefreshOptions

COMMAND = "command"
COMMANDS = ("refresh", "mine")  # the first where nothing is said
_ABOUT_COMMAND = "refresh: mine again what changed, into a snapshot of a store. mine: into an output of its own."
_TEMPLATE = {
    "name": "hardneg",
    "description": "Denoised hard negatives for embedding models. It leaves once the job runs; when that has ended, "
    "`hardneg publish WORK` makes the output of it (WORK: store/work of a refresh, else output.work).",
}
_REPEATED = re.compile(r"; may be repeated(?=\.)| May be repeated\.")
_TRUE, _FALSE = ("true", "on", "1", "yes"), ("false", "off", "0", "no")


def flat_fields() -> dict[str, FieldInfo]:
    """Return every option that a parameter stands for, by its name: those of ``refresh``, then those of ``mine``."""
    return {**RefreshOptions.model_fields, **MineConfig.model_fields, "store": MineConfig.model_fields["store"]}


def template_metadata() -> dict[str, Any]:
    """Return the description of the Flex Template, as its JSON file has it."""
    command = _parameter(COMMAND, "Command", _ABOUT_COMMAND, COMMANDS[0])
    command |= {"paramType": "ENUM", "enumOptions": [{"value": each, "label": each} for each in COMMANDS]}
    parameters = [command, _parameter("config", "Config", CONFIG[0].replace("`", ""), "")]
    for name, field in flat_fields().items():
        kind = _kind(field)
        said = _REPEATED.sub("", (field.description or "").replace("`", ""))
        if kind in (list, dict):
            said += " Several: separated by commas, or a JSON list." if kind is list else " A JSON list of tables."
        told = _parameter(name, name.replace("_", " ").capitalize(), said, default_of(field).replace("`", ""))
        if group := about_of(field)["group"]:
            told["groupName"] = GROUPS[group][0]
        if kind is bool:
            told["paramType"] = "BOOLEAN"
            told["defaultValue"] = str(bool(field.default)).lower()
        parameters.append(told)
    return {**_TEMPLATE, "streaming": False, "parameters": parameters}


def _parameter(name: str, label: str, said: str, default: str) -> dict[str, Any]:
    told = f"{said} Default: {default}." if default and f"efault: {default}" not in said else said
    return {"name": name, "label": label, "helpText": told, "isOptional": True, "paramType": "TEXT"}


def read_flat(parameters: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the command and its options; a parameter without a text is not given, and ``config`` names a file.

    Raises:
        OptionError: a parameter that there is not, or whose text is not of its kind.
        InputError: the file cannot be read.
    """
    given = {name: text for name, text in parameters.items() if text.strip()}
    command = given.pop(COMMAND, COMMANDS[0]).strip()
    if command not in COMMANDS:
        raise OptionError(f"{parameter(COMMAND)}: {command!r} is none of {', '.join(COMMANDS)}.", parameter=COMMAND)
    options = load_options(given.pop("config").strip()) if "config" in given else {}
    fields = flat_fields()
    for name, text in given.items():
        if name not in fields:
            raise OptionError(f"{parameter(name)}: there is no such parameter.", parameter=name)
        options[name] = _value(name, _kind(fields[name]), text)
    return command, options


def _kind(field: FieldInfo) -> type:
    """Return how a parameter's text is read: bool, list (of texts), dict (tables), or str."""
    kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    if type(None) not in get_args(field.annotation):
        kinds = [field.annotation]
    if kinds == [bool]:
        return bool
    for kind in kinds:
        origin = get_origin(kind)
        if origin in (list, tuple):
            return dict if get_origin(get_args(kind)[0]) is dict or get_args(kind)[0] is dict else list
        if origin is dict or kind is dict:
            return dict
    return str


def _value(name: str, kind: type, text: str) -> Any:
    if kind is bool:
        if text.strip().lower() not in _TRUE + _FALSE:
            raise OptionError(f"{parameter(name)}: {text!r} is neither true nor false.", parameter=name)
        return text.strip().lower() in _TRUE
    if kind is dict or (kind is list and text.lstrip().startswith("[")):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise OptionError(f"{parameter(name)}: {text!r} is no JSON ({error}).", parameter=name) from None
    return [each.strip() for each in text.split(",")] if kind is list else text


def split_flat(argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split the arguments of a template's program, ``--name=text`` each: our parameters, and Beam's options."""
    ours, beam_args = dict[str, str](), list[str]()
    names = {COMMAND, "config", *flat_fields()}
    for each in argv:
        name, told, text = each.removeprefix("--").partition("=")
        if each.startswith("--") and told and name in names:
            ours[name] = text
        else:
            beam_args.append(each)
    return ours, beam_args


def command_line_of(argv: Sequence[str], folder: Path) -> list[str]:
    """Return the command line that does what a template's program is asked for, and leaves once the job is submitted.

    Args:
        argv: as in ``split_flat``.
        folder: where the file of options is written that the command line names.

    Raises:
        HardnegError: as ``read_flat``.
    """
    parameters, beam_args = split_flat(argv)
    command, options = read_flat(parameters)
    line = [command]
    if command == "refresh":
        for name in RefreshOptions.model_fields:
            line += _written(name, options.pop(name, None))
    line += _written("overwrite", options.pop("overwrite", None))  # never taken from a file
    file = folder / "options.json"
    file.write_text(json.dumps({"options": options}), encoding="utf-8")
    return [*line, "--config", str(file), "--no-wait", "--", *beam_args]


def _written(name: str, value: Any) -> list[str]:
    if value is None or value is False:
        return []
    if value is True:
        return [option_of(name)]
    return [part for each in (value if isinstance(value, list) else [value]) for part in (option_of(name), str(each))]


def write_metadata(path: Path) -> None:
    """Write the description of the Flex Template."""
    path.write_text(json.dumps(template_metadata(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_metadata(Path(sys.argv[1]))

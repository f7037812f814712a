"""Options from files: a TOML file, a former run's manifest; and what is said of those that do not hold."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hardneg.errors import InputError, OptionError, parameter
from hardneg.pipelines.options.denoise import THRESHOLDS
from hardneg.pipelines.options.former import upgraded
from hardneg.transforms.core import storage
from hardneg.transforms.output.finished_run import FinishedRun

Options = TypeVar("Options", bound=BaseModel)
# Of a run, not of what it mines.
_OF_THE_RUN = ("output", "work", "overwrite", "from_run", "score_missing")


def checked(kind: type[Options], options: Mapping[str, Any]) -> Options:
    """Return options that hold; what is not given, or None, stays at its default.

    Raises:
        OptionError: every problem, a line each.
    """
    try:
        return kind.model_validate({name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        raise OptionError(problems_of(error)) from None


def problems_of(error: ValidationError) -> str:
    """Return a validation error as one line per problem, naming the options as parameters."""
    lines = []
    for problem in error.errors():
        option = parameter(str(problem["loc"][0])) if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            message = "it must be given"
        elif problem["type"] == "extra_forbidden":
            message = "there is no such option"
        elif option:
            message = f"{message[0].lower()}{message[1:]}, not {problem['input']!r}"
        lines.append(f"{option}: {message}." if option else f"{message}.")
    return "\n".join(lines)


def load_options(path: str) -> dict[str, Any]:
    """Return the options in a TOML file or in the manifest.json of a former run.

    Raises:
        InputError: the file cannot be read.
    """
    file, named = Path(path), f"{parameter('config')} {path}"
    try:
        if file.suffix == ".json":
            loaded = upgraded(json.loads(_text(path))["options"])
            # To replace an output is a decision of its day, not of the run that is repeated.
            return {name: value for name, value in loaded.items() if value is not None and name != "overwrite"}
        told = tomllib.loads(_text(path))
        options = {name.replace("-", "_"): value for name, value in told.items()}
        if "from" in options:
            options["from_run"] = options.pop("from")
        return options
    except OSError as error:
        raise InputError(f"{named}: it cannot be read ({error.strerror}); give an existing file.", path=path) from None
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{named}: it is neither TOML nor a manifest.json ({error}).", path=path) from None
    except (KeyError, AttributeError, TypeError):
        raise InputError(
            f'{named}: it has no "options"; give a TOML file or a run\'s manifest.json.', path=path
        ) from None


def _text(path: str) -> str:
    return storage.read_file(path).decode("utf-8") if not storage.is_local(path) else Path(path).read_text("utf-8")


def options_of_run(run: str, given: Collection[str]) -> dict[str, Any]:
    """Return the options of a finished run for ``mine --from``.

    Args:
        run: its folder.
        given: names of the options that are given anew; if one of them is a threshold, the run's are left out.

    Raises:
        RunError: no finished run.
    """
    stored = upgraded(FinishedRun.open(run).options)
    replaced = THRESHOLDS if set(given) & set(THRESHOLDS) else ()
    return {
        name: value
        for name, value in stored.items()
        if value is not None and name not in _OF_THE_RUN and name not in replaced
    }

"""What a user is meant to read: one sentence that says what was wrong, where, and what to do.

Library code names a parameter by ``parameter("holdout")``. Python reads ``holdout`` there; the command line, which
alone knows how options are written, tells the same error with ``--holdout``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

_PARAMETER = re.compile("\ue000(.*?)\ue001")  # private use: in no text of a message
_NOTE = "hardneg-error: "
_STEP = " [while running '"  # what Beam adds to the message of an exception that leaves a step of the graph


def parameter(name: str) -> str:
    """Return a parameter's name as a message carries it, for whoever tells the message to write in their way."""
    return f"\ue000{name}\ue001"


class HardnegError(Exception):
    """A mistake that the user can mend.

    The command line prints it without a traceback and exits with code 2.

    Attributes:
        code: what kind of mistake it is, for programs.
        fields: what the sentence is about, by name: a path, a line, a parameter; JSON values.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str = "", known: Mapping[str, Any] | None = None, /, **fields: Any) -> None:
        self.fields = {**(known or {}), **fields}
        super().__init__(message, self.fields)  # Beam makes a worker's exception again from its arguments
        if _STEP in message:
            # Engines hand a worker's exception on as the text of its traceback, which holds the notes too.
            told = {"code": self.code, "message": message.split(_STEP, 1)[0], "fields": self.fields}
            self.add_note(_NOTE + json.dumps(told, default=str))

    def told(self, name: Callable[[str], str]) -> str:
        """Return the sentence, with its parameters' names as ``name`` writes them."""
        return _PARAMETER.sub(lambda match: name(match.group(1)), str(self.args[0]))

    def __str__(self) -> str:
        return self.told(lambda name: name)


class OptionError(HardnegError):
    """What was asked for can't be done, or contradicts itself."""

    code = "option"


class InputError(HardnegError):
    """A file, a table or an address that was given is not there, or not what it should be."""

    code = "input"


class ModelError(HardnegError):
    """A model can't be found, loaded or used."""

    code = "model"


class RunError(HardnegError):
    """A folder is no finished run, or lacks what is asked of it."""

    code = "run"


class NotEndedError(RunError):
    """A run is to be published whose pipeline has not ended, or of which something is missing."""

    code = "not-ended"


class LockedError(HardnegError):
    """Another refresh holds the store."""

    code = "locked"


class GateError(HardnegError):
    """A snapshot did not pass its gates: it is kept, and not published."""

    code = "gate"


class ServiceError(HardnegError):
    """A server that was asked does not answer, or answers wrongly."""

    code = "service"


def error_in(text: str) -> HardnegError | None:
    """Return the user's mistake that a traceback's text tells of; None if it tells of none."""
    found = re.findall(rf"^\s*{re.escape(_NOTE)}(\{{.*\}})\s*$", text, re.MULTILINE)
    if not found:
        return None
    told = json.loads(found[-1])
    kinds: dict[str, type[HardnegError]] = {kind.code: kind for kind in HardnegError.__subclasses__()}
    return kinds.get(told["code"], HardnegError)(told["message"], told["fields"])

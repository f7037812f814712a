"""The exit codes of every command, for schedulers to alert by; ``docs/nightly.md`` says when each comes.

A code is never given another meaning: somebody's alert depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping

from hardneg.errors import GateError, HardnegError, LockedError, NotEndedError

DONE = 0
FAULTS = 1  # what an audit found, in the user's data; Python's own code of a bug
USER_ERROR = 2
REFUSED = 3  # a snapshot did not pass its gates; LATEST is what it was
LOCKED = 4  # another refresh holds the store
NOT_ENDED = 5  # `publish`: the pipeline has not ended, or did not end well
INTERRUPTED = 130

# What each means, in a word, for the line of ``--json``.
OUTCOMES: Mapping[int, str] = {
    DONE: "done",
    FAULTS: "faults found",
    USER_ERROR: "error",
    REFUSED: "refused",
    LOCKED: "locked",
    NOT_ENDED: "not ended",
    INTERRUPTED: "interrupted",
}


def code_of(error: HardnegError) -> int:
    """Return the exit code of a command that ended with an error."""
    kinds = {NotEndedError: NOT_ENDED, LockedError: LOCKED, GateError: REFUSED}
    return next((code for kind, code in kinds.items() if isinstance(error, kind)), USER_ERROR)

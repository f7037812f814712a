"""The one exception type that a user is meant to read."""


class HardnegError(Exception):
    """A mistake that the user can mend: one sentence that says what was wrong, where, and what to do.

    The command line prints it without a traceback and exits with code 2.
    """

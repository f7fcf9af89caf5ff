"""What can go wrong, in words meant for the user.

Every message says what was given, where, what is allowed and what to do next. The command line turns a
`FocusError` into one message on stderr and the exit code below; nothing else may end a command.
"""


class FocusError(Exception):
    """The work could not be done (disk full, out of memory, NaN, a lost worker)."""

    exit_code = 1


class InputError(FocusError):
    """What the user gave is wrong; nothing was written."""

    exit_code = 2


class RunConflictError(InputError):
    """The run is not in a state that allows this (already running, already has checkpoints)."""

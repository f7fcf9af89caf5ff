"""`Command` and `Group`: each module of commands exports a tuple of them as `COMMANDS`.

`focus_tui.cli.app` loops over them, so that a new command changes its own module only. They are named tuples to keep
`focus --help` fast: a dataclass takes 0.8 ms to create, a named tuple 0.2 ms.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

STAGES = ("open", "make", "train", "watch", "keep", "judge", "machine")
"""The order of `focus --help`, that of the workflow; within a stage, commands keep the order of their modules."""


class Command(NamedTuple):
    """One command.

    Attributes:
        function: its implementation; typer derives options from the arguments, and help from the docstring.
        stage: one of `STAGES`; ignored inside a group.
        name: name on the command line; None takes that of the function.
        context: additional settings of click's context.
    """

    function: Callable[..., None]
    stage: str = "machine"
    name: str | None = None
    context: Mapping[str, Any] | None = None


class Group(NamedTuple):
    """Commands under a common name, as in `focus data info`; groups come last in `focus --help`."""

    name: str
    help: str
    commands: tuple[Command, ...]

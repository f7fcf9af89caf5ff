"""What a module of commands exports: `COMMANDS`, a tuple of commands and of groups of commands.

`focus_tui.cli.app` loops over them, so that a new command touches its own module only. They are named tuples, for
`focus --help` waits for them: a dataclass costs 0.8 ms to make, a named tuple 0.2.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

STAGES = ("open", "make", "train", "watch", "keep", "judge", "machine")
"""The order of `focus --help`, which is that of the work; within a stage, that of the modules."""


class Command(NamedTuple):
    """One command.

    Attributes:
        function: does it; typer reads its options from its arguments, and its help from its docstring.
        stage: one of `STAGES`; within a group it does not matter.
        name: what people type; None is the function's name.
        context: what click's context is told besides.
    """

    function: Callable[..., None]
    stage: str = "machine"
    name: str | None = None
    context: Mapping[str, Any] | None = None


class Group(NamedTuple):
    """Commands under one word, as in `focus data info`; groups stand last in `focus --help`."""

    name: str
    help: str
    commands: tuple[Command, ...]

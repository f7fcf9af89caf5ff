"""What a module of commands exports: `COMMANDS`, a tuple of commands and of groups of commands.

`focus_tui.cli.app` loops over them, so that a new command touches its own module only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

STAGES = ("open", "make", "train", "watch", "keep", "judge", "machine")
"""The order of `focus --help`, which is that of the work; within a stage, that of the modules."""


@dataclass(frozen=True)
class Command:
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
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Commands under one word, as in `focus data info`; groups stand last in `focus --help`."""

    name: str
    help: str
    commands: tuple[Command, ...]

"""What can go wrong, in words meant for the user.

Every message says what was given, where, what is allowed and what to do next. The command line turns a
`FocusError` into one message on stderr and the exit code below; nothing else may end a command. A message is only
ever shown: code that asks what an error is about reads its `problems`.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        words: what is wrong with it and what is allowed.
        where: file, line, option and value, in front of all; empty where the words say it.
        subject: what the words are about, in front of them; empty where the words say it.
        keys: keys of the config, options or parameters that it is about, the most telling one first.
    """

    words: str
    where: str = ""
    subject: str = ""
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.subject, self.words) if part)


class FocusError(Exception):
    """The work could not be done (disk full, out of memory, NaN, a lost worker)."""

    exit_code = 1

    def __init__(
        self, message: str = "", *, where: str = "", keys: Sequence[str] = (), problems: Sequence[Problem] = ()
    ) -> None:
        """Say what is wrong: one thing by `message`, `where` and `keys`, or several by `problems`, a line each."""
        self.problems = tuple(problems) or (Problem(message, where, keys=tuple(keys)),)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def key(self) -> str | None:
        """The key that the error is about; None when it is about none."""
        return next((key for one in self.problems for key in one.keys), None)


class InputError(FocusError):
    """What the user gave is wrong; nothing was written."""

    exit_code = 2


class RunConflictError(InputError):
    """The run is not in a state that allows this (already running, already has checkpoints)."""

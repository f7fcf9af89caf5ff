"""The errors that FOCUS raises, with messages for the user.

Each message says what was given, where, what is allowed and what to do next. The command line turns a `FocusError`
into one message on stderr and the exit code below. Messages are only shown: code that needs to know what an error is
about reads its `problems`.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass

_ANSWERS_AGAIN = "the disk or its file server fails; try again once it answers"
_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space or ask for a larger quota",
    errno.EIO: _ANSWERS_AGAIN,
    errno.ESTALE: _ANSWERS_AGAIN,
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "the machine has too many open files; end other programs",
    errno.ENOMEM: "the machine is out of memory; end other programs",
}
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


@dataclass(frozen=True)
class Problem:
    """One problem that an error reports; as text, `where: subject: words`.

    Attributes:
        words: what is wrong and what is allowed.
        where: file, line, option and value; empty where the words say it.
        subject: what the words are about; empty where the words say it.
        keys: keys of the config, options or parameters that it is about, the most specific first.
    """

    words: str
    where: str = ""
    subject: str = ""
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.subject, self.words) if part)


class FocusError(Exception):
    """The work failed (disk full, out of memory, NaN, a lost worker)."""

    exit_code = 1

    def __init__(
        self, message: str = "", *, where: str = "", keys: Sequence[str] = (), problems: Sequence[Problem] = ()
    ) -> None:
        """Report one problem by `message`, `where` and `keys`, or several by `problems`, one per line."""
        self.problems = tuple(problems) or (Problem(message, where, keys=tuple(keys)),)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def key(self) -> str | None:
        """The first key that the error is about; None when it is about none."""
        return next((key for one in self.problems for key in one.keys), None)


class InputError(FocusError):
    """The user's input is wrong; nothing was written."""

    exit_code = 2


class RunConflictError(InputError):
    """The state of the run does not allow this (running already, has checkpoints already)."""


def refusal(error: BaseException | None) -> OSError | None:
    """Return the error by which the system refused a file, behind that of a library; None where the file is at fault.

    Libraries call a file damaged when one read of it fails: zipfile says that it is no zip file.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _REMEDIES:
            return error
        error = error.__cause__ or error.__context__
    return None


def remedy(error: OSError) -> str:
    """Return what to do when the system has refused a file."""
    return _REMEDIES.get(error.errno or 0, "check the folder's rights and the space on its disk")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` is an out-of-memory error of the device or the host, in any of torch's forms."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)


def lost_gpu(error: BaseException) -> str:
    """Return what is wrong where a GPU no longer answers; empty if `error` is another one."""
    if type(error).__name__ != "AcceleratorError":
        return ""
    return f"the GPU no longer answers ({(str(error).splitlines() or [''])[0]})"

"""Code in a process of its own with fresh modules of FOCUS, forked from this one, which has torch loaded.

For code that registers something before FOCUS reads its tables. A new interpreter would import torch, textual and
matplotlib again, over three seconds of CPU.
"""

import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """The exit code of forked code, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


READ_ANEW = ("focus_engine", "focus_tui", "write_reference")


def run_forked(code: str, arguments: Sequence[str], *, fresh: Sequence[str] = READ_ANEW) -> Ended:
    """Run `code` with `sys.argv[1:] == arguments`; the packages `fresh` are imported anew."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if not pid:
            _be(code, arguments, fresh, out.fileno(), err.fileno())
        exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        texts = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (out, err)]
    return Ended(exit_code, *texts)


def _be(code: str, arguments: Sequence[str], fresh: Sequence[str], out: int, err: int) -> None:
    """Be the process that runs `code`; does not return."""
    exit_code = 1
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        warnings.simplefilter("ignore")
        for name in [name for name in sys.modules if name.partition(".")[0] in fresh]:
            del sys.modules[name]
        sys.argv = ["-c", *arguments]
        exec(compile(code, "<forked>", "exec"), {"__name__": "__main__"})  # noqa: S102  (a test's own code)
        exit_code = 0
    except BaseException:  # noqa: BLE001  (a process border)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)

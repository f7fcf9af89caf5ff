"""Telling the user that a run ended, by the command that their config names.

Light, so that whoever notices the end can tell of it: the worker, or somebody who finds the worker gone.
"""

import contextlib
import os
import subprocess
import sys

from focus_engine.config_file import load_config
from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder

NOTIFY_SECONDS = 60.0


def notify(run: RunFolder, *, state: str, reason: str, epoch: int) -> None:
    """Run `notify.command` with the outcome in its environment; what becomes of it harms nothing."""
    try:
        command = load_config(run.config).config.notify.command
    except InputError:
        return
    if command is None:
        return
    told = {"FOCUS_NAME": run.name, "FOCUS_PATH": str(run.path), "FOCUS_STATE": state}
    told |= {"FOCUS_REASON": reason, "FOCUS_EPOCH": str(epoch)}
    try:
        subprocess.run(  # noqa: S602  (the user's own shell command, from their own config)
            command,
            shell=True,
            env={**os.environ, **told},
            timeout=NOTIFY_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=2,  # stdout is data
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"notify.command: {error}\n")

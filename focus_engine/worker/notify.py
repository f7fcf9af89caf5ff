"""Notifying the user that a run ended, by the command in their config.

Needs no torch, because a run may end before torch is loaded.
"""

import contextlib
import os
import signal
import subprocess
import sys

from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder

NOTIFY_SECONDS = 60.0


def notify(run: RunFolder, *, state: str, reason: str, epoch: int) -> None:
    """Run `notify.command` with the outcome in its environment; its failures go to stderr only."""
    from focus_engine.config.load import load_config  # noqa: PLC0415  (0.3 s: not before the first event)

    try:
        command = load_config(run.config).config.notify.command
    except InputError:
        return
    if command is None:
        return
    outcome = {"FOCUS_NAME": run.name, "FOCUS_PATH": str(run.path), "FOCUS_STATE": state}
    outcome |= {"FOCUS_REASON": reason, "FOCUS_EPOCH": str(epoch)}
    try:
        process = subprocess.Popen(  # noqa: S602  (the user's own shell command, from their own config)
            command,
            shell=True,
            env={**os.environ, **outcome},
            stdin=subprocess.DEVNULL,
            stdout=2,  # stdout is data
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        _complain(str(error))
        return
    try:
        code = process.wait(NOTIFY_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # and every process that it started
        process.wait()
        _complain(f"still not done after {NOTIFY_SECONDS:g} s: ended")
        return
    if code:
        _complain(f"ended with code {code}")


def _complain(sentence: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"notify.command: {sentence}\n")

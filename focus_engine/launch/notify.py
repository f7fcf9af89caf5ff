"""Notifying the user that a run ended, stalls or is lost, by the command in its config, else in their settings.

Needs no torch, because a run may end before torch is loaded.
"""

import contextlib
import os
import signal
import subprocess
import sys

from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder
from focus_engine.trust import is_own, trusted

NOTIFY_SECONDS = 60.0


def notify(run: RunFolder, *, state: str, reason: str, epoch: int) -> None:
    """Run `notify.command` with the outcome in its environment; its failures go to stderr only."""
    command = _command_of(run)
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


def _command_of(run: RunFolder) -> str | None:
    """Return the command of the run's config, else that of the user's settings.

    A config that belongs to another user is passed over unless this one said `--trust`.
    """
    from focus_engine.config.load import load_config  # noqa: PLC0415  (0.3 s: not before the first event)
    from focus_engine.config.user_settings import notify_command_of_settings  # noqa: PLC0415  (with it)

    try:
        command = load_config(run.config).config.notify.command
        if command is not None and not (trusted() or is_own(run.config)):
            _complain(f"{run.config} belongs to another user: its command is not run without --trust")
            command = None
    except (InputError, OSError):  # it broke meanwhile
        command = None
    return command or notify_command_of_settings()


def _complain(sentence: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"notify.command: {sentence}\n")

"""Notifying the user that a run ended, stalls or is lost, by the command in its config, else in their settings.

Needs no torch, because a run may end before torch is loaded.
"""

import contextlib
import os
import signal
import subprocess

from focus_engine.errors import InputError
from focus_engine.runs.folder import RunFolder
from focus_engine.trust_flag import trusted

NOTIFY_SECONDS = 60.0


def notify(run: RunFolder, *, state: str, reason: str, epoch: int, log: int = 2) -> None:
    """Run `notify.command` with the outcome in its environment; its output and failures go to the descriptor `log`."""
    command = _command_of(run, log)
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
            stdout=log,  # stdout is data
            stderr=log,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        _complain(str(error), log)
        return
    try:
        code = process.wait(NOTIFY_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # and every process that it started
        process.wait()
        _complain(f"still not done after {NOTIFY_SECONDS:g} s: ended", log)
        return
    if code:
        _complain(f"ended with code {code}", log)


def _command_of(run: RunFolder, log: int) -> str | None:
    """Return the command of the run's config, else that of the user's settings.

    A config that belongs to another user is passed over unless this one said `--trust`.
    """
    from focus_engine.config.load import load_config  # noqa: PLC0415  (0.3 s: not before the first event)
    from focus_engine.config.user_settings import notify_command_of_settings  # noqa: PLC0415  (with it)

    try:
        file = load_config(run.config)  # its owner is that of what was read: the name may belong to another file by now
        command = file.config.notify.command
        if command is not None and not (trusted() or file.owner == os.geteuid()):
            _complain(f"{run.config} belongs to another user: its command is not run without --trust", log)
            command = None
    except (InputError, OSError):  # it broke meanwhile
        command = None
    return command or notify_command_of_settings()


def _complain(sentence: str, log: int) -> None:
    with contextlib.suppress(OSError):
        os.write(log, f"notify.command: {sentence}\n".encode(errors="replace"))

"""Notifying the user that a run is lost, which its worker cannot do itself: the first process that notices does.

Two may: the guardian beside a background worker (`worker/guardian.py`), within seconds, and a dashboard, which also
sees that the machine was restarted. An empty file that only one process can create decides between them. Commands that
read, such as `focus ls`, notify nobody.
"""

import os
import time

from focus_engine.launch.process import ProcessIdentity
from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder
from focus_engine.trust import is_own

TELL_WITHIN = 86_400.0
"""Age of the last heartbeat [s] up to which a loss is told: nobody wants a message for each old run."""


def tell_lost(run: RunFolder, summary: RunSummary) -> None:
    """Run the user's command for `run` if it is lost and no other process has claimed to."""
    if claim_lost(run, summary):
        notify_lost(run, summary)


def claim_lost(run: RunFolder, summary: RunSummary) -> bool:
    """Return whether `run` is lost and this call, and no other, is to notify the user of it.

    False for runs of other users, for those whose last heartbeat is older than a day, and where the disk refuses.
    """
    if summary.state != "lost":
        return False
    try:
        identity = ProcessIdentity.read(run.worker)
        if identity is None or not is_own(run.worker) or time.time() - run.worker.stat().st_mtime > TELL_WITHIN:
            return False
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(run.logs / f"lost-{identity.started:.3f}-{identity.pid}", flags, 0o666))
    except OSError:  # above all FileExistsError: it is claimed
        return False
    return True


def notify_lost(run: RunFolder, summary: RunSummary) -> None:
    """Run the user's command for a run that `claim_lost` gave to this process; waits for its end.

    What it says goes to the log of the worker: the terminal may show a dashboard.
    """
    from focus_engine.launch.notify import notify  # noqa: PLC0415  (subprocess: `focus tui` begins without it)

    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        log = os.open(run.worker_log, flags | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError:
        log = os.open(os.devnull, flags)
    try:
        notify(run, state="lost", reason=summary.reason or "", epoch=summary.epoch or 0, log=log)
    finally:
        os.close(log)

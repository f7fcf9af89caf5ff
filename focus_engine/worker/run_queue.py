"""The time that the threads of this process wait for a core, which shows what other programs take of a machine."""

from collections.abc import Iterator
from pathlib import Path

TASKS = Path("/proc/self/task")


class RunQueue:
    """Measures the slowdown by other programs from the moment when it is made; Linux only."""

    def __init__(self) -> None:
        self._before = _times()

    def slowdown(self) -> float | None:
        """Return how many times as long as alone the work of this process took since then; None where it is unknown.

        A thread of 2 s that waited for a core for 4 s took three times as long.
        """
        before, now = self._before, _times()
        ran = waited = 0
        for thread, (running, waiting) in now.items():
            ran_before, waited_before = before.get(thread, (0, 0))
            ran, waited = ran + running - ran_before, waited + waiting - waited_before
        return 1.0 + waited / ran if ran > 0 else None


def _times() -> dict[str, tuple[int, int]]:
    """Return the time on a core and the time waiting for one of each thread [ns]."""
    return dict(_read_times())


def _read_times() -> Iterator[tuple[str, tuple[int, int]]]:
    try:
        threads = list(TASKS.iterdir())
    except OSError:
        return
    for thread in threads:
        try:
            running, waiting, _ = (thread / "schedstat").read_text(encoding="ascii").split()
        except (OSError, ValueError):  # the thread has ended, or the kernel keeps no such statistics
            continue
        yield thread.name, (int(running), int(waiting))

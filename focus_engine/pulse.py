"""The pulse of a worker: which phase it is in, and when it last came further.

Work of any length reports here at each of its parts: a step, a batch of validation, a step of a sampler, a chunk of
maps that was read. The worker's watchdog (`worker/watchdog.py`) judges from it whether the worker hangs. A process
trains one run at a time, so there is one pulse per process. Times are those of the monotonic clock, which neither a
corrected wall clock nor a suspended machine moves.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

STALL_FLOOR = 600.0
"""Fewest seconds without progress that count as a stall where the config names no limit.

Waits shorter than that end by themselves: a hard NFS mount reports a dead server after 3 min and the usual failover
takes less than 5, the first batch of a GPU compiles and tunes its kernels for a few minutes.
"""
STALL_STEPS = 20.0
"""A stall is longer than that many median steps where the config names no limit."""
_MEASURED_STEPS = 64


class Pulse:
    """The phase of the work and its latest report.

    Attributes:
        phase: what the worker does, in words.
        step: finished optimiser steps.
        reports: number of reports so far.
        at: `time.monotonic()` of the latest.
        given: the limit of the config: seconds without a report that count as a stall; None chooses one.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin the pulse of another worker."""
        self.phase, self.step, self.reports, self.at = "starting", 0, 0, time.monotonic()
        self.given: float | None = None
        self._metered, self._allowed = False, 0.0
        self._stepped: float | None = None
        self._steps: deque[float] = deque(maxlen=_MEASURED_STEPS)

    def moved(self) -> None:
        """Report progress: the work has come further."""
        self.at = time.monotonic()
        self.reports += 1

    def stepped(self, step: int) -> None:
        """Report that `step` optimiser steps are finished; the time of each is measured from the second on."""
        self.moved()
        if step > self.step and self._stepped is not None:
            self._steps.append((self.at - self._stepped) / (step - self.step))
        self.step, self._stepped = step, self.at

    def enter(self, phase: str, *, metered: bool = False, allowed: float = 0.0) -> None:
        """Begin a phase. A `metered` one reports its parts; another takes as long as it takes, at most STALL_FLOOR.

        `allowed` are seconds that the phase may take beyond its limit, such as those of writing a large file.
        """
        self.phase, self._metered, self._allowed = phase, metered, allowed
        self.moved()

    @contextmanager
    def within(self, phase: str, *, allowed: float = 0.0) -> Iterator[None]:
        """Be in a metered phase while the block lasts, then in the one before."""
        before = self.phase, self._metered, self._allowed
        self.enter(phase, metered=True, allowed=allowed)
        try:
            yield
        finally:
            self.enter(before[0], metered=before[1], allowed=before[2])

    def limit(self) -> float:
        """Return the seconds without progress that count as a stall now.

        A limit below STALL_FLOOR holds in metered phases once a step was measured: before that torch is imported,
        maps are read and the first step is compiled, none of which reports from inside.
        """
        steps = sorted(self._steps)
        usual = self.given or max(STALL_FLOOR, STALL_STEPS * (steps[len(steps) // 2] if steps else 0.0))
        return (usual if self._metered and steps else max(usual, STALL_FLOOR)) + self._allowed


PULSE = Pulse()
"""The pulse of this process."""

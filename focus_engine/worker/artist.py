"""Drawing figures beside training, in a separate process at low priority.

A figure is drawn from the run folder alone (its events and its sampled maps), so the worker sends this process only
the name of each figure, one per line. The history, which is requested after every epoch and holds all epochs, is drawn
as often as a tenth of the time allows, and at the end; the other figures are drawn once each. A figure that fails, or
a process that hangs or dies, does not affect training. When the worker dies, this process's standard input closes and
it ends. Where the system makes no process, the requests wait until it does; at the end the worker draws them itself.
"""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from focus_engine.events.history import History
from focus_engine.events.log import EventTail
from focus_engine.events.table import Event, RunEnded, SamplesDrawn, StatisticsMeasured
from focus_engine.runs.folder import RunFolder

FINISH_SECONDS = 60.0
"""How long the end of a run waits for pending figures."""
LEAVE_SECONDS = 2.0
"""How long to wait for the end of a process that was killed."""
HISTORY = "history"
"""The request for the training history."""
FIRST_HISTORY_SECONDS = 2.0
"""Age of the process at its first history: a run of seconds has one, at its end."""
PRIORITY = 10
"""Niceness of the process."""
HISTORY_SHARE = 0.1
"""Most of the time that drawing histories may take."""


class Artist:
    """The worker's side: requests figures from the drawing process. Never raises, and waits only at the end.

    Attributes:
        refusal: why the system made no process for figures, when it last was asked for one; empty if it did.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: list[str] = []
        self.refusal = ""

    def draw(self, what: str) -> None:
        """Request a figure: `history`, `history STATE` at the end, `samples EPOCH` or `power EPOCH`."""
        self._waiting = [*(one for one in self._waiting if not (_is_history(one) and _is_history(what))), what]
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        if self._process is not None and self._process.stdin is not None:
            waiting, self._waiting = self._waiting, []
            with contextlib.suppress(OSError):
                self._process.stdin.write("".join(f"{one}\n" for one in waiting).encode())

    def _start(self) -> "subprocess.Popen[bytes] | None":
        command = [sys.executable, "-m", "focus_engine.worker.artist", str(self._run.path)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
                bufsize=0,
            )
        except OSError as error:
            self.refusal = error.strerror or str(error)
            return None
        self.refusal = ""
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        return process

    def finish(self, state: str = "") -> bool:
        """Wait for the requested figures and a last history; return whether all could be drawn.

        `state` is how training ended, where the log does not say so yet. A second call has nothing to wait for.
        """
        if self._process is None and not self._waiting and not state:
            return True
        self.draw(f"{HISTORY} {state}".rstrip())
        process, self._process = self._process, None
        if process is None:
            return self._draw_here()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            return process.wait(FINISH_SECONDS) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False

    def _draw_here(self) -> bool:
        """Draw what waits in this process, which trains no more; return whether all could be drawn."""
        waiting, self._waiting = self._waiting, []
        writer, failures = _FigureWriter(self._run), 0
        for request in waiting:
            try:
                writer.draw(request)
            except Exception as error:  # noqa: BLE001  (no figure ends a run)
                failures += 1
                sys.stderr.write(f"no figure {request}: {error}\n")
        return not failures

    def leave(self) -> None:
        """End the drawing process at once: a figure is whole or absent, and a resume draws those of `undrawn`."""
        process, self._process, self._waiting = self._process, None, []
        if process is None:
            return
        process.kill()
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it waits for a disk that hangs
            process.wait(LEAVE_SECONDS)


def undrawn(run: RunFolder, events: Iterable[Event], epochs: int) -> Iterator[str]:
    """Yield the requests for the figures of the first `epochs` that a worker killed or stopped now has not drawn."""
    for event in events:
        if not isinstance(event, SamplesDrawn | StatisticsMeasured) or event.epoch > epochs:
            continue
        if isinstance(event, StatisticsMeasured):
            if not run.power_figure(event.epoch).is_file():
                yield f"power {event.epoch}"
        elif run.sample_maps(event.epoch).is_file() and not run.sample_figure(event.epoch).is_file():
            yield f"samples {event.epoch}"


class _FigureWriter:
    """Draws the figures of one run from its log and its samples."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._tail = EventTail(run.events)
        self.counts = History()
        self._last: Event | None = None

    def draw(self, request: str) -> None:
        for event in self._tail.poll():
            self.counts, self._last = self.counts.then(event), event
        what, _, of = request.partition(" ")
        if what == HISTORY:
            self.history(of)
        elif what == "samples":
            self.samples(int(of))
        elif what == "power":
            self.power(int(of))

    def history(self, state: str = "") -> None:
        from focus_engine.figures.pages import draw_training_history  # noqa: PLC0415  (matplotlib: 0.4 s, only here)

        ended = self._last.state if isinstance(self._last, RunEnded) else state
        if self.counts.epochs:
            draw_training_history(
                self._run.training_history,
                self.counts.epochs,
                early_stopped=ended == "early_stopped",
                resumed_after=self.counts.resumed_after,
                title=self._run.name,
            )

    def samples(self, epoch: int) -> None:
        from focus_engine.figures.pages import draw_samples  # noqa: PLC0415  (matplotlib: 0.4 s, only here)

        with np.load(self._run.sample_maps(epoch), allow_pickle=False) as drawn:
            draw_samples(
                self._run.sample_figure(epoch),
                drawn["real"],
                drawn["maps"],
                drawn["params"],
                [str(name) for name in drawn["param_names"]],
                box_size=float(drawn["box_size"]),
                units=[str(unit) for unit in np.atleast_1d(drawn["units"])],
                fields=[str(name) for name in drawn["fields"]] if "fields" in drawn else (),
                title=f"{self._run.name}, epoch {epoch}",
            )

    def power(self, epoch: int) -> None:
        from focus_engine.figures.pages import draw_power_spectrum  # noqa: PLC0415  (matplotlib: 0.4 s, only here)

        for measured in (one for one in self.counts.spectra if one.epoch == epoch):
            title = f"{self._run.name}, epoch {epoch}"
            draw_power_spectrum(self._run.power_figure(epoch), measured, title=title)


def _is_history(request: str) -> bool:
    return request.partition(" ")[0] == HISTORY


class Requests:
    """The figures to draw, read from a descriptor until it closes; a history that another one follows is left out."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._open, self._text = descriptor, True, b""
        self._waiting: list[str] = []
        self._due = time.monotonic() + FIRST_HISTORY_SECONDS

    def __iter__(self) -> Iterator[str]:
        """Yield the requests in their order, but the history last and not before it is due, except at the end."""
        while self._open or self._waiting:
            self._read(self._wait())
            if request := self._next():
                began = time.monotonic()
                yield request
                if _is_history(request):
                    ended = time.monotonic()
                    self._due = ended + (ended - began) * (1 / HISTORY_SHARE - 1)

    def _wait(self) -> float | None:
        """Return how long to wait for more requests [s]; None until there are some."""
        if not self._waiting:
            return None
        return max(self._due - time.monotonic(), 0) if all(map(_is_history, self._waiting)) else 0

    def _read(self, seconds: float | None) -> None:
        while self._open and select.select([self._descriptor], [], [], seconds)[0]:
            read = os.read(self._descriptor, 65536)
            self._open, seconds = bool(read), 0
            *lines, self._text = (self._text + read).split(b"\n")
            self._waiting += [line.decode() for line in lines]

    def _next(self) -> str | None:
        """Remove and return the next request; None where only a history waits that is not due."""
        others = [one for one in self._waiting if not _is_history(one)]
        self._waiting = others + list(filter(_is_history, self._waiting))[-1:]
        if not others and self._open and time.monotonic() < self._due:
            return None
        return self._waiting.pop(0) if self._waiting else None


def step_back() -> None:
    """Leave the cores to training, as far as the system lets us.

    Where Linux divides the cores among sessions first (autogroup), `nice` only orders the processes of one; this
    process is a session of its own.
    """
    with contextlib.suppress(OSError):
        os.nice(PRIORITY)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(f"{PRIORITY}\n", encoding="ascii")


def main() -> int:
    """Draw the figures named on standard input, one per line, until it closes; return 1 when one failed."""
    step_back()
    figures = _FigureWriter(RunFolder(Path(sys.argv[1])))
    failed = 0
    for request in Requests(sys.stdin.fileno()):
        try:
            figures.draw(request)
        except Exception as error:  # noqa: BLE001  (a process border: one bad figure must not cost the others)
            sys.stderr.write(f"figure {request!r} failed: {type(error).__name__}: {error}\n")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())

"""Faults that stop a worker without ending it, and simultaneous starts on a disk without flock."""

import os
import signal
import time
from pathlib import Path

from chaos import Chaos, Score, trains, wait_for, wait_until

from focus_engine.launch.progress_beat import ProgressBeat
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder
from focus_engine.training import loop

LIMIT = 2.0
"""Limit of a stall [s]; it must be seen 10 s after it."""


def _make(chaos: Chaos) -> RunFolder:
    run = chaos.make()
    with run.config.open("a", encoding="utf-8") as config:
        config.write(f"worker: {{stall_minutes: {LIMIT / 60}}}\n")
    return run


def _stalls_and_goes_on(run: RunFolder, pid: int, score: Score) -> None:
    began = time.monotonic()
    seen = wait_until(lambda: summarise(run).state == "stalled", pid, LIMIT + 10.0)
    score.states_that_lied += not seen or time.monotonic() - began > LIMIT + 10.0
    score.inflicted += 1


def slow_steps() -> None:
    """Let a run of 15 steps last for some beats of its worker."""
    step = loop.make_step

    def slow(*given: object) -> float:
        time.sleep(0.3)
        return step(*given)  # type: ignore[arg-type]

    loop.make_step = slow  # type: ignore[assignment]


def _metered(run: RunFolder) -> bool:
    """Whether the limit holds by now: preparing the run and its first step have more time."""
    beat = ProgressBeat.read(run.progress)
    return beat is not None and beat.limit < 2 * LIMIT


def freeze(chaos: Chaos, times: int) -> Score:
    """SIGSTOP until the run is said to be stalled, then SIGCONT: it ends as if nothing had been."""
    score = Score("SIGSTOP beyond the limit, SIGCONT")
    for _ in range(times):
        run = _make(chaos)
        pid = chaos.spawn(run, resume=False, before=slow_steps)
        wait_until(lambda run=run: trains(run) and _metered(run), pid)
        os.kill(pid, signal.SIGSTOP)
        _stalls_and_goes_on(run, pid, score)
        os.kill(pid, signal.SIGCONT)
        wait_for(pid)
        score.states_that_lied += summarise(run).state != "finished"
        chaos.judge(score, run)
    return score


def hang_a_step(chaos: Chaos, times: int) -> Score:
    """A step that hangs until the run is said to be stalled."""
    score = Score("step that hangs beyond the limit")
    for _ in range(times):
        run = _make(chaos)
        hang = run.path / "hang"

        def hang_it(hang: Path = hang) -> None:
            step = loop.make_step

            def hanging(*given: object) -> float:
                while hang.exists():
                    time.sleep(0.01)
                return step(*given)  # type: ignore[arg-type]

            loop.make_step = hanging  # type: ignore[assignment]

        pid = chaos.spawn(run, resume=False, before=hang_it)
        wait_until(lambda run=run: trains(run), pid)
        hang.touch()
        _stalls_and_goes_on(run, pid, score)
        hang.unlink()
        wait_for(pid)
        score.states_that_lied += summarise(run).state != "finished"
        chaos.judge(score, run)
    return score


WITHOUT_FLOCK = """\
import errno
import fcntl


def flock(*_given):
    raise OSError(errno.ENOSYS, "Function not implemented")


fcntl.flock = flock
"""


def without_flock(folder: Path) -> dict[str, str]:
    """Return the environment of processes on a disk without flock; `folder` gets the hook that they load."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(WITHOUT_FLOCK)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}

"""The faults, one function each, and how often each is inflicted."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chaos import PATIENCE, Chaos, Score, alive, began, trains, wait_for, wait_until
from chaos_stalls import freeze, hang_a_step, slow_steps, without_flock
from workers import ended

from focus_engine.data import batches
from focus_engine.errors import FocusError
from focus_engine.events.log import read_events
from focus_engine.events.table import WorkerStarting
from focus_engine.launch.process import process_start
from focus_engine.launch.start import request_stop
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder

LIBC = ctypes.CDLL(None)
MS_RDONLY, MS_REMOUNT = 1, 32
"""Flags of mount(2)."""


def kill_at_random(chaos: Chaos, times: int) -> Score:
    """SIGKILL at random moments of a worker's run; every second one while a checkpoint is being written."""
    score, run = Score("SIGKILL at a random moment"), chaos.make()
    while score.inflicted < times:
        if summarise(run).state == "finished":
            chaos.judge(score, run)
            run = chaos.make()
        pid = chaos.spawn(run, resume=run.has_checkpoints() or run.events.exists())
        if score.inflicted % 2:
            time.sleep(chaos.random.uniform(0.0, 0.8))
            wait_until(lambda run=run: any(run.checkpoints.glob(".*.tmp")), pid)
        else:
            time.sleep(chaos.random.uniform(0.0, 1.2))
        said_to_live = not began(run, pid) or summarise(run).state not in {"lost", "unreachable"}
        score.states_that_lied += alive(pid) and not said_to_live
        os.kill(pid, signal.SIGKILL)
        wait_for(pid)
        score.inflicted += 1
        chaos.judge_dead(score, run)
        chaos.judge_checkpoint(score, run)
    chaos.judge(score, run)
    return score


def _signalled(chaos: Chaos, times: int, name: str, number: int, *, ends: bool) -> Score:
    score = Score(name)
    for _ in range(times):
        run = chaos.make()
        pid = chaos.spawn(run, resume=False)
        reached = wait_until(lambda run=run: trains(run), pid)
        time.sleep(chaos.random.uniform(0.0, 0.3))
        if reached and alive(pid):
            os.kill(pid, number)
        score.inflicted += 1
        if ends:
            wait_for(pid)
            chaos.judge_dead(score, run)
            score.states_that_lied += summarise(run).state not in {"stopped", "finished"}
        else:
            wait_for(pid)
            score.runs_lost += summarise(run).state != "finished"
        chaos.judge(score, run)
    return score


def terminate(chaos: Chaos, times: int) -> Score:
    """SIGTERM makes a worker save a checkpoint and end as stopped."""
    return _signalled(chaos, times, "SIGTERM", signal.SIGTERM, ends=True)


def interrupt(chaos: Chaos, times: int) -> Score:
    """SIGINT of a terminal does not reach a worker in the background."""
    return _signalled(chaos, times, "SIGINT in the background", signal.SIGINT, ends=False)


def hang_up(chaos: Chaos, times: int) -> Score:
    """SIGHUP of a terminal that closes does not end a worker."""
    return _signalled(chaos, times, "SIGHUP", signal.SIGHUP, ends=False)


def stop_at_random(chaos: Chaos, times: int) -> Score:
    """`focus stop --now` at random moments, repeatedly on the same run."""
    score, run = Score("focus stop --now, again and again"), chaos.make()
    while score.inflicted < times:
        if summarise(run).state == "finished":
            chaos.judge(score, run)
            run = chaos.make()
        pid = chaos.spawn(run, resume=run.has_checkpoints() or run.events.exists())
        wait_until(lambda run=run, pid=pid: began(run, pid), pid)
        time.sleep(chaos.random.uniform(0.0, 0.8))
        with suppress(FocusError):  # the run had finished
            request_stop(run, "now")
        wait_for(pid)
        score.inflicted += 1
        chaos.judge_dead(score, run)
    chaos.judge(score, run)
    return score


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Yield the folder of a disk of `size` bytes. Raises PermissionError if mounting is not permitted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        folder.rmdir()
        raise PermissionError(mounted.stderr.decode().strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def _remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def fill_the_disk(chaos: Chaos, times: int) -> Score:
    """A disk that fills up during a run, in the log, a checkpoint or a figure; space is then freed."""
    score = Score("disk full (checkpoint, event log, figure)")
    size = chaos.whole.checkpoint_last.stat().st_size
    for number in range(times):
        room = int(size * (0.2 + 3.0 * (number + 0.5) / times))
        with small_disk(chaos.folder / f"disk_{number}", room) as disk:
            run = chaos.make("run", root=disk)
            wait_for(chaos.spawn(run, resume=False, figures=number % 2 == 1))
            score.inflicted += 1
            chaos.judge_dead(score, run)
            chaos.judge_checkpoint(score, run)
            _remount(disk, f"size={40 * size}")
            chaos.judge(score, run)
    return score


def write_protect(chaos: Chaos, times: int) -> Score:
    """A disk that becomes read-only during a run, and writable again."""
    score = Score("disk read-only")
    for number in range(times):
        log_file = chaos.folder / f"protected_{number}.log"
        with small_disk(chaos.folder / f"protected_{number}", 1 << 26) as disk:
            run = chaos.make("run", root=disk)
            with _lock_elsewhere(run, chaos.folder / f"protected_{number}.lock"):
                pid = chaos.spawn(run, resume=False, before=slow_steps, log_file=log_file)
                wait_until(lambda run=run: trains(run), pid)
                while alive(pid) and not _protect(disk):  # fails while a file on it is open for writing
                    pass
                score.inflicted += alive(pid)
                wait_for(pid)
                score.states_that_lied += summarise(run).state == "finished"
                chaos.judge_dead(score, run)
                _remount(disk, "rw")
            chaos.judge(score, run)
    return score


@contextmanager
def _lock_elsewhere(run: RunFolder, place: Path) -> Iterator[None]:
    """Keep the lock of `run` in `place`: a worker holds it open for writing, which keeps its disk writable."""
    run.make_folders()
    for path in (run.lock, place):
        path.touch()
    subprocess.run(["mount", "--bind", str(place), str(run.lock)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(run.lock)], check=True)


def _protect(folder: Path) -> bool:
    """Return whether the disk at `folder` is read-only now; a system call, since a command each time costs seconds."""
    return LIBC.mount(None, os.fsencode(folder), None, MS_REMOUNT | MS_RDONLY, None) == 0


def tear_the_log(chaos: Chaos, times: int) -> Score:
    """A last line of the log that is cut, merged with another, or not text."""
    score = Score("torn or interleaved last line")
    for number in range(times):
        run = chaos.make()
        pid = chaos.spawn(run, resume=False)
        wait_until(lambda run=run: trains(run), pid)
        os.kill(pid, signal.SIGKILL)
        wait_for(pid)
        content = run.events.read_bytes()
        lines = content.splitlines()
        half = lines[-1][: chaos.random.randrange(len(lines[-1]))]
        rest = b"\n".join(lines[:-1]) + b"\n"
        torn = (rest + half, rest + half + lines[-1] + b"\n", content + bytes(chaos.random.randbytes(40)) + b"\n")
        run.events.write_bytes(torn[number % 3])
        score.inflicted += 1
        chaos.judge_dead(score, run)
        chaos.judge(score, run)
    return score


def cut_the_checkpoint(chaos: Chaos, times: int) -> Score:
    """A truncated last checkpoint: the previous one is used, with a warning."""
    score = Score("last checkpoint cut short")
    for _ in range(times):
        run = chaos.make()
        pid = chaos.spawn(run, resume=False)
        wait_until(lambda run=run: run.checkpoint_previous.exists() and trains(run), pid)
        os.kill(pid, signal.SIGKILL)
        wait_for(pid)
        with run.checkpoint_last.open("r+b") as file:
            file.truncate(chaos.random.randrange(run.checkpoint_last.stat().st_size))
        score.inflicted += 1
        chaos.judge_dead(score, run)
        chaos.finish(run)
        said = any(getattr(event, "code", "") == "checkpoint" for event in read_events(run.events))
        score.states_that_lied += not said
        chaos.judge(score, run)
    return score


START = """
import sys
from pathlib import Path
from focus_engine.errors import RunConflictError
from focus_engine.runs.folder import RunFolder
from focus_engine.launch.start import start_run
sys.stdin.read()
try:
    start_run(RunFolder(Path(sys.argv[1])))
except RunConflictError:
    sys.exit(3)
"""


def start_many_at_once(chaos: Chaos, times: int, starters: int = 20, *, flock: bool = True) -> Score:
    """Simultaneous starts, of which exactly one succeeds."""
    score = Score(f"{starters} starts at once" + ("" if flock else ", without flock"))
    environment = None if flock else without_flock(chaos.folder / "site")
    for _ in range(times):
        run = chaos.make()
        command = [sys.executable, "-c", START, str(run.path)]
        starting = [
            subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment) for _ in range(starters)
        ]
        for process in starting:
            assert process.stdin is not None
            process.stdin.close()
        codes = sorted(process.wait() for process in starting)
        score.inflicted += 1
        score.runs_lost += codes != [0] + [3] * (starters - 1)
        deadline = time.monotonic() + PATIENCE
        while not ended(run) and time.monotonic() < deadline:  # figures are drawn after the last event
            time.sleep(0.05)
        first_words = [event for event in read_events(run.events) if isinstance(event, WorkerStarting)]
        score.states_that_lied += len(first_words) != 1
        chaos.judge(score, run)
    return score


def start_many_without_flock(chaos: Chaos, times: int) -> Score:
    """The same on a disk without flock, where exclusive files decide."""
    return start_many_at_once(chaos, times, flock=False)


def move_the_folder(chaos: Chaos, times: int) -> Score:
    """The folder of a running worker renamed and restored, or, every second time, removed."""
    score = Score("folder renamed or removed")
    for number in range(times):
        run = chaos.make()
        pid = chaos.spawn(run, resume=False)
        wait_until(lambda run=run: trains(run), pid)
        score.inflicted += 1
        if number % 2:
            shutil.rmtree(run.path, ignore_errors=True)
            score.runs_lost += wait_for(pid) < 0  # the worker ends by itself
            continue
        moved = RunFolder(run.path.with_name(f"{run.name}_moved"))
        run.path.rename(moved.path)
        score.runs_lost += wait_for(pid) < 0
        chaos.judge_dead(score, moved)
        shutil.rmtree(run.path, ignore_errors=True)
        moved.path.rename(run.path)
        chaos.judge(score, run)
    return score


def reboot(chaos: Chaos, times: int) -> Score:
    """A pid that belongs to another process, after a reboot or by reuse on the same boot."""
    score = Score("host rebooted, pid recycled")
    for number in range(times):
        run = chaos.make()
        pid = chaos.spawn(run, resume=False)
        wait_until(lambda run=run: trains(run), pid)
        os.kill(pid, signal.SIGKILL)
        wait_for(pid)
        who = json.loads(run.worker.read_text())
        mine = process_start(os.getpid())
        who |= {"pid": os.getpid()} | ({"boot_id": "another", "process_start": mine} if number % 2 else {})
        run.worker.write_text(json.dumps(who))
        score.inflicted += 1
        score.states_that_lied += summarise(run).state != "lost"
        chaos.judge(score, run)
    return score


def break_a_reader(chaos: Chaos, times: int) -> Score:
    """A thread that reads maps dies in the middle of an epoch."""
    score = Score("data worker dies")
    for _ in range(times):
        run = chaos.make()
        at = chaos.random.randrange(2, 8)

        def break_it(at: int = at) -> None:
            batches.RESIDENT_FRACTION = 0.0
            read, count = batches.Batches._read, iter(range(10**6))

            def failing(self: batches.Batches, chosen: object) -> object:
                if next(count) == at:
                    raise OSError(5, "Input/output error", "maps.npy")
                return read(self, chosen)  # type: ignore[arg-type]

            batches.Batches._read = failing  # type: ignore[method-assign,assignment]

        pid = chaos.spawn(run, resume=False, before=break_it)
        code = wait_for(pid)
        score.inflicted += 1
        score.states_that_lied += (code, summarise(run).state) != (1, "failed")
        chaos.judge(score, run)
    return score


FAULTS: tuple[tuple[Callable[[Chaos, int], Score], int, int], ...] = (
    (kill_at_random, 200, 3),
    (terminate, 20, 1),
    (interrupt, 10, 0),
    (hang_up, 10, 0),
    (stop_at_random, 40, 1),
    (fill_the_disk, 12, 1),
    (write_protect, 6, 1),
    (tear_the_log, 18, 1),
    (cut_the_checkpoint, 12, 0),
    (start_many_at_once, 3, 0),
    (start_many_without_flock, 3, 0),
    (freeze, 10, 0),
    (hang_a_step, 10, 0),
    (move_the_folder, 6, 1),
    (reboot, 6, 1),
    (break_a_reader, 6, 1),
)
"""Each fault with the number of times that `make chaos` and the tests inflict it; 0: the tests have their own."""

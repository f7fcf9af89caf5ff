"""Faults inflicted on real runs, and what they are judged by.

A run is lost when it cannot be brought to the end that it reaches undisturbed, to the last bit; a checkpoint is
corrupted when the last one cannot be read; a state lied when it was live for a dead worker or dead for a live one.
Workers are forked from this process, which has torch loaded, so that hundreds of them cost seconds each less.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from workers import ended, same, write_config

from focus_engine.data import batches
from focus_engine.errors import FocusError
from focus_engine.events.log import read_events
from focus_engine.events.table import EpochFinished, WorkerStarting
from focus_engine.launch.process import ProcessIdentity, process_start
from focus_engine.launch.start import request_stop
from focus_engine.launch.state import summarise
from focus_engine.launch.summary import LIVE_STATES
from focus_engine.runs.folder import RunFolder
from focus_engine.training import loop
from focus_engine.training.checkpoint import load_checkpoint
from focus_engine.worker import __main__ as worker
from focus_engine.worker import session as run_training

EPOCHS = 5
MORE = "checkpoint_minutes: 1.0e-3\n  ema_decay: 0.9"
PATIENCE = 60.0
"""Seconds after which a worker that does not do what it must counts as a lost run."""
TIMES = {"time", "seconds", "maps_per_second", "data_wait", "eta_seconds", "best_epoch_time"}


@dataclass
class Score:
    """How often a fault was inflicted, and what came of it; every number but the first should be 0."""

    fault: str
    inflicted: int = 0
    runs_lost: int = 0
    checkpoints_corrupted: int = 0
    states_that_lied: int = 0

    @property
    def harm(self) -> int:
        """All that should be 0."""
        return self.runs_lost + self.checkpoints_corrupted + self.states_that_lied


class Chaos:
    """Makes runs, hurts them, heals them, and keeps the score."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder = folder
        self.random = random.Random(seed)  # noqa: S311  (moments, not secrets)
        self._made = 0
        self.whole = self.make("undisturbed")
        self.finish(self.whole)
        self.wanted = load_checkpoint(self.whole.checkpoint_last).state
        self.history = _history(self.whole)

    def make(self, name: str | None = None, *, root: Path | None = None, more: str = MORE) -> RunFolder:
        """Make a run whose end is known."""
        self._made += 1
        run = RunFolder((root or self.folder) / (name or f"run_{self._made}"))
        run.path.mkdir(parents=True)
        write_config(run, epochs=EPOCHS, sample_every=0, more=more)
        return run

    def spawn(
        self, run: RunFolder, *, resume: bool, figures: bool = False, before: Callable[[], None] = lambda: None
    ) -> int:
        """Fork a worker of `run`; it does `before` first. Figures are drawn only if asked for: they take seconds."""
        run.make_folders()
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            os.setsid()
            log = os.open(run.worker_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            for descriptor in (1, 2):
                os.dup2(log, descriptor)
            loop.PROGRESS_SECONDS = 0.0  # so that checkpoints within an epoch are as frequent as can be
            if not figures:
                run_training.Artist.draw = lambda _self, _what: None  # type: ignore[method-assign]
            before()
            code = worker.main([str(run.path), *(["--resume"] if resume else [])])
        finally:
            os._exit(code)

    def finish(self, run: RunFolder) -> None:
        """Train `run` to its end."""
        _wait(self.spawn(run, resume=run.has_checkpoints()))

    def judge(self, score: Score, run: RunFolder) -> None:
        """See whether `run`, resumed, ends as the undisturbed one does."""
        self.judge_checkpoint(score, run)
        if summarise(run).state not in {"finished"}:
            self.finish(run)
        try:
            good = summarise(run).state == "finished" and _history(run) == self.history
            good = good and same(load_checkpoint(run.checkpoint_last).state, self.wanted)
        except FocusError:
            good = False
        score.runs_lost += not good
        if good:
            shutil.rmtree(run.path)

    @staticmethod
    def judge_checkpoint(score: Score, run: RunFolder) -> None:
        """See whether the checkpoints that are there can be read."""
        for path in (run.checkpoint_last, run.checkpoint_best):
            try:
                if path.exists():
                    load_checkpoint(path)
            except FocusError:
                score.checkpoints_corrupted += 1

    @staticmethod
    def judge_dead(score: Score, run: RunFolder) -> None:
        """See whether the state of a run whose worker is dead says so."""
        score.states_that_lied += summarise(run).state in {*LIVE_STATES, "unreachable"}


def _history(run: RunFolder) -> list[dict[str, object]]:
    """Return what each epoch came to, the times apart; of an epoch that was trained twice the last."""
    epochs = {event.epoch: asdict(event) for event in read_events(run.events) if isinstance(event, EpochFinished)}
    return [{key: value for key, value in epochs[number].items() if key not in TIMES} for number in sorted(epochs)]


def _wait(pid: int, seconds: float = PATIENCE) -> int:
    """Wait for a forked worker and return its exit code; one that does not end is killed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _alive(pid: int) -> bool:
    """Whether a forked worker has not ended; it stays to be collected."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _until(condition: Callable[[], object], pid: int, seconds: float = PATIENCE) -> bool:
    """Wait until the condition holds while the worker lives; say whether it came to that."""
    deadline = time.monotonic() + seconds
    while not condition():
        if not _alive(pid) or time.monotonic() > deadline:
            return bool(condition())
        time.sleep(0.001)
    return True


def _began(run: RunFolder, pid: int) -> bool:
    identity = ProcessIdentity.read(run.worker)
    return identity is not None and identity.pid == pid and summarise(run).state != "created"


def _training(run: RunFolder) -> bool:
    return summarise(run).state == "running" and run.has_checkpoints()


def kill_at_random(chaos: Chaos, times: int) -> Score:
    """SIGKILL at random moments of a worker's life; every second one while a checkpoint is being written."""
    score, run = Score("SIGKILL at a random moment"), chaos.make()
    while score.inflicted < times:
        if summarise(run).state == "finished":
            chaos.judge(score, run)
            run = chaos.make()
        pid = chaos.spawn(run, resume=run.has_checkpoints() or run.events.exists())
        if score.inflicted % 2:
            time.sleep(chaos.random.uniform(0.0, 0.8))
            _until(lambda run=run: any(run.checkpoints.glob(".*.tmp")), pid)
        else:
            time.sleep(chaos.random.uniform(0.0, 1.2))
        said_to_live = not _began(run, pid) or summarise(run).state not in {"lost", "unreachable"}
        score.states_that_lied += _alive(pid) and not said_to_live
        os.kill(pid, signal.SIGKILL)
        _wait(pid)
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
        reached = _until(lambda run=run: _training(run), pid)
        time.sleep(chaos.random.uniform(0.0, 0.3))
        if reached and _alive(pid):
            os.kill(pid, number)
        score.inflicted += 1
        if ends:
            _wait(pid)
            chaos.judge_dead(score, run)
            score.states_that_lied += summarise(run).state not in {"stopped", "finished"}
        else:
            _wait(pid)
            score.runs_lost += summarise(run).state != "finished"
        chaos.judge(score, run)
    return score


def terminate(chaos: Chaos, times: int) -> Score:
    """SIGTERM: a checkpoint, and the state is stopped."""
    return _signalled(chaos, times, "SIGTERM", signal.SIGTERM, ends=True)


def interrupt(chaos: Chaos, times: int) -> Score:
    """SIGINT of a terminal does not reach a worker in the background."""
    return _signalled(chaos, times, "SIGINT in the background", signal.SIGINT, ends=False)


def hang_up(chaos: Chaos, times: int) -> Score:
    """SIGHUP of a terminal that closes does not end a worker."""
    return _signalled(chaos, times, "SIGHUP", signal.SIGHUP, ends=False)


def stop_at_random(chaos: Chaos, times: int) -> Score:
    """A user's stop --now at random moments, any number of times on the same run."""
    score, run = Score("focus stop --now, again and again"), chaos.make()
    while score.inflicted < times:
        if summarise(run).state == "finished":
            chaos.judge(score, run)
            run = chaos.make()
        pid = chaos.spawn(run, resume=run.has_checkpoints() or run.events.exists())
        _until(lambda run=run, pid=pid: _began(run, pid), pid)
        time.sleep(chaos.random.uniform(0.0, 0.8))
        with suppress(FocusError):  # it had finished
            request_stop(run, "now")
        _wait(pid)
        score.inflicted += 1
        chaos.judge_dead(score, run)
    chaos.judge(score, run)
    return score


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Yield a disk of `size` bytes; raises PermissionError where nothing may be mounted."""
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
    """A disk that is full before the run is done: in the log, amid a checkpoint, in a figure; then space is made."""
    score = Score("disk full (checkpoint, event log, figure)")
    size = chaos.whole.checkpoint_last.stat().st_size
    for number in range(times):
        room = int(size * (0.2 + 3.0 * (number + 0.5) / times))
        with small_disk(chaos.folder / f"disk_{number}", room) as disk:
            run = chaos.make("run", root=disk)
            _wait(chaos.spawn(run, resume=False, figures=number % 2 == 1))
            score.inflicted += 1
            chaos.judge_dead(score, run)
            chaos.judge_checkpoint(score, run)
            _remount(disk, f"size={40 * size}")
            chaos.judge(score, run)
    return score


def write_protect(chaos: Chaos, times: int) -> Score:
    """A disk that becomes read-only under a running worker, and writable again."""
    score = Score("disk read-only")
    for number in range(times):
        with small_disk(chaos.folder / f"protected_{number}", 1 << 26) as disk:
            run = chaos.make("run", root=disk)
            pid = chaos.spawn(run, resume=False)
            _until(lambda run=run: _training(run), pid)
            while _alive(pid) and not _protect(disk):  # refused while a checkpoint is open for writing
                pass
            _wait(pid)
            score.inflicted += 1
            chaos.judge_dead(score, run)
            _remount(disk, "rw")
            chaos.judge(score, run)
    return score


def _protect(folder: Path) -> bool:
    command = ["mount", "-o", "remount,ro", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def tear_the_log(chaos: Chaos, times: int) -> Score:
    """A last line that is cut, doubled into another, or not text at all."""
    score = Score("torn or interleaved last line")
    for number in range(times):
        run = chaos.make()
        pid = chaos.spawn(run, resume=False)
        _until(lambda run=run: _training(run), pid)
        os.kill(pid, signal.SIGKILL)
        _wait(pid)
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
    """A last checkpoint that is cut short: the one before is used, and it is said."""
    score = Score("last checkpoint cut short")
    for _ in range(times):
        run = chaos.make()
        pid = chaos.spawn(run, resume=False)
        _until(lambda run=run: run.checkpoint_previous.exists() and _training(run), pid)
        os.kill(pid, signal.SIGKILL)
        _wait(pid)
        with run.checkpoint_last.open("r+b") as file:  # also under its other name, best
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


def start_many_at_once(chaos: Chaos, times: int, starters: int = 20) -> Score:
    """As many starts at the same moment: exactly one wins."""
    score = Score(f"{starters} starts at once")
    for _ in range(times):
        run = chaos.make()
        command = [sys.executable, "-c", START, str(run.path)]
        starting = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(starters)]
        for process in starting:
            assert process.stdin is not None
            process.stdin.close()
        codes = sorted(process.wait() for process in starting)
        score.inflicted += 1
        score.runs_lost += codes != [0] + [3] * (starters - 1)
        deadline = time.monotonic() + PATIENCE
        while not ended(run) and time.monotonic() < deadline:  # figures are drawn after the last word
            time.sleep(0.05)
        began = [event for event in read_events(run.events) if isinstance(event, WorkerStarting)]
        score.states_that_lied += len(began) != 1
        chaos.judge(score, run)
    return score


def move_the_folder(chaos: Chaos, times: int) -> Score:
    """The folder renamed under a running worker, and given back; every second time removed."""
    score = Score("folder renamed or removed")
    for number in range(times):
        run = chaos.make()
        pid = chaos.spawn(run, resume=False)
        _until(lambda run=run: _training(run), pid)
        score.inflicted += 1
        if number % 2:
            shutil.rmtree(run.path, ignore_errors=True)
            score.runs_lost += _wait(pid) < 0  # it ends by itself
            continue
        moved = RunFolder(run.path.with_name(f"{run.name}_moved"))
        run.path.rename(moved.path)
        score.runs_lost += _wait(pid) < 0
        chaos.judge_dead(score, moved)
        shutil.rmtree(run.path, ignore_errors=True)
        moved.path.rename(run.path)
        chaos.judge(score, run)
    return score


def reboot(chaos: Chaos, times: int) -> Score:
    """Another boot on which the pid belongs to somebody else, and a pid that was given away on the same boot."""
    score = Score("host rebooted, pid recycled")
    for number in range(times):
        run = chaos.make()
        pid = chaos.spawn(run, resume=False)
        _until(lambda run=run: _training(run), pid)
        os.kill(pid, signal.SIGKILL)
        _wait(pid)
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
        code = _wait(pid)
        score.inflicted += 1
        score.states_that_lied += (code, summarise(run).state) != (1, "failed")
        chaos.judge(score, run)
    return score


FAULTS: tuple[tuple[Callable[[Chaos, int], Score], int, int], ...] = (
    (kill_at_random, 200, 10),
    (terminate, 20, 1),
    (interrupt, 10, 1),
    (hang_up, 10, 1),
    (stop_at_random, 40, 3),
    (fill_the_disk, 12, 2),
    (write_protect, 6, 1),
    (tear_the_log, 18, 3),
    (cut_the_checkpoint, 12, 1),
    (start_many_at_once, 3, 1),
    (move_the_folder, 6, 2),
    (reboot, 6, 2),
    (break_a_reader, 6, 1),
)
"""Each fault, how often it is inflicted by `make chaos`, and how often by the tests."""

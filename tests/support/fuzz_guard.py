"""Reads mutated files under watch: what is executed, what leaves the folder, what hangs, what raises what."""

import os
import random
import resource
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz_targets import Target

from focus_engine.errors import FocusError
from focus_engine.runs.folder import RunFolder

SECONDS = 10.0
"""CPU seconds of one read from which it hangs."""
MEMORY = 2 << 30
"""Bytes that a read may map beside what the process has."""
_RUNS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn", "socket.connect"}
_CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.truncate"}


class Hung(BaseException):
    """A read took longer than `SECONDS`."""


@dataclass
class Watch:
    """What the audit hook saw since the last read."""

    home: Path | None = None
    executed: list[str] = field(default_factory=list)
    escaped: list[str] = field(default_factory=list)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note an event of the interpreter that no reader may cause."""
        if self.home is None:
            return
        if event in _RUNS and not _probes(event):
            self.executed.append(event)
        elif event in _CHANGES:
            self._inside(event, *(one for one in arguments[:2] if isinstance(one, str | bytes | os.PathLike)))
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            writes = bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            if writes or "passwd" in os.fsdecode(arguments[0]) or "outside" in os.fsdecode(arguments[0]):
                self._inside(event, arguments[0])

    def _inside(self, event: str, *paths: Any) -> None:
        for path in paths:
            real = os.path.realpath(os.fsdecode(path))
            if self.home is not None and not real.startswith(str(self.home)):
                self.escaped.append(f"{event} {real}")


def _probes(event: str) -> bool:
    """Whether it is the fork in which an HDF5 file is read first."""
    return event == "os.fork" and sys._getframe(2).f_globals.get("__name__") == "focus_engine.data.hdf5_probe"


WATCH = Watch()


@dataclass
class Result:
    """What the reads of one kind of file did.

    Attributes:
        read: number of mutated files.
        accepted: those that were read without an error.
        refused: those that raised a FocusError.
        executed, escaped, hung, raised: what must not be.
        first: one line for each different thing that must not be, with the number of the file.
    """

    read: int = 0
    accepted: int = 0
    refused: int = 0
    executed: int = 0
    escaped: int = 0
    hung: int = 0
    raised: int = 0
    first: Counter[str] = field(default_factory=Counter)

    @property
    def harm(self) -> int:
        """Sum of what must not be."""
        return self.executed + self.escaped + self.hung + self.raised


def install() -> None:
    """Install the audit hook, once; it costs nothing while no read is watched."""
    if not getattr(sys, "_focus_fuzz", False):
        sys.addaudithook(WATCH)
        sys._focus_fuzz = True  # type: ignore[attr-defined]


@contextmanager
def _limits() -> Iterator[None]:
    """Limit CPU time and memory of the block."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise Hung

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGVTALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + MEMORY, limits[1]))
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGVTALRM, before)


def fuzz(target: Target, numbers: range, seed: int, home: Path, result: Result, told: Any = None) -> None:
    """Read the mutated files of these numbers in a run folder below `home`; count in `result` what that did."""
    install()
    run = RunFolder(home / "run")
    was = Path.cwd()
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    try:
        for number in numbers:
            if told is not None:
                told(number)
            draw = random.Random(f"{seed} {target.name} {number}")  # noqa: S311
            content = target.mutate(draw, draw.choice(target.seeds))
            _write(run, target, content)
            _read(run, target, result, number)
            if (home / "executed").exists() or (run.path / "executed").exists():
                result.executed += 1
                result.first[f"#{number}: executed"] += 1
                (home / "executed").unlink(missing_ok=True)
    finally:
        os.chdir(was)
        shutil.rmtree(home, ignore_errors=True)


LOG = Path("logs/events.jsonl")


def _write(run: RunFolder, target: Target, content: bytes) -> None:
    if not run.path.is_dir():
        run.make_folders()
        from example_events import epoch, started, worker

        run.config.write_text("method: flow\n", encoding="utf-8")
        lines = "".join(event.to_json() + "\n" for event in (worker(), started(), epoch(1)))
        run.events.write_text(lines, encoding="utf-8")
        (run.path / target.place).parent.mkdir(parents=True, exist_ok=True)
        (run.path / "rec").mkdir(exist_ok=True)
        (run.path / "rec" / "0-a.yaml").write_text("method: flow\n", encoding="utf-8")
        beat = target.name == "progress.json"
        if beat:  # the beat of a living worker
            from focus_engine.launch.process import ProcessIdentity

            run.worker.write_text(ProcessIdentity.of_this_process().to_json(), encoding="utf-8")
    (run.path / target.place).write_bytes(content)


def _read(run: RunFolder, target: Target, result: Result, number: int) -> None:
    WATCH.executed.clear()
    WATCH.escaped.clear()
    what = ""
    WATCH.home = run.path.parent.resolve()
    try:
        with _limits():
            target.read(run, run.path / target.place)
        result.accepted += 1
    except (FocusError, *target.refused):
        result.refused += 1
    except Hung as error:
        result.hung += 1
        what = f"hung {_where(error)}"
    except Exception as error:  # noqa: BLE001
        result.raised += 1
        what = f"{type(error).__name__}: {str(error)[:120]!r} {_where(error)}"
    finally:
        WATCH.home = None
    result.read += 1
    for seen in WATCH.executed[:1]:
        result.executed += 1
        what += f" executed {seen}"
    for seen in WATCH.escaped[:1]:
        result.escaped += 1
        what += f" escaped {seen}"
    if what:
        if len(result.first) < 20:
            result.first[f"#{number}: {what}"] += 1
        with suppress(OSError):
            for path in run.path.parent.glob("*"):
                if path.is_file():
                    path.unlink()


def _where(error: BaseException) -> str:
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "focus_" in one.filename]
    return " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in frames[-3:][::-1])

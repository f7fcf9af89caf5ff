"""Lets one file call of a command fail, or all of its kind from there on, and judges what the user is told and has.

The commands run in this process, by the entry point of `focus`. A call is named by what it does, its file, and which
call of that kind it is, because threads make the n-th call of all another one in each run.
"""

import contextlib
import errno
import io
import json
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from disk_states import Cut
from file_calls import FileCalls
from forked_worker import forked_workers
from power_loss import NAME, Recording, Verdict, after_the_reboot, build, go_on, judge, one_process, whole_maps

from focus_engine.events.log import read_events
from focus_engine.events.table import RunEnded, RunStarted, StepProgress
from focus_engine.launch import file_lock
from focus_engine.runs.folder import RunFolder
from focus_tui.__main__ import run as focus

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM)
FULL = (errno.ENOSPC, errno.EDQUOT)
JUDGED = ("generated.npz", "real.npz")
BY_PATH = ("open", "rename", "link", "unlink", "mkdir", "rmdir")
TAKES_ROOM = ("open", "write", "fsync", "rename", "link", "mkdir", "truncate")
_TEMPORARY = re.compile(r"\.\d+\.[0-9a-f]{8}\.tmp$|\.[0-9a-f]{16}\.new$|-\d+-[0-9a-f]{8}$")


@dataclass(frozen=True)
class Point:
    """A file call: `call` of the file `name`, the `number`-th of its kind, from 1."""

    call: str
    name: str
    number: int


class FailingCalls(FileCalls):
    """Counts the file calls of a command, and lets one fail with an error; if it `stays`, all that need room later.

    Attributes:
        counts: how often each call was made of each file.
        failed: whether one has failed.
    """

    def __init__(self, folder: Path, at: Point | None = None, error: int = 0, *, stays: bool = False) -> None:
        super().__init__(folder, reads=True)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.failed = False
        self._at, self._error, self._stays = at, error, stays

    def before(self, call: str, path: str) -> None:
        key = call, _TEMPORARY.sub("", Path(path).name)
        with self._lock:
            self.counts[key] += 1
            hit = self._at is not None and (*key, self.counts[key]) == (self._at.call, self._at.name, self._at.number)
            if not hit and not (self.failed and self._stays and call in TAKES_ROOM):
                return
            self.failed = True
        raise OSError(self._error, os.strerror(self._error), *([path] if call in BY_PATH else []))


@dataclass
class Report:
    """How many calls failed, by command and by error, and what was wrong, which should be nothing.

    Attributes:
        unreached: calls that this run of the command did not make.
        unclear: messages without the cause or without a path.
    """

    commands: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    unreached: int = 0
    lies: int = 0
    lost: int = 0
    tracebacks: int = 0
    unclear: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def harm(self) -> int:
        """Sum of all failures."""
        return self.lies + self.lost + self.tracebacks + self.unclear

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        counts = {"commands": dict(self.commands), "errors": dict(self.errors)}
        return asdict(self) | counts | {"injections": sum(self.commands.values())}


def _flock(*, there: bool) -> contextlib.AbstractContextManager[object]:
    """Let the disk have flock, or not."""
    return contextlib.nullcontext() if there else mock.patch.object(file_lock, "_flock", return_value=False)


def _whole_json(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")))
    except ValueError:
        return False


def _write_maps(path: Path, seed: int) -> None:
    """Write lognormal maps at three parameters."""
    draw = np.random.default_rng(seed)
    params = np.repeat(np.array([[0.2], [0.3], [0.4]]), 8, axis=0)
    maps = np.exp(params[:, :, None] * draw.normal(size=(24, 16, 16))).astype("float32")
    np.savez(path, maps=maps, params=params, param_names=np.array(["Omega_m"]), box_size=25.0)


@dataclass(frozen=True)
class Told:
    """What a command said: its exit code and output; the exceptions that it did not handle; the workers it began."""

    code: int
    text: str
    unhandled: tuple[str, ...]
    workers: tuple[int, ...] = ()


class Commands:
    """Commands by name, each with the folder in which it begins and its arguments."""

    def __init__(self, recording: Recording, folder: Path) -> None:
        self.recording, self._folder = recording, folder
        created = recording.created
        stopped = next(at for at, event in recording.events if isinstance(event, RunEnded))
        started = next(at for at, event in recording.events if isinstance(event, RunStarted))
        live = next(at for at, event in recording.events if at > started and isinstance(event, StepProgress))
        end = len(recording.disk.ops)
        self.known: dict[str, tuple[int, tuple[str, ...]]] = {
            "new": (0, ("new", NAME, "--from", str(recording.source.path))),
            "train": (created, ("train", NAME)),
            "start": (created, ("start", NAME)),
            "start-no-flock": (created, ("start", NAME)),
            "stop": (live, ("stop", NAME)),
            "resume": (stopped, ("train", NAME, "--resume")),
            "sample": (end, ("sample", NAME, "-n", "2", "--device", "cpu", "--json")),
            "evaluate": (end, ("evaluate", NAME, "-n", "4", "--device", "cpu", "--json")),
            "judge": (end, self._judged()),
            "verify": (end, ("verify", NAME)),
            "status": (stopped, ("status", NAME)),
            "ls": (stopped, ("ls",)),
            "logs": (stopped, ("logs", NAME)),
        }

    def _judged(self) -> tuple[str, ...]:
        generated, real, report = (str(self._folder / name) for name in (*JUDGED, "report.html"))
        return ("judge", generated, "--against", real, "-o", report, "--json")

    def begin(self, name: str) -> RunFolder:
        """Make the folder in which a command begins."""
        at = self.known[name][0]
        run = build(self.recording.disk.after(Cut(at, "nfs", "most")), self._folder)
        if name == "judge":
            for seed, file in enumerate(JUDGED):
                _write_maps(self._folder / file, seed)
        return run

    def call(self, name: str, calls: FileCalls) -> Told:
        """Run a command under `calls`."""
        text, unhandled = io.StringIO(), list[str]()
        hook = mock.patch.object(threading, "excepthook", lambda given: unhandled.append(repr(given.exc_value)))
        said = contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), hook
        with contextlib.ExitStack() as stack:
            for one in (*said, one_process(figures=False), _flock(there=not name.endswith("no-flock"))):
                stack.enter_context(one)
            workers = stack.enter_context(forked_workers(calls))
            code = 70
            try:
                with calls.installed():
                    code = focus(["--root", str(self._folder), *self.known[name][1]])
            except Exception as error:  # noqa: BLE001  (any is a failure of what is judged)
                unhandled.append(f"{type(error).__name__}: {error}")
        return Told(code, text.getvalue(), tuple(unhandled), tuple(one.pid for one in workers))

    def points(self, name: str) -> list[Point]:
        """Return the calls that a command makes: of each kind the first two, one in the middle and the last."""
        self.begin(name)
        calls = FailingCalls(self._folder)
        told = self.call(name, calls)
        assert told.code == 0, (name, told)
        return [
            Point(*key, number)
            for key, count in sorted(calls.counts.items())
            for number in sorted({1, min(2, count), (count + 1) // 2, count})
        ]

    def fail(self, name: str, at: Point, error: int, *, stays: bool) -> tuple[bool, Verdict, list[str]]:
        """Let a call of a command fail; return whether it was made, what is wrong, and what is unclear."""
        run = self.begin(name)
        calls = FailingCalls(self._folder, at, error, stays=stays)
        told = self.call(name, calls)
        with after_the_reboot():
            verdict = self._judge(name, run, told)
        unclear = [] if told.code == 0 or not calls.failed else _unclear(told, run, error)
        return calls.failed, verdict, unclear

    def _judge(self, name: str, run: RunFolder, told: Told) -> Verdict:
        verdict = Verdict(tracebacks=list(told.unhandled))
        if "Traceback (most recent call last)" in told.text:
            verdict.tracebacks.append(told.text[-600:])
        if told.code not in {0, 1, 2}:
            verdict.lies.append(f"exit code {told.code}")
        if told.code and any(str(pid) not in told.text for pid in told.workers):
            verdict.lies.append(f"failed, and its worker trained: {told.text[-300:]!r}")
        if name == "new":
            if told.code and run.path.exists():
                verdict.lies.append("failed and left the folder")
            if told.code == 0 and run.config.read_bytes() != self.recording.config:
                verdict.lost.append("another config")
            return verdict
        found = judge(self.recording, run, -1)
        maps = [path.name for path in run.samples.glob("*.npz") if not whole_maps(path)]
        reports = [path.name for path in run.path.glob("figs/*.json") if not _whole_json(path)]
        verdict.lost += found.lost + [f"{path} is not whole" for path in (*maps, *reports)]
        verdict.lies += found.lies
        verdict.tracebacks += found.tracebacks
        if name in {"train", "resume", "start", "start-no-flock"}:
            after = go_on(self.recording, run)
            verdict.lost += after.lost
            verdict.tracebacks += after.tracebacks
        return verdict


def _unclear(told: Told, run: RunFolder, error: int) -> list[str]:
    """Return what the message of a command that failed lacks: the cause, or a path."""
    ends = [event.reason for event in read_events(run.events)[-1:] if isinstance(event, RunEnded)]
    text = " ".join([told.text, *ends])
    lacks = [] if os.strerror(error) in text else [f"no cause in {told.text[-300:]!r} {ends}"]
    return lacks + ([] if str(run.path.parent) in text else [f"no path in {told.text[-300:]!r} {ends}"])


def plan(commands: Commands, names: tuple[str, ...], seed: int) -> Iterator[tuple[str, Point, int, bool]]:
    """Yield command, call, error and whether it stays, in random order; every error at every call."""
    every = [(name, at, error) for name in names for at in commands.points(name) for error in ERRORS]
    draw = random.Random(seed)  # noqa: S311  (moments, not secrets)
    draw.shuffle(every)
    for name, at, error in every:
        yield name, at, error, error in FULL or draw.random() < 0.3


def campaign(
    commands: Commands,
    names: tuple[str, ...],
    *,
    injections: int,
    minutes: float,
    seed: int,
    show: Callable[[str], None],
) -> Report:
    """Let `injections` calls fail, or as many as some minutes allow, and return what came of it."""
    report, began, end = Report(), time.process_time(), time.monotonic() + 60 * minutes
    for name, at, error, stays in plan(commands, names, seed):
        if sum(report.commands.values()) >= injections or time.monotonic() > end:
            break
        reached, verdict, unclear = commands.fail(name, at, error, stays=stays)
        if not reached:
            report.unreached += 1
            continue
        report.commands[name] += 1
        report.errors[errno.errorcode[error]] += 1
        report.lies += bool(verdict.lies)
        report.lost += bool(verdict.lost)
        report.tracebacks += bool(verdict.tracebacks)
        report.unclear += bool(unclear)
        if harm := [*verdict.harm, *unclear]:
            where = {"command": name, **asdict(at), "error": errno.errorcode[error], "stays": stays}
            report.examples.append({**where, "harm": harm})
            show(f"{where}: {harm}")
    report.seconds = time.process_time() - began
    return report

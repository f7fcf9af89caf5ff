"""Sampling from the dashboard: `focus sample` as a process of its own, told of by its JSON lines.

The process has its own session and outlives the dashboard; its maps lie in the run's samples folder either way.
What it says goes to files without a name, which the system takes away with the last of the two who hold them:
a dashboard that is killed leaves nothing behind.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Generic, Self, TypeVar

from focus_engine.units import NORMALISED

PATIENCE = 5.0
"""Seconds until a process that was asked to stop, and has not, is ended."""
MOST_WARNINGS = 20


@dataclass(frozen=True)
class SampledPower:
    """P(k) of sampled maps.

    Attributes:
        k: mean wavenumber of each bin [h/Mpc].
        mean: mean P(k) over the maps [(Mpc/h)^2].
        std: scatter from map to map; None with one map.
        k_nyquist: Nyquist wavenumber [h/Mpc].
        normalised: whether it is of a normalised field, not of a density.
    """

    k: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...] | None
    k_nyquist: float
    normalised: bool = False


@dataclass(frozen=True)
class SampleResult:
    """What `focus sample --json` has drawn.

    Attributes:
        path: the .npz.
        figure: the PNG.
        n_maps: how many maps.
        nfe: network function evaluations per map.
        power: P(k) of the first channel; None when the maps are not physical.
    """

    path: Path
    figure: Path
    n_maps: int
    nfe: int
    power: SampledPower | None


Result = TypeVar("Result")


@dataclass(frozen=True)
class JobProgress(Generic[Result]):
    """How far a job is.

    Attributes:
        done: steps of single maps that are done.
        total: of how many; 0 while that is not known yet.
        words: what it does.
        warnings: what deserves attention.
        note: the last sentence that is no warning: which checkpoint, how many maps.
        finished: the result, once there is one.
        failed: why there will be none, in words.
    """

    done: int = 0
    total: int = 0
    words: str = "starting: the network is being loaded"
    warnings: tuple[str, ...] = ()
    note: str = ""
    finished: Result | None = None
    failed: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.finished is not None or self.failed is not None


@dataclass
class Job(Generic[Result]):
    """A running `focus` that draws maps, and speaks with --json --progress json.

    Attributes:
        label: what is sampled, for people: the run's name.
        values: of the form that asked for it, by field, for whoever comes back to it.
    """

    label: str
    _process: "subprocess.Popen[bytes]"
    _out: IO[bytes]
    _err: IO[bytes]
    _progress: JobProgress[Result] = field(default_factory=JobProgress)
    _read: int = 0
    _torn: bytes = b""
    _last: str = ""
    _cancelled: float | None = None
    values: dict[str, str] = field(default_factory=dict)

    @classmethod
    def launch(cls, command: Sequence[str], *, label: str = "") -> Self:
        """Start a command that speaks as `focus sample --json --progress json` does. Raises OSError."""
        out, err = (tempfile.TemporaryFile(prefix="focus-sample-") for _ in range(2))  # noqa: SIM115  (the job's)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True, close_fds=True
        )
        # Collected when it ends, whether or not somebody still polls.
        threading.Thread(target=process.wait, name=f"focus-collect-{process.pid}", daemon=True).start()
        return cls(label, process, out, err)

    @classmethod
    def _focus(cls, command: str, options: Sequence[str], runs: Sequence[Path], label: str) -> Self:
        """Start `focus COMMAND OPTIONS RUNS` in the background. Raises OSError when no process can be made."""
        speaking = [*options, "--json", "--progress", "json", "--", *map(str, runs)]
        return cls.launch([sys.executable, "-m", "focus_tui", command, *speaking], label=label)

    def _understood(self, said: dict[str, Any]) -> Result | None:
        """The result as the process printed it; None when that is no result."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """Process id, which is that of its session too."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def poll(self) -> JobProgress[Result]:
        """Return how far the job is; costs a few system calls."""
        if self._progress.ended:
            return self._progress
        running = self.running  # asked before reading: what it said last is in the files then
        self._progress = self._heard(self._progress)
        if not running:
            self._progress = self._ended(self._progress)
        elif self._cancelled is not None and time.monotonic() - self._cancelled > PATIENCE:
            self._signal(signal.SIGTERM)
        return self._progress

    def cancel(self) -> None:
        """Ask the process to stop; asked again, or when it does not listen, it is ended."""
        if self.running:
            self._signal(signal.SIGINT if self._cancelled is None else signal.SIGTERM)
            self._cancelled = self._cancelled or time.monotonic()

    def wait(self, timeout: float | None = None) -> JobProgress[Result]:
        """Return the last word. Raises subprocess.TimeoutExpired."""
        self._process.wait(timeout)
        return self.poll()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _heard(self, progress: JobProgress[Result]) -> JobProgress[Result]:
        """Read on where the last poll stopped, without moving the place where the process writes."""
        while chunk := os.pread(self._err.fileno(), 1 << 16, self._read):
            self._read += len(chunk)
            *lines, self._torn = (self._torn + chunk).split(b"\n")
            for line in lines:
                progress = self._take(progress, line.decode("utf-8", "replace"))
        return progress

    def _take(self, progress: JobProgress[Result], line: str) -> JobProgress[Result]:
        match _object(line):
            case {"done": int(done), "total": int(total), "words": str(words)}:
                return replace(progress, done=done, total=total, words=words)
            case {"warning": str(warning)}:
                return replace(progress, warnings=(*progress.warnings, warning)[-MOST_WARNINGS:])
            case {"note": str(note)}:
                return replace(progress, note=note)
        self._last = line.strip() or self._last
        return progress

    def _ended(self, progress: JobProgress[Result]) -> JobProgress[Result]:
        if self._torn:
            progress = self._take(progress, self._torn.decode("utf-8", "replace"))
        said = os.pread(self._out.fileno(), os.fstat(self._out.fileno()).st_size, 0)
        self._out.close()
        self._err.close()
        result = self._understood(_object(said.decode("utf-8", "replace")))
        if result is not None:
            return replace(progress, finished=result)
        return replace(progress, failed=self._why())

    def _why(self) -> str:
        if self._cancelled is not None:
            return "cancelled: nothing was written"
        code = self._process.returncode
        if code is not None and code < 0:
            how = "out of memory?" if -code == signal.SIGKILL else signal.strsignal(-code) or ""
            return f"the process was killed by signal {-code} ({how}); nothing was written"
        said = self._last.removeprefix("focus: ")
        return said or f"the process ended with code {code} and said nothing"


@dataclass
class SamplingJob(Job[SampleResult]):
    """A running `focus sample`."""

    @classmethod
    def start(cls, run: Path, options: Sequence[str], *, label: str = "") -> Self:
        """Start `focus sample RUN OPTIONS` in the background. Raises OSError when no process can be made."""
        return cls._focus("sample", options, [run], label or run.name)

    def _understood(self, said: dict[str, Any]) -> SampleResult | None:
        try:
            power = said["power"]
            spectrum = None if power is None else _spectrum(power)
            files = Path(said["path"]), Path(said["figure"])
            return SampleResult(*files, int(said["n_maps"]), int(said["nfe"]), spectrum)
        except (KeyError, TypeError, ValueError):
            return None


@dataclass
class ComparisonJob(Job[dict[str, Any]]):
    """A running `focus compare`; its result is the document that it prints."""

    @classmethod
    def start(cls, runs: Sequence[Path]) -> Self:
        """Start `focus compare RUNS` in the background. Raises OSError when no process can be made."""
        return cls._focus("compare", [], runs, " ".join(run.name for run in runs))

    def _understood(self, said: dict[str, Any]) -> dict[str, Any] | None:
        return said if "samples" in said else None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _spectrum(said: dict[str, Any]) -> SampledPower:
    std = said["power_std"]
    known = not any(value is None for value in std)
    spread = tuple(std) if known else None
    normalised = said.get("of") == NORMALISED
    return SampledPower(tuple(said["k"]), tuple(said["power_mean"]), spread, float(said["k_nyquist"]), normalised)

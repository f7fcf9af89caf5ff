"""Background jobs of the dashboard: `focus sample` and `focus compare` as processes that report in JSON lines.

A job has its own session and outlives the dashboard; its maps are written to the samples folder of the run.
Its output goes to unnamed temporary files, which the system deletes once job and dashboard have closed them.
A killed dashboard therefore leaves no files behind.
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

STOP_GRACE_SECONDS = 5.0
"""Time between SIGINT and SIGTERM for a cancelled job that has not ended."""
MAX_WARNINGS = 20


@dataclass(frozen=True)
class SampledPower:
    """P(k) of sampled maps.

    Attributes:
        k: mean wavenumber of each bin [h/Mpc].
        mean: mean P(k) over the maps [(Mpc/h)^2].
        std: standard deviation between maps; None with one map.
        k_nyquist: Nyquist wavenumber [h/Mpc].
        normalised: whether the field is normalised rather than a density.
    """

    k: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...] | None
    k_nyquist: float
    normalised: bool = False


@dataclass(frozen=True)
class SampleResult:
    """The result of `focus sample --json`.

    Attributes:
        path: the .npz file.
        figure: the PNG file.
        n_maps: number of maps.
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
    """The progress of a job.

    Attributes:
        done: sampling steps done, summed over maps.
        total: sampling steps in all; 0 while unknown.
        words: the current activity.
        warnings: the latest warnings.
        note: the last message that is not a warning, such as the checkpoint used.
        finished: the result; None until the job has succeeded.
        failed: why the job has failed; None unless it has.
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
        """Whether the job has succeeded or failed."""
        return self.finished is not None or self.failed is not None


@dataclass
class Job(Generic[Result]):
    """A `focus` process that reports with --json --progress json.

    Attributes:
        label: name of the run, shown to the user.
        values: values of the form that started the job, by field, to restore the form.
    """

    label: str
    _process: "subprocess.Popen[bytes]"
    _out: IO[bytes]
    _err: IO[bytes]
    _progress: JobProgress[Result] = field(default_factory=JobProgress)
    _offset: int = 0
    _partial_line: bytes = b""
    _last_line: str = ""
    _cancelled: float | None = None
    values: dict[str, str] = field(default_factory=dict)

    @classmethod
    def launch(cls, command: Sequence[str], *, label: str = "") -> Self:
        """Start a command that reports like `focus sample --json --progress json`. Raises OSError."""
        out, err = (tempfile.TemporaryFile(prefix="focus-sample-") for _ in range(2))  # noqa: SIM115  (closed by the job)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True, close_fds=True
        )
        # Reap the process when it ends, even if nothing polls the job any more.
        threading.Thread(target=process.wait, name=f"focus-collect-{process.pid}", daemon=True).start()
        return cls(label, process, out, err)

    @classmethod
    def _focus(cls, command: str, options: Sequence[str], runs: Sequence[Path], label: str) -> Self:
        """Start `focus COMMAND OPTIONS RUNS` in the background. Raises OSError when no process can be made."""
        speaking = [*options, "--json", "--progress", "json", "--", *map(str, runs)]
        return cls.launch([sys.executable, "-m", "focus_tui", command, *speaking], label=label)

    def _parse_result(self, said: dict[str, Any]) -> Result | None:
        """Return the result that the process printed; None if it is not a valid result."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """Process id, which is also the session id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def poll(self) -> JobProgress[Result]:
        """Return the progress of the job; costs a few system calls."""
        if self._progress.ended:
            return self._progress
        running = self.running  # checked before reading, so that the last output of an ended process is read
        self._progress = self._read_progress(self._progress)
        if not running:
            self._progress = self._finish(self._progress)
        elif self._cancelled is not None and time.monotonic() - self._cancelled > STOP_GRACE_SECONDS:
            self._signal(signal.SIGTERM)
        return self._progress

    def cancel(self) -> None:
        """Send SIGINT to the process; a second call, or `STOP_GRACE_SECONDS` without effect, sends SIGTERM."""
        if self.running:
            self._signal(signal.SIGINT if self._cancelled is None else signal.SIGTERM)
            self._cancelled = self._cancelled or time.monotonic()

    def wait(self, timeout: float | None = None) -> JobProgress[Result]:
        """Wait for the process and return the final progress. Raises subprocess.TimeoutExpired."""
        self._process.wait(timeout)
        return self.poll()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read_progress(self, progress: JobProgress[Result]) -> JobProgress[Result]:
        """Read from where the last poll stopped; pread leaves the write position of the process unchanged."""
        while chunk := os.pread(self._err.fileno(), 1 << 16, self._offset):
            self._offset += len(chunk)
            *lines, self._partial_line = (self._partial_line + chunk).split(b"\n")
            for line in lines:
                progress = self._apply_line(progress, line.decode("utf-8", "replace"))
        return progress

    def _apply_line(self, progress: JobProgress[Result], line: str) -> JobProgress[Result]:
        match _object(line):
            case {"done": int(done), "total": int(total), "words": str(words)}:
                return replace(progress, done=done, total=total, words=words)
            case {"warning": str(warning)}:
                return replace(progress, warnings=(*progress.warnings, warning)[-MAX_WARNINGS:])
            case {"note": str(note)}:
                return replace(progress, note=note)
        self._last_line = line.strip() or self._last_line
        return progress

    def _finish(self, progress: JobProgress[Result]) -> JobProgress[Result]:
        if self._partial_line:
            progress = self._apply_line(progress, self._partial_line.decode("utf-8", "replace"))
        said = os.pread(self._out.fileno(), os.fstat(self._out.fileno()).st_size, 0)
        self._out.close()
        self._err.close()
        result = self._parse_result(_object(said.decode("utf-8", "replace")))
        if result is not None:
            return replace(progress, finished=result)
        return replace(progress, failed=self._failure_reason())

    def _failure_reason(self) -> str:
        if self._cancelled is not None:
            return "cancelled: nothing was written"
        code = self._process.returncode
        if code is not None and code < 0:
            how = "out of memory?" if -code == signal.SIGKILL else signal.strsignal(-code) or ""
            return f"the process was killed by signal {-code} ({how}); nothing was written"
        said = self._last_line.removeprefix("focus: ")
        return said or f"the process ended with exit code {code} and no message"


@dataclass
class SamplingJob(Job[SampleResult]):
    """A running `focus sample`."""

    @classmethod
    def start(cls, run: Path, options: Sequence[str], *, label: str = "") -> Self:
        """Start `focus sample RUN OPTIONS` in the background. Raises OSError when no process can be made."""
        return cls._focus("sample", options, [run], label or run.name)

    def _parse_result(self, said: dict[str, Any]) -> SampleResult | None:
        try:
            power = said["power"]
            spectrum = None if power is None else _spectrum(power)
            files = Path(said["path"]), Path(said["figure"])
            return SampleResult(*files, int(said["n_maps"]), int(said["nfe"]), spectrum)
        except (KeyError, TypeError, ValueError):
            return None


@dataclass
class ComparisonJob(Job[dict[str, Any]]):
    """A running `focus compare`; its result is the JSON document that it prints."""

    @classmethod
    def start(cls, runs: Sequence[Path]) -> Self:
        """Start `focus compare RUNS` in the background. Raises OSError when no process can be made."""
        return cls._focus("compare", [], runs, " ".join(run.name for run in runs))

    def _parse_result(self, said: dict[str, Any]) -> dict[str, Any] | None:
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

"""Benchmark of the dashboard in a real terminal: time to first paint, output volume, latency.

Run: python benchmarks/dashboard.py [--leet PATH_TO_WANDB] [--quick]; dashboard_load.py has long logs and many events
Each measurement starts `focus tui` in a pseudo-terminal of 120 x 40 and reads its output. First paint is compared with
the first chart of W&B LEET on an equivalent run, alternating in one loop.
"""

import argparse
import fcntl
import json
import os
import platform
import pty
import re
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from focus_engine.events.log import append_event
from focus_engine.events.table import EpochFinished, Event, RunEnded, RunStarted, StepProgress, WorkerStarting
from focus_engine.launch.process import ProcessIdentity, boot_id, host_name, process_start
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.replay import recordings

RESULTS = Path(__file__).parent / "results" / "dashboard.json"
COLUMNS, ROWS = 120, 40
ESCAPES = re.compile(rb"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b[PX^_\]].*?(?:\x1b\\|\x07)|\x1b[@-_]", re.DOTALL)
PATIENCE = 60.0


class Terminal:
    """A program in a pseudo-terminal, with all its output."""

    def __init__(self, command: list[str], cwd: Path, environment: dict[str, str] | None = None) -> None:
        self.began = time.perf_counter()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.environ.update({"TERM": "xterm-256color", "COLORTERM": "truecolor", **(environment or {})})
            os.execvp(command[0], command)  # noqa: S606  (the measured program)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.written = bytearray()

    def read(self, seconds: float) -> int:
        """Read one chunk of output, waiting at most `seconds`; return its size [bytes]."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return 0
        try:
            chunk = os.read(self._fd, 1 << 16)
        except OSError:
            return 0
        self.written += chunk
        return len(chunk)

    def until(self, fits: Callable[[str], bool], since: int = 0) -> float:
        """Return the time [s after the start] when `fits` accepts the output after `since`."""
        deadline = time.perf_counter() + PATIENCE
        while time.perf_counter() < deadline:
            self.read(0.01)
            if fits(self.text(since)):
                return time.perf_counter() - self.began
        raise TimeoutError(f"not within {PATIENCE:.0f} s; the last output was: {self.text()[-400:]!r}")

    def text(self, since: int = 0) -> str:
        """Return the output after `since`, without escape sequences."""
        return ESCAPES.sub(b"", bytes(self.written[since:])).decode(errors="replace")

    def press(self, keys: str) -> int:
        """Type `keys`; return the size of the output before [bytes]."""
        before = len(self.written)
        os.write(self._fd, keys.encode())
        return before

    def drain(self, quiet: float = 0.4) -> None:
        """Read until no output has come for `quiet` seconds."""
        while self.read(quiet):
            pass

    def close(self) -> None:
        """Kill the program, and those that it has started."""
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)


def focus(root: Path, *arguments: str) -> Terminal:
    """Open the dashboard on the experiments in `root`."""
    command = [str(Path(sys.executable).parent / "focus"), "--root", str(root), "tui", *arguments]
    return Terminal(command, root, {"FOCUS_TUI_CONFIG": str(root / "none.yaml")})


MAIN = recordings()[1]  # a finished run
EPOCH = next(event for event in MAIN.events if isinstance(event, EpochFinished))
STARTED = next(event for event in MAIN.events if isinstance(event, RunStarted))
STEP = next(event for event in MAIN.events if isinstance(event, StepProgress))


def changed(event: Event, **fields: object) -> str:
    """Return a log line: `event` with other values."""
    return json.dumps({**json.loads(event.to_json()), **fields}, separators=(",", ":")) + "\n"


def make_run(root: Path, name: str, epochs: int, *, ended: bool = True) -> RunFolder:
    """Make a run with `epochs` epochs in the real format."""
    run = RunFolder(root / name)
    run.make_folders()
    run.config.write_text(MAIN.config, encoding="utf-8")
    now = time.time()
    lines = [changed(STARTED, time=now)]
    for number in range(1, epochs + 1):
        loss = 0.4 + 0.5 / number + 0.01 * (hash((name, number)) % 10)
        values = {"val_loss": loss, "best_val_loss": loss, "best_epoch": number, "train_loss": 1.1 * loss}
        lines.append(changed(STEP, time=now, epoch=number, batch=40))
        lines.append(changed(EPOCH, time=now, epoch=number, num_epochs=epochs, **values))
    if ended:
        end = RunEnded(time=now, state="finished", reason="done", epoch=epochs, seconds=1.0, peak_memory=None)
        lines.append(end.to_json() + "\n")
    run.events.write_text("".join(lines), encoding="utf-8")
    return run


def make_live(root: Path, name: str, pid: int) -> RunFolder:
    """Make a run whose worker is the live process `pid`."""
    run = make_run(root, name, 20, ended=False)
    me = ProcessIdentity(pid, host_name(), boot_id(), process_start(pid), time.time())
    run.worker.write_text(me.to_json(), encoding="utf-8")
    starting = WorkerStarting(
        pid=pid,
        host=me.host,
        boot_id=me.boot_id,
        process_start=me.process_start,
        focus_version="0",
        resume=False,
        foreground=False,
    )
    log = starting.to_json() + "\n" + run.events.read_text(encoding="utf-8")
    run.events.write_text(log, encoding="utf-8")
    return run


def first_paint(root: Path, repeats: int, leet: Path | None) -> dict[str, object]:
    """Measure the time until a run's name is on screen and, alternating, until LEET's first chart is."""
    make_run(root, "one_run", 200)
    peer = None if leet is None else leet_run(root, leet)
    ours, theirs = [], []
    for _ in range(repeats):
        terminal = focus(root)
        ours.append(terminal.until(lambda text: "one_run" in text))
        terminal.close()
        if peer is not None and leet is not None:
            terminal = Terminal([str(leet), "beta", "leet", "run", str(peer)], root, {"WANDB_ERROR_REPORTING": "false"})
            theirs.append(terminal.until(lambda text: any("\u2801" <= sign <= "\u28ff" for sign in text)))
            terminal.close()
    median = statistics.median(ours)
    result: dict[str, object] = {"seconds": median, "bar": 1.0, "ok": median <= 1.0}
    if theirs:
        result |= {"leet_seconds": statistics.median(theirs), "of_leet": median / statistics.median(theirs)}
    else:
        result["leet"] = "skipped: give --leet PATH to the wandb program"
    return result


def leet_run(root: Path, leet: Path) -> Path:
    """Write an offline W&B run of 200 steps and 4 metrics."""
    code = (
        "import wandb\n"
        "run = wandb.init(project='x', mode='offline', dir='.')\n"
        "for i in range(200): run.log({'train': 1/(i+1), 'val': 2/(i+1), 'lr': 1e-4, 'grad': 1.0})\n"
        "run.finish()\n"
    )
    python = leet.parent / "python"
    subprocess.run([str(python), "-c", code], cwd=root, check=True, capture_output=True)
    return max((root / "wandb").glob("offline-run-*"))


def many(root: Path, count: int, bar: float, bar_megabytes: float) -> dict[str, object]:
    """Measure the time from first paint until `count` runs are listed, and the memory used then."""
    for number in range(count):
        make_run(root, f"run_{number:05d}", 60)
    times = []
    for _ in range(3):
        terminal = focus(root)
        painted = terminal.until(lambda text: "run_0" in text)
        listed = terminal.until(lambda text: f"{count} runs" in text)
        times.append(listed - painted)
        terminal.drain()
        memory = psutil.Process(terminal.pid).memory_info().rss / 1e6
        terminal.close()
    median = statistics.median(times)
    return {
        "seconds": median,
        "bar": bar,
        "megabytes": memory,
        "bar_megabytes": bar_megabytes,
        "ok": median <= bar and memory <= bar_megabytes,
    }


def overlay(root: Path) -> dict[str, object]:
    """Measure the time from key `c` until the curves of 60 runs of 200 epochs are on screen."""
    for number in range(60):
        make_run(root, f"run_{number:02d}", 200)
    times = []
    for _ in range(3):
        terminal = focus(root)
        terminal.until(lambda text: "60 runs" in text)
        terminal.drain()
        for _ in range(60):
            terminal.press(" ")
        terminal.drain(1.0)
        pressed = time.perf_counter() - terminal.began
        before = terminal.press("c")
        terminal.until(lambda text: "reference" in text and "reading" not in text[-4000:], before)
        last = time.perf_counter() - terminal.began
        while terminal.read(0.5):
            last = time.perf_counter() - terminal.began
        times.append(last - pressed)
        terminal.close()
    median = statistics.median(times)
    return {"seconds": median, "bar": 1.0, "ok": median <= 1.0}


def latency(root: Path, repeats: int) -> dict[str, object]:
    """Measure the time from an event in the log of a watched run until its value is on screen."""
    run = make_live(root, "live_run", os.getpid())
    terminal = focus(root, "live_run")
    terminal.until(lambda text: "epoch 20/" in text)
    terminal.drain()
    times = []
    for number in range(repeats):
        value = 0.1111 + 0.01 * number
        now = time.time()
        epoch = EpochFinished.from_dict(
            {**json.loads(EPOCH.to_json()), "time": now, "epoch": 21 + number, "val_loss": value}
        )
        before = len(terminal.written)
        written = time.perf_counter()
        append_event(run.events, epoch)
        terminal.until(lambda text, value=value: f"{value:.4f}" in text, before)
        times.append(time.perf_counter() - written)
        terminal.drain(0.05)
    terminal.close()
    return {"seconds": statistics.median(times), "longest": max(times), "bar": 0.5, "ok": max(times) <= 0.5}


def busy(root: Path, repeats: int) -> dict[str, object]:
    """Measure `latency` while eight other runs write ten events a second each."""
    writer = streaming(root, 8, 10.0)
    try:
        return latency(root, repeats)
    finally:
        writer.kill()
        writer.wait()


WRITER = """
import json, sys, time
paths, step, wait = sys.argv[3:], json.loads(sys.argv[1]), float(sys.argv[2])
number = 0
while True:
    number += 1
    for path in paths:
        step |= {"time": time.time(), "epoch": 21, "batch": number % 75, "train_loss": 0.5 + 0.001 * (number % 7)}
        with open(path, "a") as log:
            log.write(json.dumps(step, separators=(",", ":")) + "\\n")
    time.sleep(wait)
"""


def streaming(root: Path, runs: int, rate: float = 1.0) -> subprocess.Popen[bytes]:
    """Start a process that acts as the worker of `runs` runs and writes `rate` steps per run and second."""
    logs = [str(make_live(root, f"live_{number}", os.getpid()).events) for number in range(runs)]
    command = [sys.executable, "-c", WRITER, STEP.to_json(), str(1 / rate), *logs]
    writer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    for number in range(runs):
        make_live(root, f"live_{number}", writer.pid)
    return writer


def at_rest(root: Path, seconds: float) -> dict[str, object]:
    """Measure the cost of one live run without key presses: terminal bytes/s and fraction of a core."""
    writer = streaming(root, 1)
    terminal = focus(root, "live_0")
    terminal.until(lambda text: "maps/s" in text)
    terminal.drain(0.2)
    process = psutil.Process(terminal.pid)
    used, before, began = sum(process.cpu_times()[:2]), len(terminal.written), time.perf_counter()
    while time.perf_counter() - began < seconds:
        terminal.read(0.2)
    lasted = time.perf_counter() - began
    cpu = (sum(process.cpu_times()[:2]) - used) / lasted
    rate = (len(terminal.written) - before) / lasted
    terminal.close()
    writer.kill()
    writer.wait()
    return {
        "bytes_per_second": rate,
        "bar_bytes": 5000,
        "cpu": cpu,
        "bar_cpu": 0.05,
        "ok": rate <= 5000 and cpu <= 0.05,
    }


def key(root: Path, repeats: int) -> dict[str, object]:
    """Measure the time from a key press to its first output byte, while eight runs stream."""
    writer = streaming(root, 8)
    terminal = focus(root)
    terminal.until(lambda text: "8 live" in text)
    terminal.drain(0.3)
    times = []
    for number in range(repeats):
        deadline = time.perf_counter() + 0.15
        while time.perf_counter() < deadline:  # wait until nothing is being painted
            if terminal.read(0.05):
                deadline = time.perf_counter() + 0.15
        pressed = time.perf_counter()
        terminal.press("j" if number % 2 == 0 else "k")
        while not terminal.read(1.0):
            pass
        times.append(time.perf_counter() - pressed)
    terminal.close()
    writer.kill()
    writer.wait()
    slow = sorted(times)[int(0.95 * len(times))]
    return {"seconds": statistics.median(times), "p95": slow, "bar": 0.05, "ok": statistics.median(times) <= 0.05}


def described() -> dict[str, object]:
    """Return the machine, versions, load and date of a result."""
    return {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("textual", "rich")} | {"python": platform.python_version()},
    }


def main() -> None:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--leet", type=lambda path: Path(path).absolute(), help="the wandb program of an environment that has it"
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    given = parser.parse_args()
    repeats = 3 if given.quick else 7
    measures: dict[str, Callable[[Path], dict[str, object]]] = {
        "first paint": lambda root: first_paint(root, repeats, given.leet),
        "1,000 runs listed": lambda root: many(root, 1000, 0.5, 150),
        "10,000 runs listed": lambda root: many(root, 10_000, 3.0, 300),
        "60 x 200 epochs overlaid": overlay,
        "event to screen": lambda root: latency(root, 5 if given.quick else 20),
        "event, eight stream at 10/s": lambda root: busy(root, 5 if given.quick else 20),
        "at rest, one live run": lambda root: at_rest(root, 8 if given.quick else 20),
        "key while eight stream": lambda root: key(root, 10 if given.quick else 40),
    }
    results: dict[str, object] = described()
    for name, measure in measures.items():
        folder = Path(tempfile.mkdtemp(prefix="focus-bench-"))
        try:
            result = measure(folder) | {"load": os.getloadavg()[0]}
        except TimeoutError as error:
            result = {"ok": False, "error": str(error)[:300]}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        results[name] = result
        shown = "  ".join(
            f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in result.items()
        )
        print(f"{name:<29}{shown}", flush=True)
    if not given.quick:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Reports of the progress of a command on stderr. Needs no torch."""

import json
import math
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

from focus_engine.events.table import DataProgress
from focus_engine.progress import drain
from focus_tui.terminal import say
from focus_tui.view.follow import Printer
from focus_tui.view.words import bar_line

Step = TypeVar("Step")
Result = TypeVar("Result")

REPORT_SECONDS = 0.1
"""Least time between two lines of `--progress json` [s]; the last line is always written."""


class ProgressReporter:
    """Reports progress on stderr: as a bar, or as one JSON object per line."""

    def __init__(self, progress: str = "bar") -> None:
        self._json = progress == "json"
        self._printer = Printer()
        self._reported = -math.inf

    def note(self, words: str) -> None:
        """Write a note."""
        say(json.dumps({"note": words}) if self._json else words)

    def warn(self, words: str) -> None:
        """Write a warning."""
        say(json.dumps({"warning": words}) if self._json else f"warning: {words}")

    def progress(self, done: int, total: int, words: list[str]) -> None:
        """Update the bar, or write a line of JSON at most every `REPORT_SECONDS`."""
        if not self._json:
            self._printer.progress(bar_line(done, total, words))
            return
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS or done == total:
            self._reported = now
            say(json.dumps({"done": done, "total": total, "words": ", ".join(words)}))

    def follow(self, work: Generator[DataProgress, None, Result]) -> Result:
        """Run `work` to its end with its progress reported; return its result."""
        return self.drain(work, lambda step: self.progress(step.done, step.total, [step.what]))

    def drain(self, work: Generator[Step, None, Result], report: Callable[[Step], None]) -> Result:
        """Run `work` to its end, hand each step to `report`, and clear the bar; return its result."""
        try:
            return drain(work, report)
        finally:
            self._printer.clear()


def relative(path: Path) -> str:
    """Return `path` relative to the current folder if it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

"""Opens checkpoints and reports progress for `focus sample`, `evaluate`, `compare` and `demo`."""

import json
import math
import time
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

from focus_engine.config.advice import guidance_warning
from focus_engine.evaluation.comparison import ComparisonProgress
from focus_engine.evaluation.trained_model import TrainedModel, find_checkpoint, open_trained
from focus_engine.events.table import DataProgress
from focus_engine.generative.sampling import SamplingPlan, SamplingProgress
from focus_engine.progress import drain
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.safety import check_links
from focus_engine.trust import runs_code
from focus_tui.compute.options import DrawOptions
from focus_tui.terminal import say, visible
from focus_tui.view.follow import Printer
from focus_tui.view.words import bar_line

Step = TypeVar("Step", bound=SamplingProgress | DataProgress | ComparisonProgress)
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

    def track(self, work: Generator[Step, None, Result], plan: SamplingPlan | None = None) -> Result:
        """Run `work` to its end with its progress reported; return its result. Work that samples needs its plan."""

        def report(step: Step) -> None:
            if isinstance(step, SamplingProgress) and plan is not None:
                self.progress(*_sampling_progress(step, plan))
            elif isinstance(step, ComparisonProgress):
                self.progress(step.done, step.total, [visible(step.words)])
            elif isinstance(step, DataProgress):
                self.progress(step.done, step.total, [step.what])

        try:
            return drain(work, report)
        finally:
            self._printer.clear()


def _sampling_progress(step: SamplingProgress, plan: SamplingPlan) -> tuple[int, int, list[str]]:
    """Return progress in sampler steps of single maps: done, total, and words."""
    total = step.maps_total * plan.steps
    batch = min(plan.batch_size, step.maps_total - step.maps_done) if step.finished is None else 0
    done = step.maps_done * plan.steps + batch * step.step
    return done, total, [f"sampling {step.maps_total} maps", f"step {step.step}"]


def open_model(run: RunFolder, options: DrawOptions, reporter: ProgressReporter) -> tuple[TrainedModel, SamplingPlan]:
    """Return the model of the requested checkpoint and the plan to sample with.

    Raises:
        InputError: no such checkpoint, or the options do not fit its model.
    """
    check_links(run)
    path = find_checkpoint(run, options.checkpoint)
    model = open_trained(path, device=options.device)
    if runs_code(model.config.model.from_):
        reporter.warn(f"the code of {visible(model.config.model.from_)} is run (model.from)")
    plan = model.plan(
        sampler=options.sampler,
        steps=options.steps,
        eta=options.eta,
        guidance=options.guidance,
        seed=options.seed,
        batch_size=options.batch_size,
    )
    if warning := guidance_warning(plan.guidance):
        reporter.warn(warning)
    reporter.note(
        f"{visible(run.name)}: {path.name} (epoch {model.source['epoch']}), {plan.sampler}, {plan.steps} steps, "
        f"eta {plan.eta:g}, seed {plan.seed}"
    )
    return model, plan


def relative(path: Path) -> str:
    """Return `path` relative to the current folder if it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

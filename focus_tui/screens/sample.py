"""Sampling from a run: a form that is the command line of `focus sample`, its progress, and what was drawn."""

import shlex
from pathlib import Path
from typing import ClassVar

import numpy as np
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from focus_engine.errors import FocusError
from focus_engine.runs.folder import RunFolder
from focus_tui.options import SampleOptions, parse_params
from focus_tui.present import RunView, floats
from focus_tui.sampling_process import JobProgress, SampledPower, SamplingJob
from focus_tui.screens.base import BaseScreen
from focus_tui.terminal import visible
from focus_tui.widgets.chart import Chart
from focus_tui.widgets.form import Field, Form
from focus_tui.widgets.hints import Hints
from focus_tui.words import age, bar_line

FIELDS = (
    Field("checkpoint", "checkpoint", "best", "best, last or a path"),
    Field("sampler", "sampler", "", "as in the config; ddim or ddpm"),
    Field("steps", "steps", "", "as in the config"),
    Field("eta", "eta", "", "0 is deterministic, 1 is DDPM"),
    Field("guidance", "guidance", "", "1 samples the trained density"),
    Field("n", "number of maps", "4"),
    Field("seed", "seed", "0"),
    Field("params", "parameters", "", "those of the validation maps; or Omega_m=0.3,sigma_8=0.8"),
)
FLAGS = {
    "checkpoint": "--checkpoint",
    "sampler": "--sampler",
    "steps": "--steps",
    "eta": "--eta",
    "guidance": "--guidance",
    "n": "-n",
    "seed": "--seed",
    "params": "--params",
}
DEFAULTS = {"checkpoint": "best", "seed": "0"}
POLL_SECONDS = 0.25
WIDE = 110


def arguments_of(values: dict[str, str]) -> list[str]:
    """Return the arguments of `focus sample` that a form's values stand for."""
    given = [(key, value) for key, value in values.items() if value and value != DEFAULTS.get(key)]
    return [part for key, value in given for part in (FLAGS[key], value)]


def check_values(values: dict[str, str]) -> SampleOptions:
    """Return the options that a form's values stand for. Raises InputError as the command line does."""
    return SampleOptions(
        steps=_whole(values["steps"], "--steps"),
        eta=_number(values["eta"], "--eta"),
        sampler=values["sampler"] or None,
        guidance=_number(values["guidance"], "--guidance"),
        seed=_whole(values["seed"], "--seed") or 0,
        checkpoint=values["checkpoint"] or "best",
        n_maps=_whole(values["n"], "-n"),
        params=parse_params(values["params"] or None),
    )


def _whole(text: str, option: str) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        raise FocusError(f"{option} {text!r}: give a whole number") from None


def _number(text: str, option: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise FocusError(f"{option} {text!r}: give a number") from None


class SampleScreen(BaseScreen):
    """Draws maps from a run's checkpoint."""

    TITLE_WORDS = "Sample"
    HELP = (
        "Every field is an option of focus sample; an empty one means what the config says.\n"
        "The job goes on when you leave, and its maps lie in the run's samples/ folder."
    )
    HINTS = ("draw", "cancel_job", "swap", "help", "back")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "draw", "sample", tooltip="draw the maps"),
        Binding("ctrl+x", "cancel_job", "cancel", tooltip="end the job"),
        Binding("ctrl+o", "swap", "form/result", tooltip="show the form, or what was drawn"),
        Binding("f1", "help", "help"),
    ]

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self._run = run
        self._result = False
        self._shown: Path | None = None

    def compose(self) -> ComposeResult:
        """Lay out the form and the result."""
        yield Static(id="head")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield Form(FIELDS)
                yield Static(id="problem")
                yield Static(id="command")
            with Vertical(id="right"):
                yield Chart(id="maps")
                yield Chart(id="power")
                yield Static(id="paths")
        yield Static(id="progress")
        yield Hints()

    def on_mount(self) -> None:
        """Start with what the config says."""
        super().on_mount()
        self.query_one("#head", Static).update(self._head())
        self._check()
        self._lay_out()
        self.query_one("#field-steps").focus()
        self.set_interval(POLL_SECONDS, self._poll)
        self._poll()

    def on_resize(self) -> None:
        """Lay out anew."""
        super().on_resize()
        self._lay_out()

    def current_run(self) -> RunFolder | None:
        """Return the run that is sampled from."""
        return self._run

    def show_view(self, view: RunView) -> None:  # noqa: ARG002  (the app keeps it)
        """Show which checkpoints there are."""
        self.query_one("#head", Static).update(self._head())

    @property
    def job(self) -> SamplingJob | None:
        """The run's job, running or ended."""
        return self.focus_app.jobs.get(self._run.path)

    def _head(self) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(" Sample ", style="bold reverse").append(f"  {visible(self._run.name)}", style="bold")
        view = self.focus_app.view_of(self._run)
        best = None if view is None else view.best_epoch
        for kind, path, epoch in (
            ("best", self._run.checkpoint_best, best),
            ("last", self._run.checkpoint_last, None if view is None else view.summary.epoch),
        ):
            try:
                saved = age(path.stat().st_mtime)
            except OSError:
                continue
            text.append(f"   {kind}: epoch {epoch if epoch is not None else '?'}, {saved} ago", style="dim")
        if not self._run.has_checkpoints():
            text.append("   no checkpoint yet: the first comes with the first epoch", style="yellow")
        return text

    def _lay_out(self) -> None:
        wide = self.size.width >= WIDE
        self.query_one("#left").display = wide or not self._result
        self.query_one("#right").display = wide or self._result

    @on(Form.Changed)
    def _check(self) -> bool:
        """Say what is wrong, and the command line that does the same."""
        values = self.query_one(Form).values
        problem = ""
        try:
            options = check_values(values)
            if options.guidance not in {None, 1.0}:
                problem = "guidance other than 1 changes the density that was trained, and so P(k)"
        except FocusError as error:
            self.query_one("#problem", Static).update(Text(str(error), style="bold red"))
            return False
        self.query_one("#problem", Static).update(Text(problem, style="yellow"))
        line = shlex.join(["focus", "sample", self._run.name, *arguments_of(values)])
        self.query_one("#command", Static).update(Text(f"$ {line}", style="dim"))
        return True

    @on(Form.Submitted)
    def submitted(self) -> None:
        """Draw."""
        self.action_draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what applies."""
        busy = self.job is not None and not self.job.poll().ended if self.is_mounted else False
        if action == "cancel_job":
            return busy
        if action == "draw":
            return not busy and self._run.has_checkpoints()
        if action == "swap":
            return self.is_mounted and self.size.width < WIDE
        return super().check_action(action, parameters)

    def action_draw(self) -> None:
        """Start the job."""
        if self.job is not None and not self.job.poll().ended:
            self.focus_app.say("a job of this run is still sampling; ctrl+x ends it")
            return
        if not self._run.has_checkpoints():
            self.focus_app.say(f"{self._run.name} has no checkpoint yet", severity="error")
            return
        if not self._check():
            return
        try:
            job = SamplingJob.start(self._run.path, arguments_of(self.query_one(Form).values))
        except OSError as error:
            self.focus_app.say(f"sampling cannot be started: {error}", severity="error")
            return
        self.focus_app.jobs[self._run.path] = job
        self._poll()
        self.refresh_hints()

    def action_cancel_job(self) -> None:
        """End the job."""
        if self.job is not None:
            self.job.cancel()

    def action_swap(self) -> None:
        """Show the form, or what was drawn."""
        self._result = not self._result
        self._lay_out()

    def action_back(self) -> None:
        """Leave; a job goes on."""
        if self.job is not None and not self.job.poll().ended:
            self.focus_app.say(f"sampling from {self._run.name} goes on; g shows it again")
        super().action_back()

    def _poll(self) -> None:
        if self.job is None:
            return
        progress = self.job.poll()
        self.query_one("#progress", Static).update(self._progress_line(progress))
        if progress.finished is not None and progress.finished.path != self._shown:
            self._shown = progress.finished.path
            self._show(progress)

    def _progress_line(self, progress: JobProgress) -> Text:
        if progress.failed is not None:
            return Text(f" ✗ {visible(progress.failed)}", style="bold red")
        if progress.finished is not None:
            done = progress.finished
            warnings = "".join(f"   warning: {visible(words)}" for words in progress.warnings)
            return Text(f" ✓ {done.n_maps} maps, {done.nfe} network calls each{warnings}", style="green")
        return Text(f" {bar_line(progress.done, progress.total, [progress.words], self.size.width - 2)}")

    def _show(self, progress: JobProgress) -> None:
        """Draw the maps and their P(k)."""
        assert progress.finished is not None  # noqa: S101  (asked by the caller)
        self._result = True
        self._lay_out()
        self.refresh_hints()
        result, app = progress.finished, self.focus_app
        try:
            with np.load(result.path) as file:
                maps = np.asarray(file["maps"], dtype=np.float64)
        except (OSError, ValueError, KeyError) as error:
            app.say(f"{result.path} cannot be read: {error}", severity="error")
            return
        maps = maps if maps.ndim == 3 else maps[:, 0]

        def draw(width: int, height: int) -> str:
            from focus_tui.charts import draw_maps

            fitting = max(1, min(len(maps), (width + 2) // (2 * max(4, height - 2) + 2)))
            return draw_maps(list(maps[:fitting]), width=width, height=height, color_depth=app.color_depth)

        self.query_one("#maps", Chart).show(draw, str(result.path))
        self._show_power(result.power)
        paths = f"maps    {result.path}\nfigure  {result.figure}"
        self.query_one("#paths", Static).update(Text(paths))

    def _show_power(self, power: SampledPower | None) -> None:
        """Draw P(k) of the samples over that of real maps, where the run has measured it."""
        view = self.focus_app.view_of(self._run)
        real = view.spectra[-1] if view is not None and view.spectra else None
        color = self.focus_app.color

        def draw(width: int, height: int) -> str:
            from focus_tui.charts import draw_power, draw_single_power

            if power is None:
                return "the maps are not physical: no P(k)"
            k, mean = floats(power.k), floats(power.mean)
            if real is not None and len(real.k) <= len(k) and np.allclose(real.k, k[: len(real.k)], rtol=1e-3):
                return draw_power(
                    real.k,
                    floats(real.real_mean),
                    floats(real.real_std),
                    mean[: len(real.k)],
                    width=width,
                    height=height,
                    color=color,
                    k_nyquist=real.k_nyquist,
                    title="samples over the validation maps of the training",
                )
            std = None if power.std is None else floats(power.std)
            return draw_single_power(k, mean, std, width=width, height=height, color=color, title="P(k) of the samples")

        self.query_one("#power", Chart).show(draw, str(self._shown))

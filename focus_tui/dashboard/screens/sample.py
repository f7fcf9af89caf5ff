"""The Sample screen: a form with the options of `focus sample`, the progress of the job, and its maps."""

import shlex
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Button, Static

from focus_engine.config.samplers import PRIORS
from focus_engine.errors import FocusError
from focus_engine.launch.summary import RunSummary
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.host import Host
from focus_tui.dashboard.jobs import JobProgress, SampleResult, SamplingJob
from focus_tui.dashboard.sample_form import (
    GIVEN,
    ModelFacts,
    SampleRequest,
    command_of,
    facts_of_run,
    param_key,
    range_words,
    sample_request,
)
from focus_tui.dashboard.screens.base import STARTABLE
from focus_tui.dashboard.screens.form import TO_FORM, FormScreen
from focus_tui.dashboard.widgets.form_fields import ChoiceField, Field, FormPane, TextField
from focus_tui.dashboard.widgets.form_result import DrawnMaps, ResultPane, read_maps
from focus_tui.terminal import visible
from focus_tui.view.run_view import RunView
from focus_tui.view.words import age

POLL_SECONDS = 0.2
DEFAULT_MAPS = 16
"""Default number of maps of `focus sample`."""


class SampleScreen(FormScreen):
    """Draws maps from a checkpoint of a run."""

    TITLE_WORDS = "Sample"
    HELP = (
        "Every field is an option of focus sample with the same checks; an empty field takes the value of the config.\n"
        "The command below the form does the same in a shell.\n"
        "The job continues when you leave, even when you quit; its maps are in the samples/ folder of the run.\n"
        "‹ › choose with left and right, or enter for the list."
    )
    HINTS = ("draw", "cancel_job", "start_run", "show_side", "show_form", "copy_command", "turn(1)", "help", "back")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "draw", "sample", tooltip="draw the maps"),
        Binding("ctrl+g", "cancel_job", "cancel", tooltip="cancel the job"),
        Binding("f2", "show_side", "result", tooltip="the sampled maps"),
        TO_FORM,
        Binding("pagedown", "turn(1)", "more maps", tooltip="more maps"),
        Binding("pageup", "turn(-1)", "previous maps", tooltip="previous maps"),
    ]
    DEFAULT_CSS = """
    SampleScreen #form Button { margin: 1 0 0 15; }
    SampleScreen #empty { padding: 2 3; }
    """

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self._run = run
        self._facts = ModelFacts()
        self._ready = False
        self._empty: bool | None = None
        self._shown: Path | None = None
        self._last_progress: JobProgress[SampleResult] | None = None

    def form(self) -> ComposeResult:
        """Yield the fields; `_fill_in` adds those of the parameters."""
        yield Static(id="empty")
        yield ChoiceField("checkpoint", "checkpoint", [("best", "best"), ("last", "last")])
        yield ChoiceField("sampler", "sampler", [("", "as the config")])
        yield TextField("steps", "steps")
        yield TextField("nfe", "nfe", hint="in place of steps")
        yield TextField("eta", "eta", hint="0: deterministic")
        yield TextField("guidance", "guidance", hint="1: as trained")
        yield ChoiceField("prior", "prior", [("", "as the config")])
        yield TextField("maps", "maps", placeholder=str(DEFAULT_MAPS), hint="how many")
        yield TextField("seed", "seed", placeholder="0", hint="of the noise")
        yield TextField("gpus", "GPUs", hint="share the maps")
        yield ChoiceField("params", "parameters", [("", "those of the validation maps"), (GIVEN, "given here")])
        yield Button("Sample  ctrl+s", id="draw", variant="primary", compact=True)

    def side(self) -> ComposeResult:
        """Yield the result."""
        app = self.focus_app
        yield ResultPane(color=app.color, color_depth=app.color_depth, colormap=app.settings.colormap)

    def on_mount(self) -> None:
        """Load the facts of the model in a thread, because importing the schema takes 0.1 s."""
        super().on_mount()
        self._show_head()
        self._show_emptiness()
        self.result.say(Text("The maps and their P(k) are shown here.", style="dim"))
        self.show_command()
        view = self.focus_app.view_of(self._run)
        self.run_worker(lambda: self._load_facts(view), thread=True, exit_on_error=False, name="learn")
        self.set_interval(POLL_SECONDS, self._look)

    @property
    def result(self) -> ResultPane:
        """The side pane."""
        return self.query_one(ResultPane)

    @property
    def job(self) -> SamplingJob | None:
        """The job of the run, running or ended."""
        return self.focus_app.jobs.get(self._run.path)

    @property
    def busy(self) -> bool:
        """Whether a job of the run is sampling."""
        return self.job is not None and not self.job.poll().ended

    def current_run(self) -> RunFolder | None:
        """Return the run to sample from."""
        return self._run

    def command(self) -> str:
        """Return the command of the form."""
        at_home = self._run.path.parent == self.shell_root
        arguments = sample_request(self.values, self._facts).arguments if self._ready else ()
        return command_of(self._run.name if at_home else str(self._run.path), arguments)

    def show_view(self, view: RunView) -> None:
        """Update the checkpoints; the first one makes the form visible."""
        if view.summary.path == str(self._run.path):
            self._show_head()
            self._show_checkpoints()
            self._show_emptiness()

    def _show_head(self) -> None:
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(" Sample ", style="bold reverse").append(f"  {visible(self._run.name)}  ", style="bold")
        summary = self.focus_app.summary_of(self._run)
        if summary is not None:
            text.append(f"{summary.state.replace('_', ' ')}", style="dim")
            text.append("" if summary.epoch is None else f", epoch {summary.epoch}", style="dim")
        self.query_one("#head", Static).update(text)

    def _show_emptiness(self) -> None:
        """Show the form, or what to do if the run has no checkpoint."""
        empty = not self._run.has_checkpoints()
        form = self.query_one(FormPane)
        for child in form.children:
            child.display = empty == (child.id == "empty")
        if not empty:
            self._show_params()
        else:
            form.query_one("#empty", Static).update(Text(no_checkpoint_words(self._run, self.current_summary())))
        self.query_one("#command").display = not empty
        if empty != self._empty:
            self._empty = empty
            self.refresh_hints()
            if empty:
                self.set_focus(None)
            else:
                self.focus_first()

    def _load_facts(self, view: RunView | None) -> None:
        """Read the facts of the model; runs in a thread."""
        try:
            facts = facts_of_run(self._run, view)
        except (FocusError, OSError) as error:
            self.app.call_from_thread(self.focus_app.say, str(error), severity="error")
            return
        self.app.call_from_thread(self._facts_loaded, facts)

    def _facts_loaded(self, facts: ModelFacts) -> None:
        self.run_worker(self._fill_in(facts), name="fill")

    async def _fill_in(self, facts: ModelFacts) -> None:
        """Fill the form from the facts of the model."""
        if not self.is_mounted:
            return
        self._facts = facts
        others = [(name, name) for name in facts.fitting if name != facts.sampler]
        self._choice("sampler").set_choices([("", f"{facts.sampler} (as the config)"), *others])
        priors = [(name, name) for name in PRIORS if name != facts.prior]
        self._choice("prior").set_choices([("", f"{facts.prior} (as the config)"), *priors])
        first = facts.seen[0] if facts.seen else ()
        new = [
            TextField(
                param_key(name),
                name,
                f"{first[place]:.4g}" if place < len(first) else "",
                hint=range_words(facts, place),
            )
            for place, name in enumerate(facts.names)
        ]
        await self.query_one(FormPane).mount_all(new, before="#draw")
        self._ready = True
        self._show_checkpoints()
        self._show_emptiness()
        if self.job is not None:
            self.fill(self.job.values.items())
        self._check()
        if not self._empty and (self.focused is None or not self.focused.display):
            self.focus_first()

    def _choice(self, key: str) -> ChoiceField:
        return self.query_one(f"#field-{key}", ChoiceField)

    def _text(self, key: str) -> TextField:
        return self.query_one(f"#field-{key}", TextField)

    def _show_checkpoints(self) -> None:
        """Show the epoch and age of each checkpoint."""
        view, choices = self.focus_app.view_of(self._run), []
        known = {} if view is None else {event.kind: event for event in view.checkpoints}
        for kind, path in (("best", self._run.checkpoint_best), ("last", self._run.checkpoint_last)):
            try:
                saved = path.stat().st_mtime
            except OSError:
                continue
            epoch = f"epoch {known[kind].epoch}, " if kind in known else ""
            choices.append((kind, f"{kind}: {epoch}{age(saved)} old"))
        self._choice("checkpoint").set_choices(choices or [("best", "best"), ("last", "last")])

    def _show_params(self) -> None:
        given = self._choice("params").value == GIVEN
        for field in self.query(Field):
            if field.key.startswith("param."):
                field.display = given

    @on(Field.Changed)
    def _field_changed(self, event: Field.Changed) -> None:
        event.stop()
        if event.field.key == "params":
            self._show_params()
        self._check()

    def _check(self) -> SampleRequest | None:
        """Show the problems below the fields, and the equivalent command; None before the facts are loaded."""
        if not self._ready:
            return None
        values, facts = self.values, self._facts
        wanted = sample_request(values, facts)
        for key, field in self.fields.items():
            field.show_problem(
                wanted.problems.get(key, wanted.warnings.get(key, "")), warning=key not in wanted.problems
            )
        sampler = values["sampler"] or facts.sampler
        self._text("steps").placeholder(str(facts.steps.get(sampler, "")))
        self._text("eta").placeholder(f"{facts.default_eta(sampler):g}")
        self._text("guidance").placeholder(f"{facts.guidance:g}")
        self.show_command()
        return wanted

    @on(Button.Pressed, "#draw")
    def pressed(self) -> None:
        """Start a job, or cancel the running one."""
        if self.busy:
            self.action_cancel_job()
        else:
            self.action_draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether an action is available."""
        if action == "cancel_job":
            return self.is_mounted and self.busy
        if action == "draw":
            return self.is_mounted and not self._empty and not self.busy
        if action == "copy_command":
            return self.is_mounted and not self._empty
        if action == "show_side" and self._empty and self.job is None:
            return False
        if action == "turn":
            return self.is_mounted and self.result.has_more
        if action == "start_run":
            summary = self.current_summary()
            return bool(self._empty) and summary is not None and summary.state in STARTABLE
        return super().check_action(action, parameters)

    def action_draw(self) -> None:
        """Start the job, or go to the first invalid field."""
        wanted = self._check()
        if wanted is None or self.busy:
            return
        if wanted.problems:
            wrong = next(iter(wanted.problems))
            self.turn_to(side=False, field=wrong)
            return
        try:
            job = SamplingJob.start(self._run.path, wanted.arguments)
        except OSError as error:
            self.focus_app.say(f"sampling cannot be started: {error}", severity="error")
            return
        job.values = self.values
        self.focus_app.jobs[self._run.path] = job
        notify_when_ended(self.focus_app, self._run, job)
        self.turn_to(side=True)
        self._look()

    def action_cancel_job(self) -> None:
        """Cancel the job."""
        if self.job is not None:
            self.job.cancel()
            self.result.say(Text("cancelling …", style="yellow"))

    def action_turn(self, by: int) -> None:
        """Show the next or previous maps."""
        self.result.turn(by)

    def action_back(self) -> None:
        """Return to the form or close the screen; a running job continues."""
        leaving = self.wide or not self._side_shown
        if leaving and self.busy:
            self.focus_app.say(f"sampling {self._run.name} continues; press g on the run to see it")
        super().action_back()

    def _look(self) -> None:
        """Show the progress of the job if it has changed."""
        if self.job is None or (progress := self.job.poll()) is self._last_progress:
            return
        ended_before = self._last_progress is None or self._last_progress.ended
        self._last_progress = progress
        button = self.query_one("#draw", Button)
        button.label = "Sample  ctrl+s" if progress.ended else "Cancel  ctrl+g"
        if progress.ended != ended_before or progress.ended:
            self.refresh_hints()
        self.result.show_progress(progress)
        if progress.finished is not None and progress.finished.path != self._shown:
            self._shown = progress.finished.path
            self.run_worker(lambda: self._read(progress), thread=True, exit_on_error=False, name="read")

    def _read(self, progress: JobProgress[SampleResult]) -> None:
        """Read the sampled maps; runs in a thread."""
        assert progress.finished is not None  # noqa: S101  (checked by the caller)
        try:
            drawn = read_maps(progress.finished.path)
        except (OSError, ValueError, KeyError) as error:
            words = f"{progress.finished.path} cannot be read: {error}"
            self.app.call_from_thread(self.focus_app.say, words, severity="error")
            return
        self.app.call_from_thread(self._show, drawn, progress)

    def _show(self, drawn: DrawnMaps, progress: JobProgress[SampleResult]) -> None:
        if progress.finished is None or not self.is_mounted:
            return
        view = self.focus_app.view_of(self._run)
        comparable = self.job is not None and not self.job.values.get("params")
        real = view.spectra[-1] if view is not None and view.spectra and comparable else None
        path, figure = progress.finished.path, progress.finished.figure
        files = f"{short(path)}\nfigure: {figure.name}"
        self.result.show(drawn, progress, real, files)
        self.turn_to(side=True)


def no_checkpoint_words(run: RunFolder, summary: RunSummary | None) -> str:
    """Return a message that the run has no checkpoint yet, and what to do."""
    state = None if summary is None else summary.state
    first = f"{visible(run.name)} has no checkpoint yet, so there is nothing to sample from.\n\n"
    if state in STARTABLE:
        starts = "starts" if state == "created" else "restarts"
        return f"{first}  s            {starts} it here\n  focus start {shlex.quote(visible(run.name))}"
    now = "It is being read" if state is None else f"It is {state.replace('_', ' ')}"
    return f"{first}{now}: the first checkpoint is written after epoch 1; the form then opens."


def short(path: Path) -> str:
    """Return `path` relative to the current folder if it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def notify_when_ended(app: Host, run: RunFolder, job: SamplingJob) -> None:
    """Show a message when a job has ended, unless its Sample screen is on top."""

    def look() -> None:
        end = job.poll()
        if not end.ended:
            return
        timer.stop()
        if isinstance(app.screen, SampleScreen) and app.screen.current_run() == run:
            return
        if end.finished is not None:
            app.say(f"sampled {run.name}: {end.finished.n_maps} maps; press g on the run to see them")
        elif end.failed is not None:
            app.say(f"sampling {run.name} failed: {end.failed}", severity="error")

    timer = app.set_interval(2 * POLL_SECONDS, look)

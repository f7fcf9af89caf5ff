"""Making an experiment: a template or a copy, the keys that matter, checked by the real parser as they are typed."""

import os
import shlex
import subprocess
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from focus_engine.errors import FocusError
from focus_engine.runs.folder import RunFolder, find_run
from focus_tui.screens.base import BaseScreen
from focus_tui.screens.dialogs import Choose
from focus_tui.widgets.form import Field, Form
from focus_tui.widgets.hints import Hints

if TYPE_CHECKING:
    from focus_tui.app import FocusApp

KEYS = (
    ("data.data_dir", "folder of your maps; empty: universes that FOCUS simulates"),
    ("training.num_epochs", ""),
    ("training.batch_size", ""),
    ("training.lr", "such as 3e-4"),
    ("training.scheduler.name", "plateau, cosine, step or none"),
    ("training.scheduler.warmup_epochs", ""),
    ("training.early_stopping.patience", "0 turns it off"),
    ("training.sample_every", "epochs between samples"),
    ("model.base_channels", ""),
    ("model.channel_mults", "such as [1, 2, 4]"),
    ("diffusion.schedule", "linear, cosine or quadratic"),
    ("diffusion.prediction", "epsilon or v"),
    ("device", "auto, cuda, cuda:1, cpu"),
)
"""Keys of the form; empty ones keep what the template says."""


class NewScreen(BaseScreen):
    """Makes an experiment."""

    TITLE_WORDS = "New"
    HELP = (
        "Empty fields keep what the template or the copied experiment says. Any other key goes into the last\n"
        "line as key=value; key=value. Nothing is written until it is right, and nothing is ever overwritten."
    )
    HINTS = ("make", "help", "back")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "make", "make it", tooltip="make the experiment"),
        Binding("f1", "help", "help"),
    ]

    def __init__(self, source: RunFolder | None = None) -> None:
        super().__init__()
        self._source = source

    def compose(self) -> ComposeResult:
        """Lay out the form."""
        yield Static(Text(" New experiment ", style="bold reverse"), id="head")
        start = "diffusion" if self._source is None else self._source.name
        yield Form(
            [
                Field("name", "name", "", "letters, digits, _ - and ."),
                Field("start", "template or copy of", start, "diffusion, small, or an experiment's name"),
                *(Field(key.replace(".", "__"), key, "", hint) for key, hint in KEYS),
                Field("more", "other keys", "", "training.seed=1; training.ema_decay=0.99"),
            ]
        )
        yield Static(id="problem")
        yield Static(id="command")
        yield Hints()

    def on_mount(self) -> None:
        """Start at the name."""
        super().on_mount()
        self.query_one("#field-name").focus()
        self._check()

    def _settings(self) -> list[str]:
        values = self.query_one(Form).values
        given = [f"{key}={values[key.replace('.', '__')]}" for key, _ in KEYS if values[key.replace(".", "__")]]
        return [*given, *(part.strip() for part in values["more"].split(";") if part.strip())]

    def _start(self) -> tuple[str | None, RunFolder | None]:
        """The template, or the experiment to copy."""
        from focus_engine.templates import TEMPLATES

        start = self.query_one(Form).values["start"]
        if not start or start in TEMPLATES:
            return start or None, None
        return None, find_run(start, self.focus_app.root)

    @on(Form.Changed)
    def _check(self) -> bool:
        """Say what is wrong, and the command line that does the same."""
        from focus_engine.runs.create import plan_experiment  # pydantic: 0.1 s after the first paint

        name, settings = self.query_one(Form).values["name"], self._settings()
        problem, command = self.query_one("#problem", Static), self.query_one("#command", Static)
        try:
            template, source = self._start()
            plan_experiment(self.focus_app.root, name, template=template, source=source, settings=settings)
        except FocusError as error:
            problem.update(Text(str(error), style="bold red" if name else "dim"))
            return False
        origin = ["--from", source.name] if source is not None else ["--template", template] if template else []
        parts = ["focus", "new", name, *origin, *(part for one in settings for part in ("--set", one))]
        problem.update(Text("right; ctrl+s makes it", style="green"))
        command.update(Text(f"$ {shlex.join(parts)}", style="dim"))
        return True

    @on(Form.Submitted)
    def submitted(self) -> None:
        """Make it."""
        self.action_make()

    def action_make(self) -> None:
        """Make the experiment and ask what to do with it."""
        from focus_engine.runs.create import create_experiment

        if not self._check():
            return
        app = self.focus_app
        try:
            template, source = self._start()
            name = self.query_one(Form).values["name"]
            run = create_experiment(app.root, name, template=template, source=source, settings=self._settings())
        except (FocusError, OSError) as error:
            app.say(str(error), severity="error")
            return
        app.feed.refresh()
        self.action_back()
        choices = [("start", "start training now"), ("edit", "edit its config.yaml first"), ("", "leave it for later")]

        def chosen(what: str | None) -> None:
            if what == "edit":
                edit_config(app, run)
            elif what == "start":
                app.start_run(run)
                app.open_run(run)

        app.push_screen(Choose(f"{run.name} is made", choices), chosen)


def edit_config(app: "FocusApp", run: RunFolder) -> None:
    """Open config.yaml of `run` in the user's editor, and check it afterwards."""
    from focus_engine.config_file import load_config

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        with app.suspend():
            subprocess.run([*shlex.split(editor), str(run.config)], check=False)
    except (OSError, ValueError) as error:
        app.say(f"the editor {editor!r} cannot be started: {error}; set EDITOR", severity="error")
        return
    app.refresh()
    try:
        warnings = load_config(run.config).warnings
    except (FocusError, OSError) as error:
        app.say(str(error), severity="error")
        return
    app.say("\n".join(["config.yaml is right", *warnings]))

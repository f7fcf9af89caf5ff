"""The New screen: create an experiment from a template or a copy; the config parser checks it while you type."""

import os
import shlex
import subprocess
from itertools import zip_longest
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Button, Static

from focus_engine.config.methods import other_blocks
from focus_engine.errors import FocusError
from focus_engine.launch.summary import LIVE_STATES
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.host import Host
from focus_tui.dashboard.new_form import (
    CHOICES,
    MORE,
    SECTIONS,
    FormCheck,
    StartingPoint,
    check_form,
    command_of,
    is_own,
    settings_of,
)
from focus_tui.dashboard.screens.dialogs import ChoiceDialog
from focus_tui.dashboard.screens.form import TO_FORM, FormScreen
from focus_tui.dashboard.widgets.form_fields import ChoiceField, Field, FormPane, TextField, label_and_hint
from focus_tui.terminal import visible
from focus_tui.view.columns import RunRow

FIRST_TEMPLATE = "diffusion"
"""Offered until the parser has listed the templates (importing pydantic takes 0.1 s)."""
MAX_SOURCES = 200


class NewScreen(FormScreen):
    """Creates an experiment."""

    TITLE_WORDS = "New"
    HELP = (
        "Empty fields keep the value of the template or of the copied experiment, which they show in grey.\n"
        "Any other key goes into the last line: training.seed=1 training.ema_decay=0.99\n"
        "The parser of config.yaml checks everything while you type; nothing is ever overwritten.\n"
        "‹ › choose with left and right, or enter for the list."
    )
    HINTS = ("make", "show_side", "show_form", "copy_command", "help", "back")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "make", "create", tooltip="create the experiment"),
        Binding("pagedown", "page(1)", "down", tooltip="further down in config.yaml"),
        Binding("pageup", "page(-1)", "up", tooltip="further up in config.yaml"),
        Binding("f2", "show_side", "config.yaml", tooltip="the config.yaml that would be written"),
        TO_FORM,
    ]
    DEFAULT_CSS = """
    NewScreen #form Button { margin: 1 0 0 15; }
    NewScreen #general { color: $error; padding-left: 15; height: auto; display: none; }
    NewScreen #config-file { padding: 0 1; height: 1fr; }
    NewScreen #config-file Static { width: auto; }
    """

    def __init__(self, source: RunFolder | None = None) -> None:
        super().__init__()
        self._source = source
        self._asked = 0
        self._answered = -1
        self._checking = False
        self._checked = FormCheck()
        self._making = False
        self._text = ""

    def form(self) -> ComposeResult:
        """Yield the fields."""
        chosen = f"t:{FIRST_TEMPLATE}" if self._source is None else f"r:{self._source.path}"
        yield ChoiceField("start", "starts from", self._starts(), chosen)
        yield TextField("name", "name", placeholder="experiment_diffusion")
        for heading, rows in SECTIONS:
            yield Static(Text(heading), classes="section")
            for key, label, hint in rows:
                if key in CHOICES:
                    yield ChoiceField(key, label, [("", "…")], hint=hint)
                else:
                    yield TextField(key, label, hint=hint)
        yield Static(Text("any other key"), classes="section", id="any-other")
        yield TextField(MORE, "key=value", placeholder="training.seed=1 training.ema_decay=0.99")
        yield Static(id="general")
        yield Button("Create  ctrl+s", id="make", variant="primary", compact=True)

    def side(self) -> ComposeResult:
        """Yield the config.yaml that would be written."""
        with VerticalScroll(id="config-file"):
            yield Static(id="config")

    def on_mount(self) -> None:
        """Focus the name; the template is read in a thread (importing pydantic takes 0.1 s)."""
        super().on_mount()
        head = Text(no_wrap=True, overflow="ellipsis").append(" New experiment ", style="bold reverse")
        head.append(f"  under {visible(str(self.focus_app.root))}", style="dim")
        self.query_one("#head", Static).update(head)
        self.query_one("#field-name", TextField).enter()
        self._check()

    def _starts(self) -> list[tuple[str, str]]:
        paths = [row.summary.path for row in self.focus_app.rows if not row.labels.archived][:MAX_SOURCES]
        if self._source is not None and str(self._source.path) not in paths:
            paths.insert(0, str(self._source.path))
        templates = self._checked.templates or (FIRST_TEMPLATE,)
        return [
            *((f"t:{name}", f"template {name}") for name in templates),
            *((f"r:{path}", f"copy of {Path(path).name}") for path in paths),
        ]

    def show_rows(self, rows: tuple[RunRow, ...]) -> None:  # noqa: ARG002  (read from the app)
        """Update the runs that can be copied."""
        self.query_one("#field-start", ChoiceField).set_choices(self._starts())

    def _start(self) -> StartingPoint:
        """Return the chosen template, or the experiment to copy."""
        kind, _, place = self.query_one("#field-start", ChoiceField).value.partition(":")
        return StartingPoint(template=place) if kind == "t" else StartingPoint(source=RunFolder(Path(place)))

    def command(self) -> str:
        """Return the command of the form."""
        root, values = self.focus_app.root, self.values
        usual = root == self.shell_root
        return command_of(root, values["name"], self._start(), settings_of(values), usual=usual)

    @on(Field.Changed)
    def _field_changed(self, event: Field.Changed) -> None:
        event.stop()
        self._check()

    def _check(self) -> None:
        """Check the form in a thread, after the check that runs: keys that come faster than checks share one."""
        self.show_command()
        self._asked += 1
        if not self._checking:
            self._begin_check()

    def _begin_check(self) -> None:
        self._checking = True
        number, values, root, start = self._asked, self.values, self.focus_app.root, self._start()

        def check() -> None:
            checked = None
            try:
                checked = check_form(root, values["name"], start, values)
            finally:
                self.app.call_from_thread(self._end_check, number, checked)

        self.run_worker(check, thread=True, exit_on_error=False, group="check", name="check")

    def _end_check(self, number: int, checked: FormCheck | None) -> None:
        """Show what was checked; check again if the form has changed meanwhile."""
        self._checking = False
        if not self.query("#field-start"):  # the screen is closing
            return
        if number != self._asked:
            self._begin_check()
        elif checked is not None:
            self._show_checked(number, checked)

    def _show_checked(self, number: int, checked: FormCheck) -> None:
        """Show the problems below the fields, and the config."""
        self._answered, self._checked = number, checked
        for key, field in self.fields.items():
            wrong = checked.problems.get(key, "")
            field.show_problem(wrong or checked.warnings.get(key, ""), warning=not wrong)
            if isinstance(field, TextField) and key in checked.values:
                field.placeholder(checked.values[key] or "none")
            elif isinstance(field, ChoiceField) and key in checked.words:
                now = checked.values.get(key, "…")
                field.set_choices([("", f"{now}"), *((word, word) for word in checked.words[key] if word != now)])
            field.display = key.split(".")[0] not in other_blocks(checked.method)
            if is_own(key):
                field.display = key in checked.own_keys
        if not set(checked.own_keys) <= {field.key for field in self.query(Field)}:
            self.run_worker(self._add_fields(checked.own_keys, checked), name="own keys")
        self.query_one("#field-start", ChoiceField).set_choices(self._starts())
        general = self.query_one("#general", Static)
        general.update(Text(checked.problems.get("", "")))
        general.display = "" in checked.problems
        if checked.text and checked.text != self._text:
            self.query_one("#config", Static).update(config_text(checked.text, checked.base))
            if self._text:
                self.query_one("#config-file").scroll_to(
                    y=max(0, first_change(self._text, checked.text) - 4), animate=False
                )
            self._text = checked.text
        if self._making:
            self._make()

    async def _add_fields(self, keys: tuple[str, ...], checked: FormCheck) -> None:
        """Add fields for the keys that only the chosen network has, and show their check."""
        new = [
            ChoiceField(key, label, [("", "…")], hint=hint)
            if key in checked.words
            else TextField(key, label, hint=hint)
            for key in keys
            if key not in self.fields
            for label, hint in [label_and_hint(key.rpartition(".")[2])]
        ]
        await self.query_one(FormPane).mount_all(new, before="#any-other")
        if self._answered == self._asked:  # else the next check shows them
            self._show_checked(self._answered, self._checked)

    def action_make(self) -> None:
        """Create the experiment once the latest check has finished."""
        self._making = True
        if self._answered == self._asked:
            self._make()

    def action_page(self, by: int) -> None:
        """Scroll the config by a page."""
        pane = self.query_one("#config-file", VerticalScroll)
        pane.scroll_relative(y=by * max(1, pane.size.height - 2), animate=False)

    @on(Button.Pressed, "#make")
    def pressed(self) -> None:
        """Create the experiment."""
        self.action_make()

    def _make(self) -> None:
        self._making = False
        problems, values = dict(self._checked.problems), self.values
        if not values["name"]:
            problems = {"name": "name the experiment: letters, digits, _ - and .", **problems}
        if problems:
            self._show_first_problem(problems)
            return
        start, root = self._start(), self.focus_app.root
        self.run_worker(lambda: self._create(values, start), thread=True, exit_on_error=False, name="make")
        self.focus_app.say(f"creating {values['name']} under {root} …")

    def _show_first_problem(self, problems: dict[str, str]) -> None:
        """Focus the first invalid field and show its problem."""
        key = next((key for key in self.fields if key in problems), "")
        self.turn_to(side=False, field=key)
        if not key:
            self.focus_app.say(next(iter(problems.values())), severity="error")
            return
        self.fields[key].show_problem(problems[key])

    def _create(self, values: dict[str, str], start: StartingPoint) -> None:
        """Write the experiment; runs in a thread."""
        from focus_engine.runs.create import create_experiment

        app = self.focus_app
        try:
            run = create_experiment(
                app.root, values["name"], template=start.template, source=start.source, settings=settings_of(values)
            )
        except (FocusError, OSError) as error:
            app.call_from_thread(app.say, str(error), severity="error")
            return
        app.call_from_thread(self._made, run)

    def _made(self, run: RunFolder) -> None:
        """Close the screen, and ask what to do with the experiment."""
        app = self.focus_app
        app.feed.refresh()
        if self.is_current:
            self.app.pop_screen()
        app.push_screen(
            ChoiceDialog(f"{run.name} is created. What next?", NEXT), lambda what: follow_up(app, run, what or "")
        )


NEXT = (
    ("start", "start training now, and watch it"),
    ("edit", "edit its config.yaml in your editor"),
    ("watch", "look at it"),
    ("", "nothing yet: s starts it from the list"),
)
"""Choices offered once an experiment has been created."""


def follow_up(app: Host, run: RunFolder, what: str) -> None:
    """Carry out a choice of `NEXT`."""
    if what == "edit":
        edit_config(app, run)
    elif what in {"start", "watch"}:
        app.open_run(run)
        if what == "start":
            app.start_run(run)


def first_change(before: str, after: str) -> int:
    """Return the index, from 0, of the first line that differs."""
    pairs = zip_longest(before.splitlines(), after.splitlines())
    return next((number for number, (old, new) in enumerate(pairs) if old != new), 0)


def config_text(text: str, base: str) -> Text:
    """Return a config with lines that differ from `base` highlighted and comments dimmed."""
    before, shown = set(base.splitlines()), Text(no_wrap=True)
    for line in text.splitlines():
        body, sign, comment = line.partition("#")
        style = "bold reverse" if line not in before else ""
        shown.append(visible(body), style=style).append(visible(sign + comment), style="dim").append("\n")
    return shown


def edit_config(app: Host, run: RunFolder) -> None:
    """Open the config.yaml of `run` in the editor of the user, then check it."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        with app.suspend():
            subprocess.run([*shlex.split(editor), str(run.config)], check=False)
    except SuspendNotSupported:
        app.say(f"an editor cannot be opened here; edit {run.config} in another terminal", severity="error")
        return
    except (OSError, ValueError, IndexError) as error:
        app.say(f"the editor {editor!r} cannot be started: {error}; set VISUAL or EDITOR", severity="error")
        return
    app.refresh(layout=True)
    summary = app.summary_of(run)
    live = summary is not None and summary.state in LIVE_STATES
    app.run_worker(lambda: _check_config(app, run, live), thread=True, exit_on_error=False)


def _check_config(app: Host, run: RunFolder, live: bool) -> None:
    """Check the config and show the result; runs in a thread."""
    from focus_engine.config.load import load_config

    try:
        warnings = load_config(run.config).warnings
    except (FocusError, OSError) as error:
        app.call_from_thread(app.say, f"{error}\npress e to edit it again", severity="error")
        return
    later = [f"{run.name} is running: the changes apply from its next start"] if live else []
    severity = "warning" if warnings else "information"
    app.call_from_thread(
        app.say, "\n".join([f"{run.config.name} of {run.name} is valid", *later, *warnings]), severity=severity
    )

"""A screen with a form and a side pane: next to each other on a wide screen, else one at a time."""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from focus_engine.runs.folder import experiments_root
from focus_tui.dashboard.screens.base import BaseScreen
from focus_tui.dashboard.widgets.form_fields import ChoiceField, Field, FormPane, TextField
from focus_tui.dashboard.widgets.hints import Hints
from focus_tui.terminal import visible

WIDE = 110
TO_FORM = Binding("f2", "show_form", "form", tooltip="back to the form")
"""Second binding of f2, listed in each screen next to `show_side`: Textual keeps one class's bindings of a key."""
RUN_ACTIONS = frozenset(
    {"start_run", "stop_run", "resume_run", "sample_run", "new_run", "edit_config"}
    | {"edit_tags", "edit_note", "archive_run", "undo", "export"}
)
"""Actions that a form disables, because their keys are letters that the user types."""


class FormScreen(BaseScreen):
    """A form, a side pane with its result, and below both the equivalent command."""

    AUTO_FOCUS = ""  # each screen focuses its first field itself, if it has one
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+y", "copy_command", "copy command", tooltip="copy the command"),
        Binding("f1", "help", "help"),
    ]
    DEFAULT_CSS = """
    FormScreen #head { height: 1; background: $panel; }
    FormScreen #body { height: 1fr; }
    FormScreen #form { width: 1fr; padding: 1 1 0 1; scrollbar-size-vertical: 1; }
    FormScreen #side { width: 1fr; }
    FormScreen.wide #form { width: 52; }
    FormScreen.wide #side { border-left: solid $panel; }
    FormScreen .section { color: $accent; text-style: bold; margin-top: 1; }
    FormScreen #command { height: auto; max-height: 4; padding: 0 1; background: $surface; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._side_shown = False
        self._shell_root: Path | None = None

    def compose(self) -> ComposeResult:
        """Lay out head, form, side pane and command."""
        yield Static(id="head")
        with Horizontal(id="body"):
            with FormPane(id="form"):
                yield from self.form()
            with Vertical(id="side"):
                yield from self.side()
        yield Static(id="command")
        yield Hints()

    def form(self) -> ComposeResult:
        """Yield the widgets of the form."""
        raise NotImplementedError

    def side(self) -> ComposeResult:
        """Yield the widgets of the side pane."""
        raise NotImplementedError

    def command(self) -> str:
        """Return the equivalent command."""
        raise NotImplementedError

    @property
    def fields(self) -> dict[str, Field]:
        """All fields by key, without those that are not yet mounted and have no value."""
        return {field.key: field for field in self.query(Field) if field.is_mounted}

    @property
    def values(self) -> dict[str, str]:
        """Values of all fields by key."""
        return {key: field.value for key, field in self.fields.items()}

    def fill(self, values: Iterable[tuple[str, str]]) -> None:
        """Set the values of fields; unknown keys are ignored."""
        fields = self.fields
        for key, value in values:
            if isinstance(field := fields.get(key), TextField | ChoiceField):
                field.value = value

    @property
    def wide(self) -> bool:
        """Whether form and side pane are both shown."""
        return self.size.width >= WIDE

    @property
    def shell_root(self) -> Path:
        """The experiments folder that a shell opened here would use."""
        if self._shell_root is None:
            self._shell_root = experiments_root()
        return self._shell_root

    def on_mount(self) -> None:
        """Lay out for the initial size."""
        super().on_mount()
        self._lay_out()

    def on_resize(self) -> None:
        """Lay out for the new size."""
        super().on_resize()
        self._lay_out()

    def turn_to(self, *, side: bool, field: str = "") -> None:
        """Show the form with the focus in `field`, or the side pane; on a narrow screen the focus follows."""
        self._side_shown = side
        self._lay_out()
        if not side and (field or not self.wide):
            self.call_after_refresh(self.fields[field].enter if field else self.focus_first)
        elif side and not self.wide:
            self.set_focus(None)
        self.refresh_hints()

    def focus_first(self) -> None:
        """Focus the first visible field."""
        for field in self.query(Field):
            if field.display:
                field.enter()
                return

    def _lay_out(self) -> None:
        self.set_class(self.wide, "wide")
        self.query_one("#form").display = self.wide or not self._side_shown
        self.query_one("#side").display = self.wide or self._side_shown

    def show_command(self) -> None:
        """Show the equivalent command."""
        text = Text("$ ", style="dim")
        self.query_one("#command", Static).update(text.append(visible(self.command()), style="bold"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether an action is available."""
        if action in RUN_ACTIONS:
            return False
        if action in {"show_form", "show_side"}:
            return self.is_mounted and not self.wide and self._side_shown == (action == "show_form")
        return super().check_action(action, parameters)

    def action_show_form(self) -> None:
        """Show the form, on a narrow screen."""
        self.turn_to(side=False)

    def action_show_side(self) -> None:
        """Show the side pane, on a narrow screen."""
        self.turn_to(side=True)

    def action_copy_command(self) -> None:
        """Copy the command to the clipboard."""
        self.app.copy_to_clipboard(self.command())
        self.focus_app.say("copied, if your terminal lets programs copy (OSC 52; tmux: set-clipboard on)")

    def action_back(self) -> None:
        """Return to the form, or close the screen if the form is shown."""
        if self._side_shown and not self.wide and self.query_one("#form").query(Field):
            self.turn_to(side=False)
            return
        super().action_back()

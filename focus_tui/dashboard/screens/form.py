"""A screen with a form and something beside it: side by side where there is room, else one at a time."""

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
"""Stands beside the binding of f2 to `show_side` in each screen: textual keeps one class's bindings of a key."""
RUN_ACTIONS = frozenset(
    {"start_run", "stop_run", "resume_run", "sample_run", "new_run", "edit_config"}
    | {"edit_tags", "edit_note", "archive_run", "undo", "export"}
)
"""Keys of other screens that a form leaves alone: who types means a letter."""


class FormScreen(BaseScreen):
    """A form, and beside it what comes of it; below both the command line that does the same."""

    AUTO_FOCUS = ""  # the screens know whether there is a field, and which comes first
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+y", "copy_command", "copy command", tooltip="copy the command line"),
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
        self._beside = False
        self._usual_root: Path | None = None

    def compose(self) -> ComposeResult:
        """Lay out head, form, what stands beside it, and the command line."""
        yield Static(id="head")
        with Horizontal(id="body"):
            with FormPane(id="form"):
                yield from self.form()
            with Vertical(id="side"):
                yield from self.side()
        yield Static(id="command")
        yield Hints()

    def form(self) -> ComposeResult:
        """Yield the fields."""
        raise NotImplementedError

    def side(self) -> ComposeResult:
        """Yield what stands beside the form."""
        raise NotImplementedError

    def command(self) -> str:
        """Return the command line that does what the form does."""
        raise NotImplementedError

    @property
    def fields(self) -> dict[str, Field]:
        """Every field by its key; one that is being added has no value yet and is left out."""
        return {field.key: field for field in self.query(Field) if field.is_mounted}

    @property
    def values(self) -> dict[str, str]:
        """What stands in the fields, by key."""
        return {key: field.value for key, field in self.fields.items()}

    def fill(self, values: Iterable[tuple[str, str]]) -> None:
        """Put values into fields; unknown ones are passed over."""
        fields = self.fields
        for key, value in values:
            if isinstance(field := fields.get(key), TextField | ChoiceField):
                field.value = value

    @property
    def wide(self) -> bool:
        """Whether both stand side by side."""
        return self.size.width >= WIDE

    @property
    def usual_root(self) -> Path:
        """The experiments folder that a shell opened here would find."""
        if self._usual_root is None:
            self._usual_root = experiments_root()
        return self._usual_root

    def on_mount(self) -> None:
        """Begin in the first field."""
        super().on_mount()
        self._lay_out()

    def on_resize(self) -> None:
        """Lay out for the new size."""
        super().on_resize()
        self._lay_out()

    def turn_to(self, *, side: bool, field: str = "") -> None:
        """Show the form, its cursor in `field`, or what stands beside it; the cursor goes along where only one fits."""
        self._beside = side
        self._lay_out()
        if not side and (field or not self.wide):
            self.call_after_refresh(self.fields[field].enter if field else self.focus_first)
        elif side and not self.wide:
            self.set_focus(None)
        self.refresh_hints()

    def focus_first(self) -> None:
        """Put the cursor where one begins to type."""
        for field in self.query(Field):
            if field.display:
                field.enter()
                return

    def _lay_out(self) -> None:
        self.set_class(self.wide, "wide")
        self.query_one("#form").display = self.wide or not self._beside
        self.query_one("#side").display = self.wide or self._beside

    def show_command(self) -> None:
        """Show the command line that does the same."""
        text = Text("$ ", style="dim")
        self.query_one("#command", Static).update(text.append(visible(self.command()), style="bold"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what applies."""
        if action in RUN_ACTIONS:
            return False
        if action in {"show_form", "show_side"}:
            return self.is_mounted and not self.wide and self._beside == (action == "show_form")
        return super().check_action(action, parameters)

    def action_show_form(self) -> None:
        """Show the form, where one fits only."""
        self.turn_to(side=False)

    def action_show_side(self) -> None:
        """Show what stands beside the form, where one fits only."""
        self.turn_to(side=True)

    def action_copy_command(self) -> None:
        """Copy the command line."""
        self.app.copy_to_clipboard(self.command())
        self.focus_app.say("copied, if your terminal lets programs copy (OSC 52; tmux: set-clipboard on)")

    def action_back(self) -> None:
        """Go back to the form; then leave."""
        if self._beside and not self.wide and self.query_one("#form").query(Field):
            self.turn_to(side=False)
            return
        super().action_back()

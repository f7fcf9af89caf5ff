"""Fields of a form: a labelled text input or choice, with its problem below.

A field does not check its value; the screen does, and calls `show_problem`.
"""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input

from focus_tui.dashboard.screens.dialogs import ChoiceDialog
from focus_tui.terminal import cells, visible

Choices = Sequence[tuple[str, str]]
"""Value and label of each choice."""
LABEL, HINT = 15, 18
"""Cells of a label and of a hint."""


def label_and_hint(name: str) -> tuple[str, str]:
    """Return the label of a key, by its last words where all leave no gap, and then its name as a hint."""
    words = name.split("_")
    while len(words) > 1 and len(" ".join(words)) >= LABEL:
        del words[0]
    label = " ".join(words)
    return label, "" if label == name.replace("_", " ") else name


class Field(Vertical):
    """A labelled editor with a hint beside it and a problem below it.

    The field writes label, hint and problem itself around the editor, its only child: a form has 25 fields, and each
    key lays out and visits all its widgets.
    """

    DEFAULT_CSS = """
    Field { height: auto; color: $text-muted; text-wrap: nowrap; text-overflow: clip; }
    Field .editor { margin-left: 15; }
    """

    class Changed(Message):
        """The value of a field changed."""

        def __init__(self, field: "Field") -> None:
            super().__init__()
            self.field = field

    def __init__(self, key: str, label: str, hint: str = "") -> None:
        super().__init__(id=field_id(key))
        self.key, self._label, self._hint = key, label, hint
        self._problem, self._minor = "", False

    def compose(self) -> ComposeResult:
        """Yield the editor."""
        yield self.editor()

    def editor(self) -> Widget:
        """Return the widget that takes the keys."""
        raise NotImplementedError

    def editor_width(self, width: int) -> int:
        """Return the cells of the editor in a field of `width` cells."""
        raise NotImplementedError

    def render(self) -> Content:
        """Return label and hint with a gap for the editor between them, and the lines of the problem below."""
        width = self.content_size.width
        gap = " " * self.editor_width(width)
        label = Content.styled(self._label, "bold $primary" if self.has_class("here") else "")
        (label, *_) = label.wrap(LABEL)  # whole words, as there is one line
        line = Content.assemble(label.truncate(LABEL, pad=True), gap, " ", self._hint[: HINT - 1])
        return Content("\n").join([line, *self._problem_lines(width)])

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002  (textual's)
        """Return a line, and those of the problem."""
        return 1 + len(self._problem_lines(width))

    def _problem_lines(self, width: int) -> list[Content]:
        if not self._problem:
            return []
        lines = Content.styled(self._problem, "$warning" if self._minor else "$error").wrap(max(1, width - LABEL))
        return [Content.assemble(" " * LABEL, line) for line in lines]

    @property
    def value(self) -> str:
        """The value, without surrounding spaces."""
        raise NotImplementedError

    @property
    def problem(self) -> str:
        """The message below the field."""
        return self._problem

    def show_problem(self, words: str, *, warning: bool = False) -> None:
        """Show a problem, or a warning, below the field; an empty message removes the line."""
        if (words, warning) == (self._problem, self._minor):
            return  # after each key all fields are told, and each change is another layout of the screen
        self._problem, self._minor = words, warning
        self.refresh(layout=True)

    def hint(self, words: str) -> None:
        """Change the hint."""
        if words != self._hint:
            self._hint = words
            self.refresh()

    def on_descendant_focus(self) -> None:
        """Highlight the label."""
        self.add_class("here")
        self.refresh()

    def on_descendant_blur(self) -> None:
        """Remove the highlight of the label."""
        self.remove_class("here")
        self.refresh()

    def enter(self) -> None:
        """Focus the editor."""
        self.query(".editor").first().focus()


class TextField(Field):
    """A field with a text input."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next_field", "next field", tooltip="the field below", priority=True, show=False)
    ]
    DEFAULT_CSS = """
    TextField .editor { width: 1fr; min-width: 14; max-width: 40; margin: 0 18 0 15; background: $surface; }
    TextField .editor:focus { background: $panel-lighten-1; }
    """

    def __init__(self, key: str, label: str, value: str = "", *, placeholder: str = "", hint: str = "") -> None:
        super().__init__(key, label, hint)
        self._start, self._placeholder = value, placeholder

    def editor(self) -> Widget:
        """Return the text input, which takes letters and leaves other keys to the screen."""
        return Input(self._start, placeholder=self._placeholder, compact=True, classes="editor", select_on_focus=False)

    def editor_width(self, width: int) -> int:
        """Return the cells between label and hint, as in the styles."""
        return min(max(14, width - LABEL - HINT), 40)

    @property
    def input(self) -> Input:
        """The text input."""
        return self.query_one(Input)

    @property
    def value(self) -> str:
        """The typed text."""
        return self.input.value.strip()

    @value.setter
    def value(self, text: str) -> None:
        self.input.value = text

    def placeholder(self, words: str) -> None:
        """Show the value that an empty field stands for."""
        self.input.placeholder = words

    @on(Input.Changed)
    def changed(self, event: Input.Changed) -> None:
        """Report the changed value."""
        event.stop()
        self.post_message(self.Changed(self))

    def action_next_field(self) -> None:
        """Focus the next field."""
        self.screen.focus_next()


class Picker(Widget, can_focus=True):
    """A choice: left and right step, a letter jumps to the next match, enter opens the list."""

    DEFAULT_CSS = """
    Picker { height: 1; width: auto; color: $foreground; }
    Picker:focus { background: $panel-lighten-1; color: $text; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "previous", show=False),
        Binding("right,space", "step(1)", "next", show=False),
        Binding("enter", "choose", "list", show=False),
    ]
    at: reactive[int] = reactive(0, layout=True)

    class Picked(Message):
        """Another choice was made."""

    def __init__(self, title: str, choices: Choices, value: str) -> None:
        super().__init__(classes="editor")
        self._title, self.choices = title, tuple(choices)
        self.set_reactive(Picker.at, max(0, [key for key, _ in self.choices].index(value) if value else 0))

    def render(self) -> Text:
        """Return the current choice between two arrows."""
        words = visible(self.choices[self.at][1]) if self.choices else ""
        text = Text(no_wrap=True, overflow="ellipsis")
        return text.append("‹ ", style="dim").append(words).append(" ›", style="dim")

    def get_content_width(self, container: object, viewport: object) -> int:  # noqa: ARG002  (textual's)
        """Return the width of the current choice with its arrows."""
        return self.cells

    @property
    def cells(self) -> int:
        """The width of the current choice with its arrows."""
        return cells(visible(self.choices[self.at][1])) + 4 if self.choices else 4

    def watch_at(self) -> None:
        """Let the field write its hint beside the current choice."""
        if self.parent is not None:
            self.parent.refresh()

    def set_choices(self, choices: Choices) -> None:
        """Replace the choices; the value is kept if it is still among them."""
        if self.choices == tuple(choices):
            return
        value = self.value
        self.choices = tuple(choices)
        keys = [key for key, _ in self.choices]
        self.at = keys.index(value) if value in keys else 0
        self.watch_at()
        self.refresh(layout=True)

    @property
    def value(self) -> str:
        """The chosen value."""
        return self.choices[self.at][0] if self.choices else ""

    def choose_value(self, value: str) -> None:
        """Choose a value; an unknown one is ignored."""
        keys = [key for key, _ in self.choices]
        if value in keys and keys.index(value) != self.at:
            self.at = keys.index(value)
            self.post_message(self.Picked())

    def action_step(self, by: int) -> None:
        """Choose the next or previous choice."""
        if self.choices:
            self.choose_value(self.choices[(self.at + by) % len(self.choices)][0])

    def action_choose(self) -> None:
        """Open the list of choices."""

        def chosen(value: str | None) -> None:
            if value is not None:
                self.choose_value(value)

        self.app.push_screen(
            ChoiceDialog(self._title, [(key, visible(words)) for key, words in self.choices], self.value), chosen
        )

    def on_click(self, event: events.Click) -> None:
        """Step forward, or back on the left arrow."""
        self.action_step(-1 if event.x < 2 else 1)

    async def _on_key(self, event: events.Key) -> None:
        """Jump to the next choice that begins with the letter; letters never reach the keys of the screen."""
        if event.character is None or not event.character.isalnum():
            return
        event.stop()
        event.prevent_default()
        later = (*self.choices[self.at + 1 :], *self.choices[: self.at])
        self.choose_value(
            next((key for key, words in later if words.lower().startswith(event.character.lower())), self.value)
        )


class ChoiceField(Field):
    """A field with a fixed set of choices."""

    def __init__(self, key: str, label: str, choices: Choices, value: str = "", *, hint: str = "") -> None:
        super().__init__(key, label, hint)
        self._choices, self._start = choices, value

    def editor(self) -> Widget:
        """Return the picker."""
        return Picker(self._label, self._choices, self._start)

    def editor_width(self, width: int) -> int:  # noqa: ARG002  (the field's)
        """Return the cells of the current choice."""
        return self.picker.cells

    @property
    def picker(self) -> Picker:
        """The picker."""
        return self.query_one(Picker)

    @property
    def value(self) -> str:
        """The chosen value."""
        return self.picker.value

    @value.setter
    def value(self, value: str) -> None:
        self.picker.choose_value(value)

    def set_choices(self, choices: Choices) -> None:
        """Replace the choices."""
        self.picker.set_choices(choices)

    @on(Picker.Picked)
    def picked(self, event: Picker.Picked) -> None:
        """Report the changed value."""
        event.stop()
        self.post_message(self.Changed(self))


class FormPane(VerticalScroll, can_focus=False, inherit_bindings=False):
    """A column of fields; up, down and enter move between them, page keys are left to the side pane."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,tab", "next_field", "next field", tooltip="the field below", priority=True),
        Binding("up,shift+tab", "field_before", "field above", tooltip="the field above", priority=True),
    ]
    # With priority, else a key that arrives in one chunk with the next letter (a slow line) is handled after it.

    def action_next_field(self) -> None:
        """Focus the field below."""
        self.screen.focus_next()

    def action_field_before(self) -> None:
        """Focus the field above."""
        self.screen.focus_previous()


def field_id(key: str) -> str:
    """Return the id of a field's widget."""
    return "field-" + key.replace(".", "-")

"""Fields of a form: a labelled line to type in or to choose from, with what is wrong with it below.

A field knows nothing of what it means; the screen says what is wrong by `complain`.
"""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, Static

from focus_tui.dashboard.screens.dialogs import Choose
from focus_tui.terminal import cells, visible

Choices = Sequence[tuple[str, str]]
"""Value and words of each choice."""


class Field(Vertical):
    """A labelled line; `complain` puts a sentence below it."""

    DEFAULT_CSS = """
    Field { height: auto; }
    Field .line { height: 1; }
    Field .label { width: 15; color: $text-muted; }
    Field.here .label { color: $primary; text-style: bold; }
    Field .hint { width: 18;  color: $text-muted; padding-left: 1; text-wrap: nowrap; }
    Field .problem { height: auto; padding-left: 15; display: none; color: $error; }
    Field .problem.mild { color: $warning; }
    """

    class Changed(Message):
        """The value of a field changed."""

        def __init__(self, field: "Field") -> None:
            super().__init__()
            self.field = field

    def __init__(self, key: str, label: str, hint: str = "") -> None:
        super().__init__(id=field_id(key))
        self.key, self._label, self._hint = key, label, hint
        self._problem = ""

    def compose(self) -> ComposeResult:
        """Lay out label, editor and hint."""
        with Horizontal(classes="line"):
            yield Static(Text(self._label), classes="label")
            yield self.editor()
            yield Static(Text(self._hint), classes="hint")
        yield Static(classes="problem")

    def editor(self) -> Widget:
        """Return what takes the keys."""
        raise NotImplementedError

    @property
    def value(self) -> str:
        """What stands in it, without outer blanks."""
        raise NotImplementedError

    @property
    def problem(self) -> str:
        """What is said below it."""
        return self._problem

    def complain(self, words: str, *, mild: bool = False) -> None:
        """Say what is wrong, or, mildly, what deserves attention; nothing takes the line away."""
        self._problem = words
        line = self.query_one(".problem", Static)
        line.display = bool(words)
        line.set_class(mild, "mild")
        line.update(Text(words))

    def hint(self, words: str) -> None:
        """Show other words beside the line."""
        if words != self._hint:
            self._hint = words
            self.query_one(".hint", Static).update(Text(words))

    def on_descendant_focus(self) -> None:
        """Light the label up."""
        self.add_class("here")

    def on_descendant_blur(self) -> None:
        """Let the label be."""
        self.remove_class("here")

    def enter(self) -> None:
        """Put the cursor into it."""
        self.query(".editor").first().focus()


class TextField(Field):
    """A line to type in."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next_field", "next field", tooltip="the field below", priority=True, show=False)
    ]
    DEFAULT_CSS = """
    TextField .editor { width: 1fr; min-width: 14; max-width: 40; background: $surface; }
    TextField .editor:focus { background: $panel-lighten-1; }
    """

    def __init__(self, key: str, label: str, value: str = "", *, placeholder: str = "", hint: str = "") -> None:
        super().__init__(key, label, hint)
        self._start, self._placeholder = value, placeholder

    def editor(self) -> Widget:
        """Return the line; letters go into it, everything else to the screen."""
        return Input(self._start, placeholder=self._placeholder, compact=True, classes="editor", select_on_focus=False)

    @property
    def input(self) -> Input:
        """The line."""
        return self.query_one(Input)

    @property
    def value(self) -> str:
        """What was typed."""
        return self.input.value.strip()

    @value.setter
    def value(self, text: str) -> None:
        self.input.value = text

    def placeholder(self, words: str) -> None:
        """Show what an empty line means."""
        self.input.placeholder = words

    @on(Input.Changed)
    def changed(self, event: Input.Changed) -> None:
        """Tell of it."""
        event.stop()
        self.post_message(self.Changed(self))

    def action_next_field(self) -> None:
        """Go on."""
        self.screen.focus_next()


class Picker(Widget, can_focus=True):
    """One of several: left and right go through them, a letter jumps, enter shows the list."""

    DEFAULT_CSS = """
    Picker { height: 1; width: auto; }
    Picker:focus { background: $panel-lighten-1; color: $text; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "before", show=False),
        Binding("right,space", "step(1)", "next", show=False),
        Binding("enter", "choose", "list", show=False),
    ]
    at: reactive[int] = reactive(0, layout=True)

    class Picked(Message):
        """Another one was chosen."""

    def __init__(self, title: str, choices: Choices, value: str) -> None:
        super().__init__(classes="editor")
        self._title, self.choices = title, tuple(choices)
        self.set_reactive(Picker.at, max(0, [key for key, _ in self.choices].index(value) if value else 0))

    def render(self) -> Text:
        """Draw the choice between two arrows."""
        words = visible(self.choices[self.at][1]) if self.choices else ""
        text = Text(no_wrap=True, overflow="ellipsis")
        return text.append("‹ ", style="dim").append(words).append(" ›", style="dim")

    def get_content_width(self, container: object, viewport: object) -> int:  # noqa: ARG002  (textual's)
        """Take as much as the words do."""
        return cells(visible(self.choices[self.at][1])) + 4 if self.choices else 4

    def offer(self, choices: Choices) -> None:
        """Offer others; the value stays where it is still one of them."""
        if self.choices == tuple(choices):
            return
        value = self.value
        self.choices = tuple(choices)
        keys = [key for key, _ in self.choices]
        self.at = keys.index(value) if value in keys else 0
        self.refresh(layout=True)

    @property
    def value(self) -> str:
        """The chosen one."""
        return self.choices[self.at][0] if self.choices else ""

    def choose_value(self, value: str) -> None:
        """Choose by value; an unknown one changes nothing."""
        keys = [key for key, _ in self.choices]
        if value in keys and keys.index(value) != self.at:
            self.at = keys.index(value)
            self.post_message(self.Picked())

    def action_step(self, by: int) -> None:
        """Choose the next one, or the one before."""
        if self.choices:
            self.choose_value(self.choices[(self.at + by) % len(self.choices)][0])

    def action_choose(self) -> None:
        """Show all of them."""

        def chosen(value: str | None) -> None:
            if value is not None:
                self.choose_value(value)

        self.app.push_screen(
            Choose(self._title, [(key, visible(words)) for key, words in self.choices], self.value), chosen
        )

    def on_click(self, event: events.Click) -> None:
        """Go on, or back on the left arrow."""
        self.action_step(-1 if event.x < 2 else 1)

    async def _on_key(self, event: events.Key) -> None:
        """Jump to the next choice that begins with a letter; letters never reach the keys of the screen."""
        if event.character is None or not event.character.isalnum():
            return
        event.stop()
        event.prevent_default()
        later = (*self.choices[self.at + 1 :], *self.choices[: self.at])
        self.choose_value(
            next((key for key, words in later if words.lower().startswith(event.character.lower())), self.value)
        )


class ChoiceField(Field):
    """A line to choose from."""

    def __init__(self, key: str, label: str, choices: Choices, value: str = "", *, hint: str = "") -> None:
        super().__init__(key, label, hint)
        self._choices, self._start = choices, value

    def editor(self) -> Widget:
        """Return the choice."""
        return Picker(self._label, self._choices, self._start)

    @property
    def picker(self) -> Picker:
        """The choice."""
        return self.query_one(Picker)

    @property
    def value(self) -> str:
        """The chosen value."""
        return self.picker.value

    @value.setter
    def value(self, value: str) -> None:
        self.picker.choose_value(value)

    def offer(self, choices: Choices) -> None:
        """Offer others."""
        self.picker.offer(choices)

    @on(Picker.Picked)
    def picked(self, event: Picker.Picked) -> None:
        """Tell of it."""
        event.stop()
        self.post_message(self.Changed(self))


class FormPane(VerticalScroll, can_focus=False, inherit_bindings=False):
    """Fields below each other; the arrows and enter go through them, pages are those of what stands beside them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,tab", "next_field", "next field", tooltip="the field below", priority=True),
        Binding("up,shift+tab", "field_before", "field above", tooltip="the field above", priority=True),
    ]
    # With priority, because else a key that comes with the next letter in one piece (a slow line) is overtaken by it.

    def action_next_field(self) -> None:
        """Go to the field below."""
        self.screen.focus_next()

    def action_field_before(self) -> None:
        """Go to the field above."""
        self.screen.focus_previous()


def field_id(key: str) -> str:
    """Return the id of a field's widget."""
    return "field-" + key.replace(".", "-")

"""Dialogs: a choice, a line of text, and help; each works by keyboard and mouse."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from focus_tui.dashboard.widgets.hints import key_name


class ChoiceDialog(ModalScreen[str | None]):
    """A dialog that asks for one of several choices; returns its key."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "leave")]

    def __init__(self, title: str, choices: Sequence[tuple[str, str]], chosen: str | None = None) -> None:
        super().__init__()
        self._title, self._choices, self._chosen = title, choices, chosen

    def compose(self) -> ComposeResult:
        """Lay out the title and the choices."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._title), classes="question")
            yield OptionList(*(Option(Text(words), id=f"c{i}") for i, (_, words) in enumerate(self._choices)))

    def on_mount(self) -> None:
        """Highlight the current choice."""
        keys = [key for key, _ in self._choices]
        if self._chosen in keys:
            self.query_one(OptionList).highlighted = keys.index(self._chosen)

    @on(OptionList.OptionSelected)
    def selected(self, event: OptionList.OptionSelected) -> None:
        """Return the choice."""
        self.dismiss(self._choices[event.option_index][0])


class TextDialog(ModalScreen[str | None]):
    """A dialog that asks for a line of text, checked as it is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "leave")]

    def __init__(
        self, title: str, value: str = "", check: Callable[[str], str | None] = lambda _: None, hint: str = ""
    ) -> None:
        super().__init__()
        self._title, self._value, self._check, self._hint = title, value, check, hint

    def compose(self) -> ComposeResult:
        """Lay out the title, the input and its message."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._title), classes="question")
            yield Input(self._value)
            yield Static(Text(self._hint), classes="detail")

    @on(Input.Changed)
    def changed(self, event: Input.Changed) -> None:
        """Show the problem of the text, or the hint."""
        problem = self._check(event.value)
        self.query_one(".detail", Static).update(Text(problem or self._hint, style="bold red" if problem else ""))

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Return the text if it is valid."""
        if self._check(event.value) is None:
            self.dismiss(event.value)


class Help(ModalScreen[None]):
    """A dialog with the help text of a screen and all its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss(None)", "close")]

    def __init__(self, title: str, words: str, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title, self._words, self._keys = title, words, keys

    def compose(self) -> ComposeResult:
        """Lay out the help text and the table of keys."""
        text = Text(self._words.strip() + "\n\n") if self._words else Text()
        for keys, words in self._keys:
            names = " ".join(key_name(key) for key in keys.split(","))
            text.append(f"{names:>12}", style="bold").append(f"  {words}\n")
        with VerticalScroll(classes="dialog help"):
            yield Static(Text(self._title), classes="question")
            yield Static(text)
            yield Static(Text("esc closes · ctrl+p finds every action by name"), classes="detail")

"""A form of labelled lines, checked while it is typed: what is wrong stands below, before anything is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widgets import Input, Static


@dataclass(frozen=True)
class Field:
    """One line of a form.

    Attributes:
        key: its name in the values.
        label: what stands before it.
        value: what it starts with.
        hint: shown in it while it is empty.
    """

    key: str
    label: str
    value: str = ""
    hint: str = ""


class Form(VerticalScroll):
    """Shows fields and tells of every change."""

    DEFAULT_CSS = """
    Form { height: 1fr; padding: 0 1; }
    Form .row { height: 1; margin-bottom: 0; }
    Form .row Static { width: 22; color: $text-muted; }
    Form .row Input { width: 1fr; height: 1; border: none; padding: 0 1; background: $surface; }
    Form .row Input:focus { background: $panel-lighten-1; }
    """

    class Changed(Message):
        """A value was typed."""

    class Submitted(Message):
        """Enter was pressed in a field."""

    def __init__(self, fields: Sequence[Field], **keywords: Any) -> None:  # noqa: ANN401  (Widget's own)
        super().__init__(**keywords)
        self._fields = fields
        self.can_focus = False

    def compose(self) -> ComposeResult:
        """Lay out the fields."""
        for field in self._fields:
            with Horizontal(classes="row"):
                yield Static(Text(field.label))
                yield Input(field.value, placeholder=field.hint, id=f"field-{field.key}", compact=True)

    @property
    def values(self) -> dict[str, str]:
        """What stands in the fields, without outer blanks."""
        return {field.key: self.query_one(f"#field-{field.key}", Input).value.strip() for field in self._fields}

    def set(self, key: str, value: str) -> None:
        """Put a value into a field."""
        self.query_one(f"#field-{key}", Input).value = value

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell of the change."""
        event.stop()
        self.post_message(self.Changed())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Tell of the wish to go on."""
        event.stop()
        self.post_message(self.Submitted())

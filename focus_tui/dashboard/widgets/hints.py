"""The footer of a screen: the available keys, at most eight."""

from rich.text import Text
from textual.screen import Screen
from textual.widgets import Static

from focus_tui.terminal import cells

MAX_HINTS = 8
KEY_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "plus": "+",
    "minus": "-",
    "escape": "esc",
    "left": "←",
    "right": "→",
    "full_stop": ".",
    "comma": ",",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "equals_sign": "=",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}


def key_name(key: str) -> str:
    """Return the displayed name of a key."""
    return KEY_NAMES.get(key, key)


class Hints(Static):
    """A footer that names the keys of available actions."""

    DEFAULT_CSS = "Hints { dock: bottom; height: 1; background: $panel; color: $text; padding: 0 1; }"

    def show(self, screen: Screen[None], actions: tuple[str, ...]) -> None:
        """Show the keys of the first available `actions` of `screen` that fit."""
        words = Text(no_wrap=True, overflow="ellipsis")
        shown = 0
        bindings = screen.active_bindings  # asked once, because it checks every action
        for action in actions:
            found = [
                (key, entry.binding)
                for key, entry in bindings.items()
                if entry.binding.action == action and entry.enabled
            ]
            if not found or shown == MAX_HINTS:
                continue
            key, binding = found[0]
            label = f" {binding.description}"
            if words.cell_len + cells(key_name(key) + label) + 2 > max(20, self.size.width or 78):
                break
            words.append(key_name(key), style="bold").append(label + "  ", style="dim")
            shown += 1
        self.update(words)

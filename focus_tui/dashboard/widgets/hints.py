"""The last line of a screen: the keys that apply now, at most eight."""

from rich.text import Text
from textual.screen import Screen
from textual.widgets import Static

from focus_tui.terminal import cells

MOST = 8
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
    """Return a key as people write it."""
    return KEY_NAMES.get(key, key)


class Hints(Static):
    """Names the keys of `actions`; those that do not apply are left out."""

    DEFAULT_CSS = "Hints { dock: bottom; height: 1; background: $panel; color: $text; padding: 0 1; }"

    def show(self, screen: Screen[None], actions: tuple[str, ...]) -> None:
        """Show the hints of `screen`, the first ones that fit."""
        words = Text(no_wrap=True, overflow="ellipsis")
        shown = 0
        for action in actions:
            found = [
                (key, entry.binding)
                for key, entry in screen.active_bindings.items()
                if entry.binding.action == action and entry.enabled
            ]
            if not found or shown == MOST:
                continue
            key, binding = found[0]
            label = f" {binding.description}"
            if words.cell_len + cells(key_name(key) + label) + 2 > max(20, self.size.width or 78):
                break
            words.append(key_name(key), style="bold").append(label + "  ", style="dim")
            shown += 1
        self.update(words)

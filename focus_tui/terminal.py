"""The terminal: writing to stdout (data) and stderr (messages), and finding its width and colours.

The only module that asks whether a stream is a terminal.
"""

import os
import re
import shutil
import sys
import unicodedata
from typing import Literal, TextIO

ColorDepth = Literal["truecolor", "256", "16"] | None
"""The colours of maps; None means greyscale."""

GREY, RED, GREEN, YELLOW, BLUE = 90, 31, 32, 33, 34
NARROW = r"[ -~\u00ae-\u02ff\u0391-\u0482\u2010-\u2027\u2070-\u209c\u2190-\u22ff\u2500-\u25fc★✓✗]*"
"""Letters of one column each: Latin, Greek, Cyrillic, and the signs and blocks that charts and tables are made of."""


def out(text: str = "") -> None:
    """Write a line of data to stdout."""
    sys.stdout.write(text + "\n")


def say(text: str) -> None:
    """Write a message to stderr."""
    sys.stdout.flush()  # keeps the order where both streams go to one place
    sys.stderr.write(text + "\n")


def is_terminal() -> bool:
    """Whether both stdin and stdout are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def colours(stream: TextIO | None = None) -> bool:
    """Whether `stream` [stdout] is a terminal that wants colour."""
    stream = stream or sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: int | None) -> str:
    """Return `text` in an ANSI colour, or unchanged."""
    return text if colour is None else f"\x1b[{colour}m{text}\x1b[0m"


def width() -> int | None:
    """Return the columns of the terminal that shows stdout; None where there is none, so that nothing is cut."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return None
    return max(20, shutil.get_terminal_size().columns)


def visible(text: str) -> str:
    """Return `text` with control characters escaped, except newlines and tabs, so that the terminal ignores them."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in "\n\t" or not _is_control(c) else repr(c)[1:-1] for c in text)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} and character != "\u200d"


def cells(text: str) -> int:
    """Return the columns that `text` takes, as rich (and so textual) counts them: two per Korean letter."""
    if text.isascii() or re.fullmatch(NARROW, text):
        return len(text)
    from rich.cells import cell_len  # 12 ms, which `focus ls` pays for wide names only

    return cell_len(text)


def cut(text: str, columns: int) -> str:
    """Return `text` cut to `columns`, with … where it was cut."""
    if cells(text) <= columns:
        return text
    while text and cells(text) > columns - 1:
        text = text[:-1]
    return text + "…" if columns > 0 else ""


def fitted(text: str, columns: int) -> str:
    """Return `text` cut to `columns`, or padded with spaces."""
    return padded(cut(text, columns), columns)


def padded(text: str, columns: int) -> str:
    """Return `text` padded with spaces to `columns`; longer text is unchanged."""
    return text + " " * (columns - cells(text))


def color_depth() -> ColorDepth:
    """Return the colours that stdout shows; None where it is no terminal or wants none."""
    return terminal_depth() if colours() else None


def terminal_depth() -> Literal["truecolor", "256", "16"]:
    """Return the colours that the terminal has, by its environment variables."""
    if os.environ.get("COLORTERM") in {"truecolor", "24bit"} or os.environ.get("TEXTUAL_COLOR_SYSTEM") == "truecolor":
        return "truecolor"
    term = os.environ.get("TERM", "")
    few = "16color" in term or term.split("-")[0] in {"linux", "ansi", "cons25", "vt100", "vt220"}
    return "16" if few and "256" not in term else "256"

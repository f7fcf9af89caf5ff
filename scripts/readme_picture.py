"""Make the README's picture: the terminal output of `focus evaluate`, as SVG.

Run: python scripts/readme_picture.py EXPERIMENT [-o docs/images/evaluate.svg]
"""

import argparse
import io
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS = 100


def main() -> None:
    """Run `focus evaluate` in a pseudo-terminal and export its output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images/evaluate.svg"))
    given = parser.parse_args()
    text = shown_by(["evaluate", given.experiment])
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    console.print(Text.from_ansi(text.replace("\r", "")), no_wrap=True, overflow="crop")
    given.output.parent.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(title=f"$ focus evaluate {given.experiment}", theme=MONOKAI)
    given.output.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


def shown_by(arguments: list[str]) -> str:
    """Return the output of `focus` with `arguments` in a terminal of COLUMNS columns."""
    leader, follower = os.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "LINES": "60", "COLORTERM": "truecolor", "TERM": "xterm"}
    command = [sys.executable, "-m", "focus_tui", *arguments]
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(follower)
        chunks = []
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # Linux signals the end of a pseudo-terminal by an error
                break
            if not chunk:
                break
            chunks.append(chunk)
    if process.returncode:
        sys.exit(f"focus {' '.join(arguments)} ended with {process.returncode}")
    return b"".join(chunks).decode()


if __name__ == "__main__":
    main()

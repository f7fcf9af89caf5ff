"""Taking things away from the dashboard: curves as CSV, figures in paper style, the screen itself as SVG."""

from pathlib import Path

from focus_engine.errors import FocusError
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.control import Done
from focus_tui.dashboard.host import Host
from focus_tui.dashboard.screens.dialogs import Choose
from focus_tui.view.panes import FIGURE_FORMATS, panes_with_figure


def ask_and_export(app: Host, run: RunFolder) -> None:
    """Ask what to take away of `run`, and in which format; write it under the current folder."""
    choices = [
        ("csv", "CSV of every curve (epochs, steps, P(k))"),
        *((f"figure {pane.name}", f"figure: {figure.words}, in paper style") for pane, figure in panes_with_figure()),
        ("tensorboard", "TensorBoard event file"),
        ("screen", "this screen as SVG"),
    ]

    def chosen(what: str | None) -> None:
        if what is None:
            return
        if what == "screen":
            app.say(f"written: {app.save_screenshot(path=str(Path.cwd()))}")
        elif what.startswith("figure "):
            _ask_format(app, run, what.removeprefix("figure "))
        else:
            flag = ["--csv", "."] if what == "csv" else ["--tensorboard", f"{run.name}_tensorboard"]
            app.in_background(lambda: _export(run, flag))

    app.push_screen(Choose(f"Take away from {run.name}, into {Path.cwd()}", choices), chosen)


def _ask_format(app: Host, run: RunFolder, what: str) -> None:
    def chosen(suffix: str | None) -> None:
        if suffix is not None:
            app.say("drawing …")
            app.in_background(lambda: _export(run, ["--figure", what, "--format", suffix, "-o", "."]))

    app.push_screen(Choose("Format", [(name, name.upper()) for name in FIGURE_FORMATS]), chosen)


def _export(run: RunFolder, arguments: list[str]) -> Done:
    """Run `focus export` as a process of its own, for figures need matplotlib. Raises FocusError with its words."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "focus_tui", "export", str(run.path), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if ended.returncode:
        raise FocusError(ended.stderr.strip().removeprefix("focus: ") or f"focus export failed ({ended.returncode})")
    return Done("written: " + ", ".join(ended.stdout.split("\n")).strip(", "))

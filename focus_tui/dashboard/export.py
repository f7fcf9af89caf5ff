"""Export from the dashboard: curves as CSV, figures in paper style, the screen as SVG."""

from pathlib import Path

from focus_engine.errors import FocusError
from focus_engine.runs.folder import RunFolder
from focus_tui.dashboard.control import ActionResult
from focus_tui.dashboard.host import Host
from focus_tui.dashboard.screens.dialogs import ChoiceDialog
from focus_tui.view.panes import FIGURE_FORMATS, panes_with_figure


def ask_and_export(app: Host, run: RunFolder) -> None:
    """Ask what to export from `run` and in which format; write it to the current folder."""
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

    app.push_screen(ChoiceDialog(f"Export {run.name} to {Path.cwd()}", choices), chosen)


def _ask_format(app: Host, run: RunFolder, what: str) -> None:
    def chosen(suffix: str | None) -> None:
        if suffix is not None:
            app.say("drawing …")
            app.in_background(lambda: _export(run, ["--figure", what, "--format", suffix, "-o", "."]))

    app.push_screen(ChoiceDialog("Format", [(name, name.upper()) for name in FIGURE_FORMATS]), chosen)


def _export(run: RunFolder, arguments: list[str]) -> ActionResult:
    """Run `focus export` in a separate process, because figures need matplotlib. Raises FocusError with its message."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "focus_tui", "export", str(run.path), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if ended.returncode:
        raise FocusError(ended.stderr.strip().removeprefix("focus: ") or f"focus export failed ({ended.returncode})")
    return ActionResult("written: " + ", ".join(ended.stdout.split("\n")).strip(", "))

"""The checks of `focus doctor` in a dialog; they run in a thread, because loading torch takes seconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from focus_engine.runs.folder import RunFolder
from focus_tui.terminal import cells, padded, visible
from focus_tui.view.checks import Finding, examine

LOOKS = {"ok": ("✓", "green"), "absent": ("-", "blue"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


class Doctor(ModalScreen[None]):
    """A dialog with the checks of this machine, each failed one with a remedy."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,D", "dismiss(None)", "close")]

    def __init__(self, root: Path, run: RunFolder | None) -> None:
        super().__init__()
        self._root, self._run = root, run

    def compose(self) -> ComposeResult:
        """Lay out the title and a placeholder for the findings."""
        whose = "this machine" if self._run is None else f"this machine and {visible(self._run.name)}"
        with VerticalScroll(classes="dialog help"):
            yield Static(Text(f"Doctor: {whose}"), classes="question")
            yield Static(Text("checking; torch takes a few seconds …", style="dim"), id="findings")
            yield Static(Text("esc closes · the same in a shell: focus doctor"), classes="detail")

    def on_mount(self) -> None:
        """Start the checks."""
        self.run_worker(self._examine, thread=True, exit_on_error=False, name="doctor")

    def _examine(self) -> None:
        findings = examine(self._root, self._run)
        self.app.call_from_thread(self._show, findings)

    def _show(self, findings: Sequence[Finding]) -> None:
        if self.is_mounted:
            self.query_one("#findings", Static).update(findings_text(findings))


def findings_text(findings: Sequence[Finding]) -> Text:
    """Return the findings, one line each, with the remedy below."""
    label = max((cells(finding.name) for finding in findings), default=0)
    text = Text()
    for finding in findings:
        sign, style = LOOKS[finding.status]
        text.append(f"{sign} ", style=style).append(f"{padded(finding.name, label)}  {visible(finding.found)}\n")
        if finding.remedy:
            text.append(f"  {'':<{label}}  → {visible(finding.remedy)}\n", style="dim")
    return text

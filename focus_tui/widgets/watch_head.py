"""The lines above the pictures of the Watch screen: where the run stands, in words and gauges. Pure."""

from rich.text import Text

from focus_engine.runs.state import LIVE_STATES
from focus_tui.machine import MachineLoad, machine_words
from focus_tui.present import RunView, advice, phase_words, plateau_words
from focus_tui.terminal import cells, fitted, visible
from focus_tui.words import GLYPHS, bar_line, counted, duration, loss, percent, progress_line

COLOURS = {90: "bright_black", 31: "red", 32: "green", 33: "yellow", 34: "blue"}
NEXT = {
    "created": "s starts it",
    "stopped": "r resumes it from its last epoch",
    "lost": "r resumes it from its last checkpoint",
    "failed": "5 shows the log; r resumes it from its last checkpoint",
    "unreachable": "it goes on by itself if its machine comes back",
    "finished": "g samples from it",
    "early_stopped": "g samples from it",
}
"""What to do with a run that does not live."""


def gauge(count: int, limit: int, most: int = 12) -> str:
    """Return a count against its limit as boxes, `■■□□□`; fewer boxes than `limit` where it is large."""
    boxes = min(limit, most)
    full = min(boxes, round(count * boxes / limit)) if limit else 0
    return "■" * full + "□" * (boxes - full)


def head_lines(view: RunView, load: MachineLoad | None, width: int) -> list[Text]:
    """Return the four lines of the head, each at most `width` cells wide."""
    return [line for line in (_first(view, width), _second(view, width), _third(view, load, width)) if line is not None]


def _first(view: RunView, width: int) -> Text:
    s = view.summary
    glyph, colour = GLYPHS[s.state]
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f" {glyph} ", style=f"bold {COLOURS[colour]}").append(visible(s.name), style="bold")
    text.append(f"  {phase_words(s, view.warmup_epochs)}", style=f"bold {COLOURS[colour]}")
    last = view.spectra[-1] if view.spectra else None
    best = "" if s.best_val_loss is None else f"best {loss(s.best_val_loss)} @ {s.best_epoch}"
    between = "" if last is None or last.true_vs_true is None else f" (real {percent(last.true_vs_true)})"
    facts = [
        f"epoch {counted(s.epoch, s.num_epochs)}" if s.epoch is not None else "",
        f"val {loss(s.val_loss)}" if s.val_loss is not None else "",
        best,
        "" if last is None else f"P(k) off {percent(last.median_abs_error)}{between}",
        s.method or "",
    ]
    for fact in filter(None, facts):
        if text.cell_len + 3 + cells(fact) > width:
            break
        text.append("   " + fact)
    return text


def _second(view: RunView, width: int) -> Text:
    text = Text(" ", no_wrap=True, overflow="ellipsis")
    if view.epochs and view.summary.state in LIVE_STATES:
        last = view.epochs[-1]
        if last.plateau_patience:
            text.append("bad epochs ").append(gauge(last.bad_epochs, last.plateau_patience), style="yellow")
            text.append(f" {last.bad_epochs}/{last.plateau_patience}   ")
        if last.early_stop_patience:
            text.append("patience ").append(gauge(last.early_stop_count, last.early_stop_patience), style="red")
            text.append(f" {last.early_stop_count}/{last.early_stop_patience}   ")
        words = plateau_words(view)
        text.append(words if text.cell_len + cells(words) <= width else fitted(words, max(0, width - text.cell_len)))
    elif view.summary.reason:
        text.append(visible(view.summary.reason))
    else:
        text.append(plateau_words(view) if view.epochs else "no epoch yet", style="dim")
    return text


def _third(view: RunView, load: MachineLoad | None, width: int) -> Text:
    """Progress while it lives; else how it ended. At the right what the machine does, or advice."""
    s = view.summary
    device = None if view.started is None else view.started.device
    machine = "" if load is None or s.state not in LIVE_STATES else machine_words(load, device)
    said = advice(view)
    room = width - 2
    if s.state in LIVE_STATES:
        left = "" if s.eta_seconds is None else f"   {duration(s.eta_seconds)} for all"
        event = view.step or view.data
        line = (progress_line(event, max(30, room - cells(left))) if event is not None else None) or _run_bar(
            view, room
        )
        text = Text(f" {line.rstrip()}{left}", no_wrap=True, overflow="ellipsis")
    else:
        words = NEXT.get(s.state, "")
        text = Text(f" {visible(words)}", no_wrap=True, overflow="ellipsis")
    for extra, style in ((f"! {said[0]}" if said else "", "yellow"), (machine, "dim")):
        if extra and text.cell_len + 3 + cells(extra) <= width:
            text.append("   ").append(extra, style=style)
    return text


def _run_bar(view: RunView, room: int) -> str:
    s = view.summary
    if s.epoch is None or not s.num_epochs:
        return "starting"
    return bar_line(s.epoch, s.num_epochs, [f"epoch {s.epoch} of {s.num_epochs} done"], min(room, 60))

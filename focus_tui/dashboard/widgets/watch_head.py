"""The head of the Watch screen: state, metrics, gauges and progress bars of the run.

Pure except `Head`, which shows the lines and redraws only those that changed.
"""

from collections.abc import Sequence

from rich.text import Text
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from focus_engine.launch.summary import LIVE_STATES
from focus_tui.terminal import cells, visible
from focus_tui.view.machine import MachineLoad, machine_words
from focus_tui.view.run_view import RunView, advice, phase_words, plateau_words
from focus_tui.view.words import GLYPHS, counted, duration, loss, percent, rate, with_perfect

COLOURS = {90: "bright_black", 31: "red", 32: "green", 33: "yellow", 34: "blue"}
FACT_GAP = 3
"""Spaces between two facts of a line."""
SHORTEST_BAR, LONGEST_BAR = 5, 30


def head_lines(view: RunView, load: MachineLoad | None, width: int, most: int = 8) -> list[Text]:
    """Return at most `most` lines of at most `width` cells; the least urgent groups are dropped first."""
    live = view.summary.state in LIVE_STATES
    groups = [
        _flowed(_without_orphan(_facts(view), width), width),
        _flowed(_gauges(view) if live and view.summary.state != "stalled" else _outcome(view), width),
        [_progress(view, width)] if live else [],
        _flowed([Text(f"! {words}", style="yellow") for words in _advice(view)], width),
        _flowed([Text(words, style="dim") for words in _machine(view, load)] if live else [], width)[:1],
    ]
    while len(groups) > 1 and sum(map(len, groups)) > most:
        groups.pop()
    return [line for group in groups for line in group]


def _flowed(facts: Sequence[Text], width: int) -> list[Text]:
    """Join facts into as many lines as needed; a fact longer than a line is truncated."""
    lines: list[Text] = []
    for fact in facts:
        room = width - lines[-1].cell_len - FACT_GAP if lines else 0
        if lines and fact.cell_len <= room:
            lines[-1].append(" " * FACT_GAP).append_text(fact)
        else:
            indent = " " if not lines else " " * FACT_GAP
            line = Text(indent, no_wrap=True).append_text(fact)
            line.truncate(width, overflow="ellipsis")
            lines.append(line)
    return lines


def _without_orphan(facts: list[Text], width: int) -> list[Text]:
    """Drop the last fact, the least important, if it would need a line of its own."""
    return facts[:-1] if len(_flowed(facts, width)) > len(_flowed(facts[:-1], width)) > 0 else facts


def _facts(view: RunView) -> list[Text]:
    """Return name, phase, epoch, losses, P(k) error and method."""
    s = view.summary
    glyph, number = GLYPHS[s.state]
    colour = COLOURS[number]
    who = Text().append(f"{glyph} ", f"bold {colour}").append(visible(s.name), "bold")
    who.append(f"  {phase_words(s, view.warmup_epochs)}", f"bold {colour}")
    facts = [who]
    if s.epoch is not None:
        facts.append(_labelled("epoch", counted(s.epoch, s.num_epochs)))
    if s.val_loss is not None:
        facts.append(_labelled("val", loss(s.val_loss)))
    if s.best_val_loss is not None:
        facts.append(_labelled("best", f"{loss(s.best_val_loss)} @ {s.best_epoch}"))
    if view.spectra:
        last = view.spectra[-1]
        facts.append(_labelled("P(k) error", *with_perfect(last.score.value, last.score.error, last.score.null)))
    if s.method:
        facts.append(Text(visible(s.method), style="dim"))
    return facts


def _labelled(label: str, value: str, rest: str = "") -> Text:
    return Text().append(f"{label} ", "dim").append(value, "bold").append(rest, "dim")


def gauge(count: int, limit: int, most: int = 12) -> str:
    """Return a count against its limit as boxes, `■■□□□`, with at most `most` boxes."""
    boxes = min(limit, most)
    full = max(0, min(boxes, round(count * boxes / limit))) if limit else 0
    return "■" * full + "□" * (boxes - full)


def _gauges(view: RunView) -> list[Text]:
    """Return the counters of the plateau rule and early stopping, and what happens at their limits."""
    if not view.epochs:
        return []
    last = view.epochs[-1]
    counts = [("bad epochs", last.bad_epochs, last.plateau_patience)]
    counts.append(("patience", last.early_stop_count, last.early_stop_patience))
    said = []
    for label, count, limit in counts:
        if limit:
            colour = "green" if not count else "red" if count >= 0.7 * limit else "yellow"
            boxes = Text().append(f"{label} ", "dim").append(gauge(count, limit), colour)
            said.append(boxes.append(f" {count}/{limit}", "bold"))
    return [*said, Text(plateau_words(view))]


def _outcome(view: RunView) -> list[Text]:
    """Return why the run is not running, and what to do."""
    s = view.summary
    reason = visible(s.reason or "").replace("\n", " ")
    if s.state == "created":
        return [Text("not started yet: s starts it here, in a shell"), Text(f"focus start {visible(s.name)}", "bold")]
    last = max((one.epoch for one in view.checkpoints if one.kind == "last"), default=None)
    where = "its last checkpoint" if last is None else f"its checkpoint of epoch {last}"
    then = {
        "stopped": f"r resumes it from {where}",
        "lost": f"r resumes it from {where}",
        "failed": f"5 shows the log, r resumes it from {where}",
        "stalled": f"x ends it now, r then resumes it from {where}",
        "unreachable": "it is shown as running again when its machine answers",
        "finished": "g samples from it",
        "early_stopped": "g samples from it",
    }.get(s.state, "")
    colour = "red" if s.state in {"failed", "lost", "stalled", "unreachable"} else ""
    return [Text(words, style) for words, style in ((reason, colour), (then, "dim")) if words]


def _progress(view: RunView, width: int) -> Text:
    """Return the progress bars of epoch and run, each with its time left."""
    s, step = view.summary, view.step
    if view.data is not None:
        done, total = view.data.done, view.data.total
        return _bars([(visible(view.data.what), done / max(1, total), f"{done}/{total}")], [], width)
    if s.epoch is None or not s.num_epochs:
        return Text(" waiting for the worker, which is loading torch and the data", style="dim")
    inside = 0.0 if step is None else step.batch / max(1, step.n_batches)
    eta = None if step is None else step.eta_epoch
    whole = (s.epoch + inside) / s.num_epochs
    bars = [(f"epoch {min(s.epoch + 1, s.num_epochs)}", inside, _left(inside, eta)), ("run", whole, _run_left(view))]
    words = []
    if step is not None:
        speed = "" if step.maps_per_second is None else f"{step.maps_per_second:.0f} maps/s"
        words = [f"loss {loss(step.train_loss)}", f"LR {rate(step.lr)}", speed]
    return _bars(bars, [word for word in words if word], width)


def _left(share: float, seconds: float | None) -> str:
    return f"{100 * share:3.0f} %" + ("" if seconds is None else f" {duration(seconds)} left")


def _run_left(view: RunView) -> str:
    s = view.summary
    inside = 0.0 if view.step is None else view.step.batch / max(1, view.step.n_batches)
    share = ((s.epoch or 0) + inside) / max(1, s.num_epochs or 1)
    return _left(share, s.eta_seconds)


def _bars(bars: Sequence[tuple[str, float, str]], words: Sequence[str], width: int) -> Text:
    """Return labelled bars side by side, followed by the words that fit."""
    fixed = 1 + sum(cells(label) + cells(tail) + 2 for label, _, tail in bars) + FACT_GAP * (len(bars) - 1)
    told = "".join(f"   {word}" for word in words)
    while told and width - fixed - cells(told) < len(bars) * 14:
        words = words[:-1]
        told = "".join(f"   {word}" for word in words)
    room = min(LONGEST_BAR, (width - fixed - cells(told)) // len(bars))
    text = Text(" ", no_wrap=True)
    for number, (label, share, tail) in enumerate(bars):
        text.append(" " * FACT_GAP if number else "").append(f"{label} ", "dim")
        if room >= SHORTEST_BAR:
            text.append_text(_bar(share, room)).append(" ")
        text.append(tail)
    text.append(told, "dim")
    text.truncate(width, overflow="ellipsis")
    return text


def _bar(share: float, room: int) -> Text:
    """Return a bar in eighths of a cell on a dotted track."""
    eighths = round(max(0.0, min(1.0, share)) * room * 8)
    full = "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")
    return Text().append(full, "cyan").append("·" * (room - len(full)), "dim")


def _advice(view: RunView) -> list[str]:
    """Return the advice from the metrics, and the latest warning of the worker."""
    warned = [view.warnings[-1].message] if view.warnings and view.summary.state in LIVE_STATES else []
    return [visible(words).replace("\n", " ") for words in (*advice(view), *warned)]


def _machine(view: RunView, load: MachineLoad | None) -> list[str]:
    """Return the machine load, and the device, data wait and memory of the run."""
    started, last = view.started, view.step or (view.epochs[-1] if view.epochs else None)
    words = [] if load is None else [machine_words(load, None if started is None else started.device)]
    if started is not None and started.device == "cpu":
        words.append(f"trains on the CPU, {counted(started.threads, None)} thread{'s' * (started.threads != 1)}")
    if last is not None and last.data_wait is not None:
        words.append(f"waits {percent(last.data_wait)} for data")
    if view.step is not None and view.step.device_memory:
        words.append(f"{view.step.device_memory / 1e9:.1f} GB allocated")
    return [word for word in words if word]


class Head(Widget):
    """Shows lines and redraws only those that changed."""

    DEFAULT_CSS = "Head { height: 1; }"

    def __init__(self, **keywords: str) -> None:
        super().__init__(**keywords)  # type: ignore[arg-type]
        self.lines: list[Text] = []

    @property
    def text(self) -> str:
        """The shown text, without colours."""
        return "\n".join(line.plain for line in self.lines)

    def show(self, lines: list[Text]) -> None:
        """Show `lines`."""
        before, self.lines = self.lines, lines
        if len(before) != len(lines):
            self.styles.height = len(lines)
            self.refresh()
            return
        changed = [y for y, pair in enumerate(zip(before, lines, strict=True)) if _differ(*pair)]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """Return one line."""
        width = self.size.width
        if y >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        segments = self.lines[y].render(self.app.console)
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)


def _differ(one: Text, other: Text) -> bool:
    return one.plain != other.plain or one.spans != other.spans

"""Formats states, durations, losses and the progress line as text. Pure.

`focus_engine.launch.state` decides the state of a run; this module only words it, alike for the command line and the
dashboard.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from focus_engine.events.table import (
    Calibrated,
    CheckpointSaved,
    DataProgress,
    Event,
    Queued,
    RunEnded,
    RunStarted,
    StepProgress,
    StopRequested,
    StopWithdrawn,
    Warned,
)
from focus_engine.launch.summary import RunSummary
from focus_tui.terminal import BLUE, GREEN, GREY, RED, YELLOW, cells, visible

GLYPHS = {
    "created": ("○", GREY),
    "queued": ("◌", BLUE),
    "starting": ("◐", BLUE),
    "running": ("●", GREEN),
    "stopping": ("◑", YELLOW),
    "stopped": ("■", YELLOW),
    "finished": ("✓", GREEN),
    "early_stopped": ("✓", GREEN),
    "failed": ("✗", RED),
    "stalled": ("▲", RED),
    "lost": ("†", RED),
    "unreachable": ("?", RED),
}
"""Glyph and colour of each state, always shown beside the name of the state."""


def state_words(summary: RunSummary) -> str:
    """Return the state as text: `running`, `warmup`, `queued 2`, `early stopped`."""
    if summary.state == "running" and summary.phase == "warmup":
        return "warmup"
    if summary.queue_place is not None:
        return f"{summary.state} {summary.queue_place}"
    return summary.state.replace("_", " ")


def duration(seconds: float | None) -> str:
    """Return a time span in at most two units: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def age(then: float | None, now: float | None = None) -> str:
    """Return how long ago `then` [Unix seconds] was."""
    return "-" if then is None else duration(max(0.0, (time.time() if now is None else now) - then))


def size(n_bytes: float) -> str:
    """Return a number of bytes with a decimal unit: `2.3 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" or n_bytes >= 100 else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def loss(value: float | None) -> str:
    """Return a loss with four decimals, as in the epoch block."""
    return "-" if value is None else f"{value:.4f}"


def rate(value: float | None) -> str:
    """Return a learning rate with three significant digits."""
    return "-" if value is None else f"{value:.2e}"


def percent(value: float | None) -> str:
    """Return a fraction as a percentage."""
    return "-" if value is None else f"{100 * value:.1f} %"


def measured(value: float | None, error: float | None) -> str:
    """Return a fraction with its standard error as percentages: `12 ± 5 %`, `3.1 ± 1.2 %`."""
    if value is None or error is None:
        return percent(value)
    digits = 1 if error < 0.0195 else 0  # two digits of an error below 2 %
    return f"{100 * value:.{digits}f} ± {100 * error:.{digits}f} %"


def perfect(null: float | None) -> str:
    """Return the score of a perfect generator as a percentage: `6.2 %`, `12 %`."""
    return "-" if null is None else f"{100 * null:.{1 if null < 0.0995 else 0}f} %"


def with_perfect(value: float | None, error: float | None, null: float | None) -> tuple[str, str]:
    """Return a score with its error, and in brackets that of a perfect generator; empty if unknown."""
    return measured(value, error), "" if null is None else f" (perfect {perfect(null)})"


def counted(count: int | None, limit: int | None) -> str:
    """Return `2/10`; `2` without a limit, `-` without a count."""
    if count is None:
        return "-"
    return str(count) if limit is None else f"{count}/{limit}"


def progress_line(event: Event, columns: int = 80) -> str | None:
    """Return the progress of an epoch or of the data as one line of at most `columns`; None for other events."""
    if isinstance(event, StepProgress):
        done, total = event.batch, event.n_batches
        words = [
            f"epoch {event.epoch}",
            f"loss {loss(event.train_loss)}",
            f"LR {rate(event.lr)}",
            "" if event.maps_per_second is None else f"{event.maps_per_second:.0f} maps/s",
            "" if event.eta_epoch is None else f"{duration(event.eta_epoch)} left",
        ]
    elif isinstance(event, DataProgress):
        done, total = event.done, event.total
        words = [visible(event.what), f"{done}/{total}"]
    else:
        return None
    return bar_line(done, total, [word for word in words if word], columns)


def bar_line(done: int, total: int, words: Sequence[str], columns: int = 80) -> str:
    """Return a progress bar followed by `words`; those that do not fit are dropped, the last first."""
    words = list(words)
    share = min(1.0, done / total) if total else 0.0
    while words and cells("  ".join(words)) > columns - 20:
        words.pop()
    text = "  ".join([f"{100 * share:3.0f} %", *words])
    room = min(30, columns - cells(text) - 2)
    if room < 4:
        return text[:columns]
    eighths = round(share * room * 8)
    bar = "█" * (eighths // 8) + ("▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else "")
    return f"{bar:<{room}}  {text}"


def event_note(event: Event) -> str | None:
    """Return the log line of an event other than an epoch; None for an event without one."""
    match event:
        case Queued():
            return _queue_words(event)
        case RunStarted():
            return _start_words(event)
        case Warned():
            return f"warning: {visible(event.message)}"
        case StopRequested():
            return f"stop requested: {'now' if event.when == 'now' else 'after this epoch'}"
        case StopWithdrawn():
            return "stop request withdrawn"
        case RunEnded():
            return f"{event.state.replace('_', ' ')} after epoch {event.epoch}: {visible(event.reason)}"
        case Calibrated():
            return f"calibrated {visible(event.path)}: modes x {event.gain_low:.2f} to {event.gain_high:.2f}"
        case CheckpointSaved() | _:
            return None


def _queue_words(event: Queued) -> str:
    if event.place == 0:
        return f"leaves the queue for {', '.join(map(visible, event.devices))}"
    there = f", after {', '.join(map(visible, event.training))}" if event.training else ""
    return f"queued: place {event.place} for {' or '.join(map(visible, event.devices))}{there}"


def _start_words(event: RunStarted) -> str:
    device = f"{event.ranks} x " * (event.ranks > 1) + visible(event.device_name)
    if event.epoch:
        return f"resumed after epoch {event.epoch} on {device}"
    words = f"started: {event.n_parameters:,} weights, {event.maps[0]:,} training maps, {device}"
    return words if event.init_from is None else f"{words}; {origin_words(event.init_from)}"


def origin_words(origin: Mapping[str, Any]) -> str:
    """Return in words what a run began from (`init_from` of `RunStarted`), and what differs there."""
    name, epoch, differs = (origin.get(key) for key in ("experiment", "epoch", "differs"))
    changes = "; ".join(map(str, differs)) if isinstance(differs, list | tuple) and differs else "nothing"
    return visible(f"weights of {name or origin.get('file')}, epoch {epoch}; differs: {changes}")


def status_lines(summary: RunSummary, now: float | None = None) -> list[str]:
    """Return the lines of `focus status` about a run; unknown values are left out."""
    s = summary
    glyph = GLYPHS[s.state][0]
    rows: list[tuple[str, str | None]] = [
        ("state", f"{glyph} {state_words(s)}"),
        ("reason", None if s.reason is None else visible(s.reason)),
        ("method", s.method),
        ("epoch", _epoch_words(s)),
        ("loss", _loss_words(s)),
        ("LR", None if s.lr is None else rate(s.lr)),
        ("plateau", _gauge(s.bad_epochs, s.plateau_patience, "bad epochs")),
        ("early stop", _gauge(s.early_stop_count, s.early_stop_patience, "patience")),
        ("P(k) error", None if s.pk_error is None else _power_words(s)),
        ("time left", None if s.eta_seconds is None else f"{duration(s.eta_seconds)}, if all epochs run"),
        ("process", None if s.pid is None else f"{s.pid} on {s.host}, started {age(s.started, now)} ago"),
        ("updated", None if s.updated is None else f"{age(s.updated, now)} ago"),
        ("folder", visible(s.path)),
    ]
    return [visible(s.name), *(f"  {label:<11} {text}" for label, text in rows if text is not None)]


def _epoch_words(s: RunSummary) -> str | None:
    if s.epoch is None:
        return None
    return counted(s.epoch, s.num_epochs) + ("" if s.step is None else f", step {s.step:,}")


def _loss_words(s: RunSummary) -> str | None:
    if s.val_loss is None and s.train_loss is None:
        return None
    best = "" if s.best_val_loss is None else f", best {loss(s.best_val_loss)} at epoch {s.best_epoch}"
    return f"train {loss(s.train_loss)}, val {loss(s.val_loss)}{best}"


def _power_words(s: RunSummary) -> str:
    null = "" if s.pk_error_null is None else f"; a perfect generator scores {perfect(s.pk_error_null)}"
    return f"{measured(s.pk_error, s.pk_error_std)} (median, samples during training{null})"


def _gauge(count: int | None, limit: int | None, unit: str) -> str | None:
    return None if count is None or limit is None else f"{count}/{limit} {unit}"

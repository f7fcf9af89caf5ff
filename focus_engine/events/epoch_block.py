"""The epoch block: the text that `train` and `logs` print, and `logs/train.log` holds, after each epoch.

The worker and the command line share this function. Users' scripts parse the text, so that its format must not change.
"""

from typing import Literal

from focus_engine.events.table import EpochFinished

RULE = "=" * 80
LineKind = Literal["rule", "title", "value", "best"]
"""The kind of a line, by which screens colour it."""


def epoch_lines(event: EpochFinished) -> list[tuple[str, LineKind]]:
    """Return the lines of an epoch's block, each with its kind."""
    lines: list[tuple[str, LineKind]] = [
        (RULE, "rule"),
        (f"Epoch {event.epoch}/{event.num_epochs} [{event.phase.upper()}]", "title"),
        (RULE, "rule"),
        (f"  Train Loss: {_loss(event.train_loss)}", "value"),
        (f"  Val Loss:   {_loss(event.val_loss)}", "value"),
        (f"  LR:         {event.lr:.2e}", "value"),
        (f"  Time:       {event.seconds:.1f}s ({event.seconds / 60:.1f}m)", "value"),
        (f"  Plateau:    {_count(event.bad_epochs, event.plateau_patience, 'bad epochs')}", "value"),
        (f"  Early Stop: {_count(event.early_stop_count, event.early_stop_patience, 'patience')}", "value"),
    ]
    if event.is_best:
        lines.append(("  ✓ New best model!", "best"))
    return lines


def epoch_block(event: EpochFinished) -> str:
    """Return the block of `event`, each line ended by a line break; unknown losses are `nan`."""
    return "".join(f"{line}\n" for line, _ in epoch_lines(event))


def _loss(value: float | None) -> str:
    return "nan" if value is None else f"{value:.4f}"


def _count(count: int, limit: int | None, unit: str) -> str:
    return "off" if limit is None else f"{count}/{limit} {unit}"

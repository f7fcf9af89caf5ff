"""The epoch block: the text that `train` and `logs` print, and `logs/train.log` holds, after each epoch.

The worker and the command line share this function. Users' scripts parse the text, so that its format must not change.
"""

from focus_engine.events.table import EpochFinished

RULE = "=" * 80


def epoch_block(event: EpochFinished) -> str:
    """Return the block of `event`, each line ended by a line break; unknown losses are `nan`."""
    lines = [
        RULE,
        f"Epoch {event.epoch}/{event.num_epochs} [{event.phase.upper()}]",
        RULE,
        f"  Train Loss: {_loss(event.train_loss)}",
        f"  Val Loss:   {_loss(event.val_loss)}",
        f"  LR:         {event.lr:.2e}",
        f"  Time:       {event.seconds:.1f}s ({event.seconds / 60:.1f}m)",
        f"  Plateau:    {_count(event.bad_epochs, event.plateau_patience, 'bad epochs')}",
        f"  Early Stop: {_count(event.early_stop_count, event.early_stop_patience, 'patience')}",
    ]
    if event.is_best:
        lines.append("  ✓ New best model!")
    return "\n".join(lines) + "\n"


def _loss(value: float | None) -> str:
    return "nan" if value is None else f"{value:.4f}"


def _count(count: int, limit: int | None, unit: str) -> str:
    return "off" if limit is None else f"{count}/{limit} {unit}"

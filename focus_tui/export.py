"""Taking a run's curves to other tools: tables as CSV, scalars and pictures as a TensorBoard event file.

What is written is what the dashboard shows: epochs that a resume superseded are gone, numbers are those of the log.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from focus_engine.atomic import write_atomically
from focus_engine.errors import InputError
from focus_engine.events import EpochFinished
from focus_tui.present import RunView

Cell = float | int | str | bool | None


@dataclass(frozen=True)
class Table:
    """A table to write.

    Attributes:
        name: of its file, after the run's.
        header: names of the columns, as in the event table.
        rows: a value a column; None for what is not known.
    """

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def tables(view: RunView) -> list[Table]:
    """Return epochs, P(k) in long form, and steps of a run; those without rows are left out."""
    return [table for table in (epoch_table(view), power_table(view), step_table(view)) if table.rows]


def epoch_table(view: RunView) -> Table:
    """Return every number of every epoch that counts."""
    names = tuple(one.name for one in fields(EpochFinished))
    return Table("epochs", names, tuple(tuple(getattr(event, name) for name in names) for event in view.epochs))


def power_table(view: RunView) -> Table:
    """Return P(k) of the samples: a row a bin of k [h/Mpc]; powers in (Mpc/h)^2."""
    header = ("epoch", "k", "real_mean", "real_std", "generated_mean", "ratio")
    rows = tuple(
        (event.epoch, *values)
        for event in view.spectra
        for values in zip(event.k, event.real_mean, event.real_std, event.generated_mean, event.ratio, strict=True)
    )
    return Table("power", header, rows)


def step_table(view: RunView) -> Table:
    """Return what was said inside epochs, as far as it is kept (see `present.MOST_STEPS`)."""
    steps = view.steps
    header = ("epoch", "train_loss", "lr", "grad_norm", "maps_per_second")
    columns = (steps.epoch, steps.loss, steps.lr, steps.grad_norm, steps.maps_per_second)
    rows = tuple(
        tuple(None if math.isnan(v) else v for v in row) for row in zip(*(c.tolist() for c in columns), strict=True)
    )
    return Table("steps", header, rows)


def check_free(paths: Sequence[Path], *, force: bool) -> None:
    """Raise InputError when one of `paths` is there already and must not be replaced, or has no folder."""
    for path in paths:
        if not path.parent.is_dir():
            raise InputError(f"{path.parent}: no such folder")
        if path.exists() and not force:
            raise InputError(f"{path} exists already: give another folder, or --force to replace it")


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Write a table whole or not at all; unknown values are empty. Raises OSError when the disk refuses."""
    with write_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(["" if value is None else value for value in row] for row in rows)


SCALARS = {
    "loss/train": "train_loss",
    "loss/val": "val_loss",
    "loss/val_raw": "val_loss_raw",
    "training/lr": "lr",
    "training/grad_norm": "grad_norm",
    "training/maps_per_second": "maps_per_second",
    "training/data_wait": "data_wait",
    "training/bad_epochs": "bad_epochs",
    "training/early_stop_count": "early_stop_count",
}
"""Tag in TensorBoard and field of the epoch event."""


def write_tensorboard(view: RunView, folder: Path) -> Path:
    """Write an event file of the run into `folder`, made if need be; steps are optimiser steps, times those of the log.

    Raises:
        InputError: the folder holds an event file already.
        OSError: the disk refuses.
    """
    if any(folder.glob("events.out.tfevents.*")):
        raise InputError(f"{folder} holds a TensorBoard event file already: give another folder")
    from tensorboardX import SummaryWriter  # protobuf: 0.1 s

    folder.mkdir(parents=True, exist_ok=True)
    step_of = {event.epoch: event.step for event in view.epochs}
    with SummaryWriter(str(folder), write_to_disk=True) as writer:
        for event in view.epochs:
            for tag, field in SCALARS.items():
                if (value := getattr(event, field)) is not None:
                    writer.add_scalar(tag, value, event.step, walltime=event.time)
        for spectrum in view.spectra:
            if spectrum.median_abs_error is not None:
                step = step_of.get(spectrum.epoch, spectrum.epoch)
                writer.add_scalar("power_spectrum/error", spectrum.median_abs_error, step, walltime=spectrum.time)
        for drawn in view.samples:
            picture = _pairs(drawn.real, drawn.generated, drawn.height, drawn.width)
            if picture is not None:
                step = step_of.get(drawn.epoch, drawn.epoch)
                writer.add_image("maps/real_over_generated", picture, step, walltime=drawn.time, dataformats="HW")
    return folder


def _pairs(real: Sequence[str], generated: Sequence[str], height: int, width: int) -> "np.ndarray | None":
    """Real thumbnails above generated ones, uint8 (2 H, n W); None when their bytes are not those of maps."""
    import base64

    try:
        rows = [
            np.hstack([np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width) for text in maps])
            for maps in (real, generated)
        ]
        return np.vstack(rows)
    except ValueError:
        return None

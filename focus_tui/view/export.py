"""A run's measurements for other programs: tables as CSV, curves and maps as a TensorBoard event file.

Everything comes from a `RunView`, so epochs superseded by a resume are left out. Units are those of the event
table (focus_engine/events/table.py): k in h/Mpc, P(k) in (Mpc/h)², times in Unix seconds.
"""

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.atomic import write_atomically
from focus_engine.errors import InputError
from focus_engine.events.log import read_events
from focus_engine.events.table import EpochFinished, SamplesDrawn
from focus_engine.launch.state import summarise
from focus_engine.runs.folder import RunFolder
from focus_tui.charts.map_pairs import shades_of, thumbnails
from focus_tui.view.arrays import StepSeries
from focus_tui.view.run_view import RunView, fold

Cell = float | str | None

EPOCH_FIELDS = ("epoch", *(one.name for one in fields(EpochFinished) if one.name != "epoch"))
"""Columns of the table of epochs: every field of the event; booleans are 1 and 0."""
POWER_FIELDS = ("epoch", "k", "real_mean", "real_std", "generated_mean", "ratio", "ratio_std")
STEP_FIELDS = ("epoch", "train_loss", "lr", "grad_norm", "maps_per_second")
SCALARS = (
    ("loss/train", "train_loss"),
    ("loss/val", "val_loss"),
    ("lr", "lr"),
    ("grad_norm", "grad_norm"),
    ("speed", "maps_per_second"),
    ("early_stop_count", "early_stop_count"),
    ("bad_epochs", "bad_epochs"),
)
"""Pairs of TensorBoard tag and field of an epoch."""
MAX_PAIRS = 8
"""The most pairs of maps in a TensorBoard image."""


@dataclass(frozen=True)
class Table:
    """Rows under a header.

    Attributes:
        name: epochs, power or steps.
        header: column names.
        rows: one value per column; None if unknown.
    """

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def read_whole_view(run: RunFolder) -> RunView:
    """Return the view of the complete log of `run`."""
    return fold(RunView(summary=summarise(run)), read_events(run.events))


def tables(view: RunView) -> tuple[Table, Table, Table]:
    """Return the tables of epochs, P(k) by epoch and wavenumber, and points inside epochs (at most `MAX_STEPS`)."""
    epochs = tuple(tuple(getattr(one, name) for name in EPOCH_FIELDS) for one in view.epochs)
    power = tuple(
        (one.epoch, *row)
        for one in view.spectra
        for row in zip(*(getattr(one, name) for name in POWER_FIELDS[1:]), strict=True)
    )
    inside = view.steps or StepSeries.of(())
    columns = (inside.epoch, inside.loss, inside.lr, inside.grad_norm, inside.maps_per_second)
    steps = zip(*(column.tolist() for column in columns), strict=True)
    return (
        Table("epochs", EPOCH_FIELDS, epochs),
        Table("power", POWER_FIELDS, power),
        Table("steps", STEP_FIELDS, tuple(steps)),
    )


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Cell]], *, force: bool = False) -> None:
    """Write a table as CSV. Numbers keep full precision; an unknown value is an empty cell.

    Raises:
        InputError: `path` exists already, without `force`.
    """
    check_absent(path, force=force)
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_written(cell) for cell in row] for row in rows)


def _written(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    if cell is None or not math.isfinite(cell):
        return ""
    return str(int(cell)) if isinstance(cell, bool | int) else repr(cell)


def check_absent(path: Path, *, force: bool) -> None:
    """Raise InputError if `path` is a folder, or a file that exists while `force` is not given."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: remove it, or choose another name")
    if path.exists() and not force:
        raise InputError(f"{path} exists already: --force overwrites it, or choose another name")


def tensorboard_file(view: RunView, folder: Path) -> Path:
    """Return the path of the event file of a run; the name depends on the run only."""
    first = int(view.epochs[0].time) if view.epochs else 0
    return folder / f"events.out.tfevents.{first:010d}.focus"


def check_tensorboard(view: RunView, folder: Path, *, force: bool) -> None:
    """Raise InputError if `folder` holds other TensorBoard events, which would mix with those of this run."""
    path = tensorboard_file(view, folder)
    check_absent(path, force=force)
    if others := sorted(other.name for other in folder.glob("*tfevents*") if other != path):
        raise InputError(
            f"{folder} holds events of another run ({others[0]}), which would mix with these: name another folder"
        )


def write_tensorboard(view: RunView, folder: Path, *, force: bool = False) -> Path:
    """Write scalars and thumbnails for TensorBoard into `folder`; return the path of the file.

    Steps are optimizer steps; times are those of the events.

    Raises:
        InputError: the file exists and `force` is not given, or `folder` holds events of another run.
    """
    from tensorboardX import RecordWriter  # 1.1 s: it loads torch
    from tensorboardX.proto.event_pb2 import Event as Record

    check_tensorboard(view, folder, force=force)
    path = tensorboard_file(view, folder)
    records = sorted(_records(view), key=lambda record: record.step)
    first = records[0].wall_time if records else 0.0
    with write_atomically(path) as temporary:
        writer = RecordWriter(str(temporary))
        for record in (Record(wall_time=first, file_version="brain.Event:2"), *records):
            writer.write(record.SerializeToString())
        writer.close()
    return path


def _records(view: RunView) -> list[Any]:
    """Return the TensorBoard events (protobuf, untyped) of a run."""
    from tensorboardX import summary
    from tensorboardX.proto.event_pb2 import Event as Record

    step = _steps_of(view)
    scalars = [
        *((tag, getattr(one, name), one.step, one.time) for one in view.epochs for tag, name in SCALARS),
        *(("pk_error", one.median_abs_error, step(one.epoch), one.time) for one in view.spectra),
    ]
    records = [
        Record(wall_time=time, step=at, summary=summary.scalar(tag, value))
        for tag, value, at, time in scalars
        if value is not None and math.isfinite(value)
    ]
    for one in view.samples:
        for channel in range(one.channels):
            name = f"/{one.fields[channel]}" if channel < len(one.fields) else ""
            picture = summary.image(f"real_above_generated{name}", pair_picture(one, channel), dataformats="HW")
            records.append(Record(wall_time=one.time, step=step(one.epoch), summary=picture))
    return records


def _steps_of(view: RunView) -> Callable[[int], int]:
    """Return the function from an epoch to the optimizer steps done at its end."""
    known = {one.epoch: one.step for one in view.epochs}
    each = view.started.steps_per_epoch if view.started else 1
    return lambda epoch: known.get(epoch, epoch * each)


def pair_picture(event: SamplesDrawn, channel: int = 0) -> NDArray[np.uint8]:
    """Return thumbnails of a channel as one grey image (2 H + 1, N W + N - 1): real maps above generated ones.

    Grey is log10 of the map, from the channel's low (black) to its high (white), on one scale for all maps.
    """
    real, generated = (np.log10(np.stack(maps[:MAX_PAIRS])) for maps in thumbnails(event, channel))
    low, high = shades_of(event, channel)
    columns = min(len(real), len(generated))
    shades = (np.concatenate([real[:columns], generated[:columns]]) - low) / ((high - low) or 1.0)
    padded = np.pad(np.clip(shades, 0, 1), ((0, 0), (0, 1), (0, 1)), constant_values=1)  # white lines between maps
    rows = padded.reshape(2, columns, event.height + 1, event.width + 1).transpose(0, 2, 1, 3)
    picture = rows.reshape(2 * (event.height + 1), columns * (event.width + 1))[:-1, :-1]
    return np.asarray(np.rint(255 * picture), dtype=np.uint8)

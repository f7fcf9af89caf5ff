"""Example events, one maker per row of the event table, and the only place in tests that lists their fields.

A test gives the fields that it tests; the others have default values. `NOW` is the time of the events.
"""

import base64
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from focus_engine.events.statistics import POWER, POWER_ERROR, Measure, MeasuredCurve
from focus_engine.events.table import (
    EVENT_TYPES,
    CheckpointSaved,
    DataProgress,
    EndState,
    EpochFinished,
    Event,
    RunEnded,
    RunStarted,
    SamplesDrawn,
    StatisticsMeasured,
    StepProgress,
    WorkerStarting,
)
from focus_engine.launch.process import ProcessIdentity

NOW = 1_790_000_000.0


def worker(who: ProcessIdentity | None = None, **given: object) -> WorkerStarting:
    """Return the first event of a worker, of the process `who` or of a fictitious one."""
    values = {
        "time": NOW,
        "pid": 1,
        "host": "h",
        "boot_id": None,
        "process_start": None,
        "focus_version": "0",
        "resume": False,
        "foreground": False,
    }
    if who is not None:
        values |= {name: getattr(who, name) for name in ("pid", "host", "boot_id", "process_start")}
    return WorkerStarting(**(values | given))


def started(after: int = 0, **given: object) -> RunStarted:
    """Return the start of a training that continues after epoch `after`."""
    values = {
        "time": NOW,
        "method": "diffusion",
        "epoch": after,
        "num_epochs": 20,
        "steps_per_epoch": 10,
        "warmup_epochs": 2,
        "batch_size": 16,
        "accumulate": 1,
        "n_parameters": 1000,
        "maps": (100, 10, 10),
        "simulations": (10, 1, 1),
        "map_shape": (1, 8, 8),
        "box_size": 25.0,
        "param_names": ("Omega_m", "sigma_8"),
        "resident": True,
        "terminal_snr": None,
        "precision": "float32",
        "seed": 0,
        "threads": 1,
        "device": "cpu",
        "device_name": "CPU",
        "git_commit": None,
        "versions": {},
        "config": {"training": {"lr": 1e-4, "scheduler": {"factor": 0.3, "min_lr": 1e-7}}, "data": {"num_workers": 4}},
        "config_sha256": "0",
        "data_fingerprint": "0",
    }
    return RunStarted(**(values | given))


def making_data(done: int = 3, total: int = 10, **given: object) -> DataProgress:
    """Return the progress of a simulation of universes."""
    return DataProgress(**({"time": NOW, "what": "simulating universes", "done": done, "total": total} | given))


def step(number: int, batch: int, **given: object) -> StepProgress:
    """Return the progress of training in epoch `number`, which has 10 batches."""
    values = {
        "time": NOW,
        "epoch": number,
        "batch": batch,
        "n_batches": 10,
        "step": 10 * (number - 1) + batch,
        "train_loss": 0.5,
        "lr": 1e-4,
        "grad_norm": None,
        "maps_per_second": 50.0,
        "data_wait": 0.0,
        "eta_epoch": 1.0,
        "device_memory": None,
    }
    return StepProgress(**(values | given))


def epoch(number: int, val: float = 0.5, **given: object) -> EpochFinished:
    """Return the end of an epoch, the best so far."""
    values = {
        "time": NOW + number,
        "epoch": number,
        "num_epochs": 20,
        "phase": "training",
        "step": 10 * number,
        "train_loss": val * 1.1,
        "val_loss": val,
        "val_loss_raw": val,
        "lr": 1e-4,
        "next_lr": 1e-4,
        "lr_cut": False,
        "grad_norm": 1.0,
        "seconds": 2.0,
        "maps_per_second": 50.0,
        "data_wait": 0.0,
        "is_best": True,
        "best_val_loss": val,
        "best_epoch": number,
        "scheduler": "plateau",
        "bad_epochs": 0,
        "plateau_patience": 2,
        "early_stop_count": 0,
        "early_stop_patience": 10,
        "pk_error": None,
        "pk_error_std": None,
        "pk_error_null": None,
        "eta_seconds": 2.0 * (20 - number),
    }
    return EpochFinished(**(values | given))


def saved(number: int, kind: str = "last", **given: object) -> CheckpointSaved:
    """Return the saving of the checkpoint of epoch `number`."""
    values = {"time": NOW + number, "epoch": number, "path": "x", "kind": kind, "bytes": 1, "seconds": 0.1}
    return CheckpointSaved(**(values | given))


def spectrum(number: int, ratio: Sequence[float] = (1.0, 1.1, 0.9), **given: object) -> StatisticsMeasured:
    """Return the statistics of samples at epoch `number`: P(k) of the given ratio to the real maps.

    `value`, `error` and `null` are those of the score; the rest are fields of the event.
    """
    k = tuple(0.5 * 8 ** (i / max(1, len(ratio) - 1)) for i in range(len(ratio)))
    real = tuple(100 / value for value in k)
    curve = MeasuredCurve(
        name=POWER,
        x=k,
        reference=real,
        scatter=tuple(0.3 * value for value in real),
        generated=tuple(a * b for a, b in zip(real, ratio, strict=True)),
        ratio=tuple(ratio),
        ratio_error=(0.04,) * len(k),
        limit=4.0,
    )
    score = {"value": 0.1, "error": 0.03, "null": 0.06}
    score |= {name: given.pop(name) for name in score.keys() & given.keys()}
    values = {
        "time": NOW + number,
        "epoch": number,
        "n_maps": 64,
        "n_points": 10,
        "reference": "trend",
        "reference_error": 0.02,
        "measures": (Measure(name=POWER_ERROR, **score),),
        "curves": (curve,),
    }
    return StatisticsMeasured(**(values | given))


def samples(number: int, **given: object) -> SamplesDrawn:
    """Return samples with thumbnails of 4 x 4 pixels."""
    shades = [base64.b64encode(bytes(range(start, start + 160, 10))).decode() for start in (0, 60)]
    values = {
        "time": NOW + number,
        "epoch": number,
        "path": "samples/a.npz",
        "height": 4,
        "width": 4,
        "low": 9.0,
        "high": 12.0,
        "params": ((0.3, 0.8), (0.2, 0.9)),
        "real": tuple(shades),
        "generated": tuple(reversed(shades)),
        "seconds": 1.0,
        "nfe": 50,
    }
    return SamplesDrawn(**(values | given))


def end(state: EndState = "finished", reason: str = "all epochs", number: int = 3, **given: object) -> RunEnded:
    """Return the last event of a worker whose last checkpoint holds epoch `number`."""
    values = {
        "time": NOW + number,
        "state": state,
        "reason": reason,
        "epoch": number,
        "seconds": 1.0,
        "peak_memory": None,
    }
    return RunEnded(**(values | given))


_MADE = (worker(), started(), making_data(), step(3, 4), epoch(3), saved(3), spectrum(3), samples(3), end())
_VALUES: dict[Any, Any] = {str: "text", int: 3, float: 0.5, bool: True}


def _small(kind: type[Event]) -> Event:
    """Return an event of a type with few fields; those without a default get a value of their type."""
    hints = get_type_hints(kind)
    wanted = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]
    words = {"when": "now", "devices": ("cpu",)}
    return kind(**{name: words.get(name, _VALUES.get(hints[name], 1)) for name in wanted})


SAMPLES: list[Event] = [
    next((event for event in _MADE if event.type == name), None) or _small(kind) for name, kind in EVENT_TYPES.items()
]
"""One event of every type, filled in."""

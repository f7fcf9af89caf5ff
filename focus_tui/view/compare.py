"""Differences between runs in config, numbers and data, as tables. Pure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from focus_engine.config.methods import DEFAULT_METHOD, METHODS
from focus_tui.terminal import visible
from focus_tui.view.run_view import RunView
from focus_tui.view.words import counted, duration, loss, measured, perfect, state_words

NAMES = "experiment."
"""The config block that only names the run, so it is left out of the differences."""


@dataclass(frozen=True)
class Difference:
    """A config key in which the runs differ.

    Attributes:
        key: its dotted path.
        values: one per run, as text; `-` where the run has none.
    """

    key: str
    values: tuple[str, ...]


def config_of(view: RunView) -> dict[str, Any]:
    """Return the config a run was trained with; empty before it starts."""
    return view.started.config if view.started is not None else {}


def config_differences(configs: Sequence[dict[str, Any]]) -> list[Difference]:
    """Return the keys in which the configs differ, in the order of the first one."""
    flat = [dict(_flat(config)) for config in configs]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    rows = [Difference(key, tuple(_shown(one[key]) if key in one else "-" for one in flat)) for key in keys]
    return [row for row in rows if len(set(row.values)) > 1 and not row.key.startswith(NAMES)]


def _flat(config: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _shown(value: object) -> str:
    if isinstance(value, str):
        return visible(value)
    return "(none)" if value is None else json.dumps(value)


METRICS = ("STATE", "EPOCH", "BEST", "AT", "CHANGE", "P(k)", "PERFECT", "PER EPOCH")
"""Headings of `metric_row`."""


def metric_row(view: RunView, reference: RunView) -> tuple[str, ...]:
    """Return a run's numbers; CHANGE is its best val loss relative to that of `reference`."""
    s, best = view.summary, reference.summary.best_val_loss
    change = "-"
    if view is reference:
        change = "reference"
    elif s.best_val_loss is not None and best:
        change = f"{100 * (s.best_val_loss / best - 1):+.1f} %"
    seconds = [event.seconds for event in view.epochs[-5:]]
    return (
        state_words(s),
        counted(s.epoch, s.num_epochs),
        loss(s.best_val_loss),
        "-" if s.best_epoch is None else str(s.best_epoch),
        change,
        *_power_cells(view),
        duration(sum(seconds) / len(seconds) if seconds else None),
    )


def _power_cells(view: RunView) -> tuple[str, str]:
    """Return the P(k) error of the latest samples with its standard error, and that of a perfect generator."""
    if view.spectra:
        last = view.spectra[-1]
        return measured(last.score.value, last.score.error), perfect(last.score.null)
    return measured(view.summary.pk_error, view.summary.pk_error_std), perfect(view.summary.pk_error_null)


def data_warning(views: Sequence[RunView]) -> str:
    """Return a sentence on why the losses of the runs are not comparable; empty if they are."""
    started = [view.started for view in views if view.started is not None]
    if len({one.box_size for one in started}) > 1 or len({one.map_shape for one in started}) > 1:
        return "not the same box or resolution: each P(k) ratio is against the run's own maps, at its own k"
    if len({one.data_fingerprint for one in started}) > 1:
        return "not the same data: losses are not comparable, and each P(k) ratio is against the run's own maps"
    losses = {_loss_kind(view) for view in views if view.started is not None}
    if len(losses) > 1:
        return "not the same loss (method, prediction, weights or units of the maps): compare P(k), not the losses"
    return ""


def _loss_kind(view: RunView) -> tuple[object, ...]:
    config = config_of(view)
    method = config.get("method", DEFAULT_METHOD)
    keys = METHODS[method].loss_keys if method in METHODS else ()
    return (method, *(_value(config, key) for key in keys))


def _value(config: dict[str, Any], dotted: str) -> object:
    """Return the value of a key; the default where the run is of a FOCUS that did not know the key."""
    from focus_engine.config.schema import Config  # 0.3 s of pydantic, which the dashboard's start does not wait for

    block, key = dotted.split(".")
    given = config.get(block) or {}
    return given[key] if key in given else getattr(getattr(Config(), block), key)

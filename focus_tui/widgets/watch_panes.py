"""The four pictures of the Watch screen: which chart a run's view becomes, and what its title says. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from focus_engine.events import PowerSpectrumMeasured, SamplesDrawn
from focus_tui.half_blocks import ColorDepth
from focus_tui.present import Array, RunView, floats
from focus_tui.words import loss, percent, rate

Draw = Callable[[int, int], str]
PANES = ("loss", "lr", "power", "maps")
TITLES = {"loss": "Loss", "lr": "Learning rate", "power": "Power spectrum", "maps": "Maps"}


@dataclass(frozen=True)
class Look:
    """How the pictures are drawn.

    Attributes:
        log_y: logarithmic losses.
        log_x: logarithmic epochs.
        smoothing: weight of the past in a running mean of the losses, 0 to 0.99.
        steps: whether losses inside epochs are drawn.
        epoch: epoch whose P(k) and maps are shown; None for the latest.
        color: whether charts have colours.
        color_depth: of the maps; None draws them in shades of ink.
        colormap: of the maps.
    """

    log_y: bool = False
    log_x: bool = False
    smoothing: float = 0.0
    steps: bool = False
    epoch: int | None = None
    color: bool = True
    color_depth: ColorDepth = "truecolor"
    colormap: str = "magma"


@dataclass(frozen=True)
class Picture:
    """One pane: its title, how to draw it, and what it depends on (`key` alike: drawn alike)."""

    title: str
    draw: Draw
    key: object


def sampled_epochs(view: RunView) -> tuple[int, ...]:
    """Return the epochs that have a P(k) or maps."""
    return tuple(sorted({event.epoch for event in view.spectra} | {event.epoch for event in view.samples}))


def smoothed(values: Array, weight: float) -> Array:
    """Return the running mean with exponential weights, corrected for its start; unknown values are passed over."""
    if weight <= 0:
        return values
    out, mean, mass = values.copy(), 0.0, 0.0
    for place, value in enumerate(values):
        if np.isfinite(value):
            mean, mass = weight * mean + (1 - weight) * value, weight * mass + (1 - weight)
            out[place] = mean / mass
    return out


def picture(pane: str, view: RunView, look: Look) -> Picture:
    """Return one of the `PANES`."""
    return {"loss": loss_picture, "lr": lr_picture, "power": power_picture, "maps": maps_picture}[pane](view, look)


def loss_picture(view: RunView, look: Look) -> Picture:
    """Train and val loss against the epoch with everything that happened to the run."""
    epochs = [event.epoch for event in view.epochs]
    smooth = f"  smoothed {look.smoothing:g}" if look.smoothing else ""
    title = f"Loss{smooth}" + (f"  val {loss(view.epochs[-1].val_loss)}" if epochs else "")
    steps = view.steps if look.steps and view.steps.epoch.size else None

    def draw(width: int, height: int) -> str:
        from focus_tui.charts import draw_losses

        if not epochs:
            return _waiting(view)
        return draw_losses(
            epochs,
            smoothed(view.values("train_loss"), look.smoothing),
            smoothed(view.values("val_loss"), look.smoothing),
            width=width,
            height=height,
            color=look.color,
            log=look.log_y,
            log_x=look.log_x,
            warmup_epochs=view.warmup_epochs,
            cuts=view.cuts,
            best_epoch=view.best_epoch,
            resumed_after=view.seams,
            early_stopped=view.early_stopped,
            step_epochs=None if steps is None else steps.epoch,
            step_loss=None if steps is None else steps.loss,
        )

    points = steps.epoch.size if steps is not None else 0
    return Picture(title, draw, (*_about(view, look), points, look.log_y, look.log_x, look.smoothing))


def lr_picture(view: RunView, look: Look) -> Picture:
    """The learning rate against the epoch: warmup ramp and plateau steps."""
    epochs = [event.epoch for event in view.epochs]
    title = "Learning rate" + (f"  {rate(view.epochs[-1].next_lr)}" if epochs else "")

    def draw(width: int, height: int) -> str:
        from focus_tui.charts import draw_lr

        if not epochs:
            return _waiting(view)
        return draw_lr(
            epochs,
            view.values("lr"),
            width=width,
            height=height,
            color=look.color,
            log_x=look.log_x,
            warmup_epochs=view.warmup_epochs,
            cuts=view.cuts,
            resumed_after=view.seams,
        )

    return Picture(title, draw, (*_about(view, look), look.log_x))


def spectrum_at(view: RunView, epoch: int | None) -> PowerSpectrumMeasured | None:
    """Return the P(k) of an epoch, or the latest before it; of None the last."""
    fitting = [event for event in view.spectra if epoch is None or event.epoch <= epoch]
    return fitting[-1] if fitting else None


def samples_at(view: RunView, epoch: int | None) -> SamplesDrawn | None:
    """Return the maps of an epoch, or the latest before it; of None the last."""
    fitting = [event for event in view.samples if epoch is None or event.epoch <= epoch]
    return fitting[-1] if fitting else None


def power_picture(view: RunView, look: Look) -> Picture:
    """P(k) of samples over that of real maps and its scatter, with their ratio."""
    event = spectrum_at(view, look.epoch)
    title = (
        "Power spectrum" if event is None else f"Power spectrum  epoch {event.epoch}{_of(view)}  {power_words(event)}"
    )

    def draw(width: int, height: int) -> str:
        from focus_tui.charts import draw_power

        if event is None:
            return _no_samples(view)
        return draw_power(
            event.k,
            floats(event.real_mean),
            floats(event.real_std),
            floats(event.generated_mean),
            width=width,
            height=height,
            color=look.color,
            k_nyquist=event.k_nyquist,
        )

    return Picture(title, draw, ("power", event and (event.epoch, event.time), len(view.epochs) == 0, look.color_depth))


def power_words(event: PowerSpectrumMeasured) -> str:
    """Return the error of a P(k), and in brackets what real maps score among themselves."""
    between = "" if event.true_vs_true is None else f" (real {percent(event.true_vs_true)})"
    return f"off {percent(event.median_abs_error)}{between}"


def maps_picture(view: RunView, look: Look) -> Picture:
    """Real maps above generated ones at the same parameters and noise."""
    event = samples_at(view, look.epoch)
    title = "Maps" if event is None else f"Maps  epoch {event.epoch}{_of(view)}  real over generated"
    names = view.started.param_names if view.started is not None else ()

    def draw(width: int, height: int) -> str:
        from focus_tui.map_pairs import draw_pairs, thumbnails

        if event is None:
            return _no_samples(view)
        try:
            real, generated = thumbnails(event)
        except ValueError:
            return "the thumbnails of this epoch cannot be read"
        return draw_pairs(
            real,
            generated,
            width=width,
            height=height,
            vmin=10**event.low,
            vmax=10**event.high,
            labels=_labels(names, event.params, width),
            colormap=look.colormap,
            color_depth=look.color_depth,
        )

    key = ("maps", event and (event.epoch, event.time), len(view.epochs) == 0, look.color_depth, look.colormap)
    return Picture(title, draw, key)


SYMBOLS = {"Omega_m": "Ω_m", "sigma_8": "σ_8"}


def _labels(names: tuple[str, ...], params: tuple[tuple[float, ...], ...], width: int) -> list[str]:
    """The parameters above each pair: with their names where there is room, else as bare numbers."""
    rows = [tuple(zip(names[:2], row, strict=False)) for row in params]
    named = [" ".join(f"{SYMBOLS.get(name, name)} {value:.2f}" for name, value in row) for row in rows]
    if sum(len(label) + 2 for label in named) <= width:
        return named
    return [", ".join(f"{value:.2f}" for _, value in row) for row in rows]


def _about(view: RunView, look: Look) -> tuple[object, ...]:
    last = view.epochs[-1] if view.epochs else None
    return (view.summary.path, last and (last.epoch, last.time), view.seams, view.early_stopped, look.color_depth)


def _of(view: RunView) -> str:
    epochs = sampled_epochs(view)
    return f" of {epochs[0]}…{epochs[-1]}" if len(epochs) > 1 else ""


def _waiting(view: RunView) -> str:
    if view.summary.state == "created":
        return f"not started yet\n\ns starts it here\nfocus start {view.summary.name} starts it in a shell"
    if view.data is not None:
        return f"{view.data.what}: {view.data.done} of {view.data.total}"
    return "the first epoch is running" if view.started is not None else "waiting for the worker's first word"


def _no_samples(view: RunView) -> str:
    training = (view.started.config.get("training") or {}) if view.started is not None else {}
    every = training.get("sample_every")
    if view.started is not None and every == 0:
        return "no samples: training.sample_every is 0"
    when = "" if not isinstance(every, int) else f": the first ones come after epoch {every}"
    return f"no samples yet{when}" if view.summary.state != "created" else "not started yet"

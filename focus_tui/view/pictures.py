"""The four pictures of the Watch screen: which chart a run's view becomes, and what its title says. Pure."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from focus_engine.events.table import PowerSpectrumMeasured, SamplesDrawn
from focus_engine.launch.summary import LIVE_STATES
from focus_engine.units import NORMALISED, SURFACE_DENSITY
from focus_tui.charts.half_blocks import ColorDepth
from focus_tui.terminal import visible
from focus_tui.view.run_view import RunView, floats
from focus_tui.view.words import loss, percent, rate

Draw = Callable[[int, int], str]
PANES = ("loss", "lr", "power", "maps")
SPANS = ("all", "after warmup", "second half", "last quarter")
TALL = 24
"""Rows from which a pane has room for more than its picture."""


@dataclass(frozen=True)
class Look:
    """How the pictures are drawn.

    Attributes:
        log_y: logarithmic losses.
        log_x: logarithmic epochs.
        smoothing: weight of the past in a running mean of the losses, 0 to 0.99.
        steps: whether losses inside epochs are drawn.
        span: which epochs the curves show, one of `SPANS`.
        epoch: epoch whose P(k) and maps are shown; None for the latest.
        pair: the first pair of maps that is shown.
        color: whether charts have colours.
        color_depth: of the maps; None draws them in shades of ink.
        colormap: of the maps.
    """

    log_y: bool = False
    log_x: bool = False
    smoothing: float = 0.0
    steps: bool = False
    span: str = "all"
    epoch: int | None = None
    pair: int = 0
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


def picture(pane: str, view: RunView, look: Look) -> Picture:
    """Return one of the `PANES`."""
    return {"loss": loss_picture, "lr": lr_picture, "power": power_picture, "maps": maps_picture}[pane](view, look)


def first_epoch(view: RunView, span: str) -> int:
    """Return the epoch that the curves start at; all of them are shown where a span has fewer than three."""
    last = view.epochs[-1].epoch if view.epochs else 0
    first = {"after warmup": view.warmup_epochs + 1, "second half": last // 2 + 1, "last quarter": 3 * last // 4 + 1}
    start = first.get(span, 1)
    return start if last - start >= 2 else 1


def loss_picture(view: RunView, look: Look) -> Picture:
    """Train and val loss against the epoch with everything that happened to the run."""
    smooth = f"  smoothed {look.smoothing:g}" if look.smoothing else ""
    last = view.epochs[-1] if view.epochs else None
    now = "" if last is None else f"  train {loss(last.train_loss)}  val {loss(last.val_loss)}"
    start = first_epoch(view, look.span)
    steps = view.steps if look.steps and view.steps.epoch.size else None

    def draw(width: int, height: int) -> str:
        from focus_tui.charts.curves import draw_losses

        if last is None:
            return waiting(view)
        inside = None if steps is None else steps.epoch >= start - 1
        return draw_losses(
            view.values("epoch"),
            view.values("train_loss"),
            view.values("val_loss"),
            width=width,
            height=height,
            color=look.color,
            log=look.log_y,
            log_x=look.log_x,
            smoothing=look.smoothing,
            first_epoch=start,
            early_stopped=view.early_stopped,
            best_epoch=view.best_epoch,
            step_epochs=None if steps is None else steps.epoch[inside],
            step_loss=None if steps is None else steps.loss[inside],
            **_marks(view, start),
        )

    points = steps.epoch.size if steps is not None else 0
    key = (*_about(view, look), points, look.log_y, look.smoothing)
    return Picture(f"Loss{_span_words(start)}{smooth}{now}", draw, key)


class Marks(TypedDict):
    """What the axis of epochs is marked with."""

    warmup_epochs: int
    cuts: tuple[int, ...]
    resumed_after: tuple[int, ...]


def _marks(view: RunView, start: int) -> Marks:
    """What happened to a run from epoch `start` on."""
    return {
        "warmup_epochs": view.warmup_epochs,
        "cuts": tuple(epoch for epoch in view.cuts if epoch >= start),
        "resumed_after": tuple(epoch for epoch in view.seams if epoch >= start),
    }


def _span_words(start: int) -> str:
    return f" from epoch {start}" if start > 1 else ""


def lr_picture(view: RunView, look: Look) -> Picture:
    """The learning rate against the epoch: warmup ramp and plateau steps."""
    start = first_epoch(view, look.span)
    now = f"  next {rate(view.epochs[-1].next_lr)}" if view.epochs else ""

    def draw(width: int, height: int) -> str:
        from focus_tui.charts.curves import draw_lr

        if not view.epochs:
            return waiting(view).split("\n")[0]
        kept = view.values("epoch") >= start
        return draw_lr(
            view.values("epoch")[kept],
            view.values("lr")[kept],
            width=width,
            height=height,
            color=look.color,
            log_x=look.log_x,
            **_marks(view, start),
        )

    return Picture(f"Learning rate{_span_words(start)}{now}", draw, _about(view, look))


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
    title = "Power spectrum"
    if event is not None:
        title = f"{_power_name(event)}  epoch {event.epoch}{_of(view)}  {power_words(event)}"

    def draw(width: int, height: int) -> str:
        from focus_tui.charts.curves import DENSITY_POWER, FIELD_POWER, draw_power

        if event is None:
            return _no_samples(view)
        told = power_sentence(event, samples_at(view, event.epoch), width) if height >= TALL else []
        drawn = draw_power(
            event.k,
            floats(event.real_mean),
            floats(event.real_std),
            floats(event.generated_mean),
            width=width,
            height=height - len(told),
            color=look.color,
            k_nyquist=event.k_nyquist,
            y_label=FIELD_POWER if event.normalised else DENSITY_POWER,
        )
        return "\n".join([drawn, *told])

    shown = event and (view.summary.path, event.epoch, event.time)
    return Picture(title, draw, ("power", shown or _no_samples(view), look.color))


def _power_name(event: PowerSpectrumMeasured) -> str:
    return "P(k) of the normalised field" if event.normalised else "P(k)"


def power_words(event: PowerSpectrumMeasured) -> str:
    """Return the error of a P(k), and in brackets what real maps score among themselves."""
    between = "" if event.true_vs_true is None else f" (real {percent(event.true_vs_true)})"
    return f"off {percent(event.median_abs_error)}{between}"


def power_sentence(event: PowerSpectrumMeasured, drawn: SamplesDrawn | None, width: int) -> list[str]:
    """Return what a P(k) is of and how far it is off, in whole sentences."""
    steps = "" if drawn is None or drawn.epoch != event.epoch else f", {drawn.nfe} network evaluations each"
    words = [
        f"median |P / P_real - 1| below 0.8 k_Nyquist: {percent(event.median_abs_error)}",
        "" if event.true_vs_true is None else f"two halves of the real maps: {percent(event.true_vs_true)}",
        f"{event.n_maps} samples{steps}",
    ]
    return textwrap.wrap(";  ".join(word for word in words if word), max(20, width))


def maps_picture(view: RunView, look: Look) -> Picture:
    """Real maps beside generated ones at the same parameters and noise."""
    event = samples_at(view, look.epoch)
    title = "Maps" if event is None else f"Maps  epoch {event.epoch}{_of(view)}"
    names = view.started.param_names if view.started is not None else ()

    def draw(width: int, height: int) -> str:
        from focus_tui.charts.map_pairs import draw_pairs, thumbnails

        if event is None:
            return _no_samples(view)
        try:
            real, generated = thumbnails(event)
        except ValueError:
            return "the thumbnails of this epoch cannot be read"
        turn = look.pair % max(1, len(real))
        return draw_pairs(
            [*real[turn:], *real[:turn]],
            [*generated[turn:], *generated[:turn]],
            width=width,
            height=height,
            vmin=event.low if event.normalised else 10**event.low,
            vmax=event.high if event.normalised else 10**event.high,
            units=NORMALISED if event.normalised else SURFACE_DENSITY,
            labels=_labels(names, (*event.params[turn:], *event.params[:turn])),
            colormap=look.colormap,
            color_depth=look.color_depth,
        )

    shown = event and (view.summary.path, event.epoch, event.time)
    key = ("maps", shown or _no_samples(view), look.color_depth, look.colormap, look.pair)
    return Picture(title, draw, key)


SYMBOLS = {"Omega_m": "Ω_m", "sigma_8": "σ_8"}


def _labels(names: tuple[str, ...], params: tuple[tuple[float, ...], ...]) -> list[str]:
    """The first parameters of each pair, with their names."""
    rows = [tuple(zip(names[:2], row, strict=False)) for row in params]
    return ["  ".join(f"{SYMBOLS.get(name, visible(name))} {value:.2f}" for name, value in row) for row in rows]


def _about(view: RunView, look: Look) -> tuple[object, ...]:
    """What both curves depend on."""
    last = view.epochs[-1] if view.epochs else None
    said = (last.epoch, last.time) if last is not None else waiting(view)
    run = (view.summary.path, said, view.seams, view.early_stopped)
    return (*run, look.color, look.log_x, look.span)


def _of(view: RunView) -> str:
    epochs = sampled_epochs(view)
    return f" of {epochs[0]}…{epochs[-1]}" if len(epochs) > 1 else ""


def waiting(view: RunView) -> str:
    """Return what a curve without an epoch says."""
    if view.summary.state == "created":
        shell = f"focus start {visible(view.summary.name)}"
        return f"not started yet\n\n  s  starts it here\n  {shell}\n     starts it in a shell"
    if view.data is not None:
        return f"{visible(view.data.what)}: {view.data.done} of {view.data.total}"
    if view.summary.state not in LIVE_STATES:
        return "it ended before its first epoch was done"
    return "the first epoch is running" if view.started is not None else "waiting for the worker's first word"


def _no_samples(view: RunView) -> str:
    training = (view.started.config.get("training") or {}) if view.started is not None else {}
    every = training.get("sample_every")
    if view.started is not None and every == 0:
        return "no samples: training.sample_every is 0"
    when = "" if not isinstance(every, int) else f": the first ones come after epoch {every}"
    return f"no samples yet{when}" if view.summary.state != "created" else "not started yet"

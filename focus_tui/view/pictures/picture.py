"""`Picture`, its options, and the text shown in its place while there is no data to draw."""

from collections.abc import Callable
from dataclasses import dataclass

from focus_engine.launch.summary import LIVE_STATES
from focus_tui.terminal import ColorDepth, visible
from focus_tui.view.run_view import RunView

Draw = Callable[[int, int], str]
"""Draws a picture, given its width and height in cells."""
SPANS = ("all", "after warmup", "second half", "last quarter")


@dataclass(frozen=True)
class PictureOptions:
    """The options of all pictures.

    Attributes:
        log_y: draw losses on a logarithmic axis.
        log_x: draw epochs on a logarithmic axis.
        smoothing: weight of the past in a running mean of the losses, 0 to 0.99.
        steps: draw losses inside epochs.
        span: epochs that the curves show, one of `SPANS`.
        epoch: epoch whose P(k) and maps are shown; None for the latest.
        pair: index of the first pair of maps shown.
        color: draw charts in colour.
        color_depth: colours of the maps; None draws them with shaded characters.
        colormap: colormap of the maps.
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
    """A picture: its title, the function that draws it, and a key; pictures with equal keys are drawn alike."""

    title: str
    draw: Draw
    key: object


def sampled_epochs(view: RunView) -> tuple[int, ...]:
    """Return the epochs that have a P(k) or maps."""
    return tuple(sorted({event.epoch for event in view.spectra} | {event.epoch for event in view.samples}))


def of_epochs(view: RunView) -> str:
    """Return the range of epochs that have samples, as a suffix of a title."""
    epochs = sampled_epochs(view)
    return f" of {epochs[0]}…{epochs[-1]}" if len(epochs) > 1 else ""


def waiting(view: RunView) -> str:
    """Return the text in place of a curve before the first epoch is done."""
    if view.summary.state == "created":
        shell = f"focus start {visible(view.summary.name)}"
        return f"not started yet\n\n  s  starts it here\n  {shell}\n     starts it in a shell"
    if view.data is not None:
        return f"{visible(view.data.what)}: {view.data.done} of {view.data.total}"
    if view.summary.state not in LIVE_STATES:
        return "the run ended before its first epoch was done"
    return "the first epoch is running" if view.started is not None else "waiting for the worker's first event"


def no_samples(view: RunView) -> str:
    """Return the text in place of a picture of samples before there are any."""
    training = (view.started.config.get("training") or {}) if view.started is not None else {}
    every = training.get("sample_every")
    if view.started is not None and every == 0:
        return "no samples: training.sample_every is 0"
    return "no samples yet: the first follow epoch 1" if view.summary.state != "created" else "not started yet"

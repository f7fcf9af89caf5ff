"""How the pictures are drawn, what one is, and what stands in its place while there is nothing to draw."""

from collections.abc import Callable
from dataclasses import dataclass

from focus_engine.launch.summary import LIVE_STATES
from focus_tui.charts.half_blocks import ColorDepth
from focus_tui.terminal import visible
from focus_tui.view.run_view import RunView

Draw = Callable[[int, int], str]
"""Draws a picture of a width and a height."""
SPANS = ("all", "after warmup", "second half", "last quarter")


@dataclass(frozen=True)
class PictureOptions:
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


def of_epochs(view: RunView) -> str:
    """Return the epochs that a picture of samples can be of, to be put behind its own."""
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


def no_samples(view: RunView) -> str:
    """Return what a picture of samples says while there are none."""
    training = (view.started.config.get("training") or {}) if view.started is not None else {}
    every = training.get("sample_every")
    if view.started is not None and every == 0:
        return "no samples: training.sample_every is 0"
    when = "" if not isinstance(every, int) else f": the first ones come after epoch {every}"
    return f"no samples yet{when}" if view.summary.state != "created" else "not started yet"

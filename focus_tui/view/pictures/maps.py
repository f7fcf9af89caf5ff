"""Real maps beside generated ones, at the same parameters and noise."""

from focus_engine.events.table import SamplesDrawn
from focus_engine.units import NORMALISED, SURFACE_DENSITY
from focus_tui.terminal import visible
from focus_tui.view.pictures.picture import Picture, PictureOptions, no_samples, of_epochs
from focus_tui.view.run_view import RunView

FIELD_ROWS = 8
"""Fewest rows of a field of several: its name, the parameters, the words, a map of 4 and its colour bar."""
SYMBOLS = {"Omega_m": "Ω_m", "sigma_8": "σ_8"}


def samples_at(view: RunView, epoch: int | None) -> SamplesDrawn | None:
    """Return the samples of `epoch`, else the latest before it; for None the last."""
    fitting = [event for event in view.samples if epoch is None or event.epoch <= epoch]
    return fitting[-1] if fitting else None


def maps_picture(view: RunView, options: PictureOptions) -> Picture:
    """Return real maps beside generated ones at the same parameters and noise."""
    event = samples_at(view, options.epoch)
    title = "Maps" if event is None else f"Maps  epoch {event.epoch}{of_epochs(view)}"
    names = view.started.param_names if view.started is not None else ()

    def draw(width: int, height: int) -> str:
        if event is None:
            return no_samples(view)
        if event.channels == 1:
            return _pairs(event, 0, names, options, width, height)
        rows = height // event.channels
        if rows < FIELD_ROWS:  # too low for all fields: the first, and its name says so
            return _named(event, 0, names, options, width, height, f", the first of {event.channels} fields")
        return "\n".join(_named(event, one, names, options, width, rows) for one in range(event.channels))

    shown = event and (view.summary.path, event.epoch, event.time)
    key = ("maps", shown or no_samples(view), options.color_depth, options.colormap, options.pair)
    return Picture(title, draw, key)


def _named(
    event: SamplesDrawn,
    channel: int,
    names: tuple[str, ...],
    options: PictureOptions,
    width: int,
    height: int,
    end: str = "",
) -> str:
    """Return the pairs of a field below its name."""
    name = event.fields[channel] if channel < len(event.fields) else f"channel {channel}"
    return f"{visible(name)}{end}\n{_pairs(event, channel, names, options, width, height - 1)}"


def _pairs(
    event: SamplesDrawn, channel: int, names: tuple[str, ...], options: PictureOptions, width: int, height: int
) -> str:
    """Return the pairs of a channel, from the pair that is chosen."""
    from focus_tui.charts.map_pairs import draw_pairs, shades_of, thumbnails

    try:
        real, generated = thumbnails(event, channel)
    except ValueError:
        return "the thumbnails of this epoch cannot be read"
    turn = options.pair % max(1, len(real))
    low, high = (shade if event.normalised else 10**shade for shade in shades_of(event, channel))
    unit = event.units[channel] if channel < len(event.units) else SURFACE_DENSITY
    return draw_pairs(
        [*real[turn:], *real[:turn]],
        [*generated[turn:], *generated[:turn]],
        width=width,
        height=height,
        vmin=low,
        vmax=high,
        units=NORMALISED if event.normalised else visible(unit),
        labels=_labels(names, (*event.params[turn:], *event.params[:turn])),
        colormap=options.colormap,
        color_depth=options.color_depth,
    )


def _labels(names: tuple[str, ...], params: tuple[tuple[float, ...], ...]) -> list[str]:
    """Return the first two parameters of each pair, with their names."""
    rows = [tuple(zip(names[:2], row, strict=False)) for row in params]
    return ["  ".join(f"{SYMBOLS.get(name, visible(name))} {value:.2f}" for name, value in row) for row in rows]

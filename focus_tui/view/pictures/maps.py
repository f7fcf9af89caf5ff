"""Real maps beside generated ones, at the same parameters and noise."""

from focus_engine.events.table import SamplesDrawn
from focus_engine.units import NORMALISED, SURFACE_DENSITY
from focus_tui.terminal import visible
from focus_tui.view.pictures.picture import Picture, PictureOptions, no_samples, of_epochs
from focus_tui.view.run_view import RunView

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
        from focus_tui.charts.map_pairs import draw_pairs, thumbnails

        if event is None:
            return no_samples(view)
        try:
            real, generated = thumbnails(event)
        except ValueError:
            return "the thumbnails of this epoch cannot be read"
        turn = options.pair % max(1, len(real))
        return draw_pairs(
            [*real[turn:], *real[:turn]],
            [*generated[turn:], *generated[:turn]],
            width=width,
            height=height,
            vmin=event.low if event.normalised else 10**event.low,
            vmax=event.high if event.normalised else 10**event.high,
            units=NORMALISED if event.normalised else SURFACE_DENSITY,
            labels=_labels(names, (*event.params[turn:], *event.params[:turn])),
            colormap=options.colormap,
            color_depth=options.color_depth,
        )

    shown = event and (view.summary.path, event.epoch, event.time)
    key = ("maps", shown or no_samples(view), options.color_depth, options.colormap, options.pair)
    return Picture(title, draw, key)


def _labels(names: tuple[str, ...], params: tuple[tuple[float, ...], ...]) -> list[str]:
    """Return the first two parameters of each pair, with their names."""
    rows = [tuple(zip(names[:2], row, strict=False)) for row in params]
    return ["  ".join(f"{SYMBOLS.get(name, visible(name))} {value:.2f}" for name, value in row) for row in rows]

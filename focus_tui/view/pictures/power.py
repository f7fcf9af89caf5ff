"""The power spectrum of samples, drawn over the mean and scatter of real maps."""

import textwrap

from focus_engine.events.statistics import LivePower
from focus_engine.events.table import SamplesDrawn
from focus_tui.terminal import visible
from focus_tui.view.arrays import floats
from focus_tui.view.pictures.maps import samples_at
from focus_tui.view.pictures.picture import Picture, PictureOptions, no_samples, of_epochs
from focus_tui.view.run_view import RunView
from focus_tui.view.words import measured, percent, perfect, with_perfect

ROOMY = 86
"""Width [columns] from which the legend has room for every entry in full."""
TALL = 24
"""Height [rows] from which a pane has room for sentences below its picture."""


def spectrum_at(view: RunView, epoch: int | None) -> LivePower | None:
    """Return the P(k) of `epoch`, else the latest before it; for None the last."""
    fitting = [event for event in view.spectra if epoch is None or event.epoch <= epoch]
    return fitting[-1] if fitting else None


def power_picture(view: RunView, options: PictureOptions) -> Picture:
    """Return P(k) of samples over the mean and scatter of real maps, with the ratio."""
    event = spectrum_at(view, options.epoch)
    title = "Power spectrum"
    if event is not None:
        name = _power_name(event, samples_at(view, event.epoch))
        title = f"{name}  epoch {event.epoch}{of_epochs(view)}  {power_words(event)}"

    def draw(width: int, height: int) -> str:
        from focus_tui.charts.curves import DENSITY_POWER, FIELD_POWER, draw_power

        if event is None:
            return no_samples(view)
        sentences = power_sentence(event, samples_at(view, event.epoch), width) if height >= TALL else []
        drawn = draw_power(
            event.k,
            floats(event.real_mean),
            floats(event.real_std),
            floats(event.generated_mean),
            width=width,
            height=height - len(sentences),
            color=options.color,
            k_nyquist=event.k_nyquist,
            ratio=floats(event.ratio),
            ratio_std=floats(event.ratio_std),
            band_label=band_words(event, width),
            y_label=FIELD_POWER if event.normalised else DENSITY_POWER,
        )
        return "\n".join([drawn, *sentences])

    shown = event and (view.summary.path, event.epoch, event.time)
    return Picture(title, draw, ("power", shown or no_samples(view), options.color))


def _power_name(event: LivePower, drawn: SamplesDrawn | None) -> str:
    """Return P(k), with what it is of: a normalised field, or the first of several fields."""
    if drawn is not None and drawn.channels > 1 and drawn.fields:
        return f"P(k) of {visible(drawn.fields[0])}, the first of {drawn.channels} fields"
    return "P(k) of the normalised field" if event.normalised else "P(k)"


def power_words(event: LivePower) -> str:
    """Return the error of a P(k), and in brackets that of a perfect generator; or what it is relative to without."""
    off = "off " + "".join(with_perfect(event.score.value, event.score.error, event.score.null))
    return off if event.fixed_parameters else f"{off} from validation maps"


def band_words(event: LivePower, width: int) -> str:
    """Return the name of the band about the real mean; short, with θ for the parameters, in a narrow chart."""
    if not event.fixed_parameters:
        return "±1σ over the set"
    return "±1σ at fixed parameters" if width >= ROOMY else "±1σ fixed θ"


def power_sentence(event: LivePower, drawn: SamplesDrawn | None, width: int) -> list[str]:
    """Return the error of a P(k) and the samples it was measured on, wrapped to `width`."""
    steps = "" if drawn is None or drawn.epoch != event.epoch else f", NFE {drawn.nfe}"
    words = [
        f"median |P / P_real - 1| below 0.8 k_Nyquist: {measured(event.score.value, event.score.error)}",
        "" if event.score.null is None else f"a perfect generator scores {perfect(event.score.null)}",
        f"real mean known to {percent(event.reference_error)}" if event.reference_error is not None else "",
        "" if event.fixed_parameters else "real: validation maps (too few training simulations for a fit)",
        "errors unknown: the real maps share their initial field" if event.shared_field else "",
        f"{event.n_maps} samples{steps}",
        *(f"{visible(one.field)}: {power_words(one)}" for one in event.others),
    ]
    return textwrap.wrap(";  ".join(word for word in words if word), max(20, width))

"""The power spectrum of samples, drawn over the mean and scatter of real maps."""

import textwrap

from focus_engine.events.table import PowerSpectrumMeasured, SamplesDrawn
from focus_tui.view.pictures.maps import samples_at
from focus_tui.view.pictures.picture import Picture, PictureOptions, no_samples, of_epochs
from focus_tui.view.run_view import RunView, floats
from focus_tui.view.words import percent

TALL = 24
"""Height [rows] from which a pane has room for sentences below its picture."""


def spectrum_at(view: RunView, epoch: int | None) -> PowerSpectrumMeasured | None:
    """Return the P(k) of `epoch`, else the latest before it; for None the last."""
    fitting = [event for event in view.spectra if epoch is None or event.epoch <= epoch]
    return fitting[-1] if fitting else None


def power_picture(view: RunView, options: PictureOptions) -> Picture:
    """Return P(k) of samples over the mean and scatter of real maps, with the ratio."""
    event = spectrum_at(view, options.epoch)
    title = "Power spectrum"
    if event is not None:
        title = f"{_power_name(event)}  epoch {event.epoch}{of_epochs(view)}  {power_words(event)}"

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
            y_label=FIELD_POWER if event.normalised else DENSITY_POWER,
        )
        return "\n".join([drawn, *sentences])

    shown = event and (view.summary.path, event.epoch, event.time)
    return Picture(title, draw, ("power", shown or no_samples(view), options.color))


def _power_name(event: PowerSpectrumMeasured) -> str:
    return "P(k) of the normalised field" if event.normalised else "P(k)"


def power_words(event: PowerSpectrumMeasured) -> str:
    """Return the error of a P(k), and in brackets that of real maps against real maps."""
    between = "" if event.true_vs_true is None else f" (real {percent(event.true_vs_true)})"
    return f"off {percent(event.median_abs_error)}{between}"


def power_sentence(event: PowerSpectrumMeasured, drawn: SamplesDrawn | None, width: int) -> list[str]:
    """Return the error of a P(k) and the samples it was measured on, wrapped to `width`."""
    steps = "" if drawn is None or drawn.epoch != event.epoch else f", NFE {drawn.nfe}"
    words = [
        f"median |P / P_real - 1| below 0.8 k_Nyquist: {percent(event.median_abs_error)}",
        "" if event.true_vs_true is None else f"two halves of the real maps: {percent(event.true_vs_true)}",
        f"{event.n_maps} samples{steps}",
    ]
    return textwrap.wrap(";  ".join(word for word in words if word), max(20, width))

"""Events of earlier versions, which `parse_event` returns as today's, so that no reader knows of them."""

from dataclasses import dataclass
from typing import ClassVar

from focus_engine.events.event import Event
from focus_engine.events.statistics import POWER, POWER_ERROR, Measure, MeasuredCurve, Number, StatisticsMeasured


@dataclass(frozen=True, kw_only=True)
class FormerPowerSpectrum(Event):
    """P(k) of samples during training against validation maps; `statistics` replaces it.

    Read from old logs as a `statistics` event whose score has neither error nor null.

    Attributes:
        epoch: epoch of the weights.
        k: mean wavenumber of each bin [h/Mpc].
        real_mean: mean P(k) of the validation maps [(Mpc/h)^2].
        real_std: its scatter over the validation maps [(Mpc/h)^2].
        generated_mean: mean P(k) of the samples [(Mpc/h)^2].
        ratio: generated_mean / real_mean.
        k_nyquist: Nyquist wavenumber [h/Mpc].
        median_abs_error: median |ratio - 1| below 0.8 k_nyquist.
        n_maps: number of samples.
        normalised: whether the maps are a normalised field, not a density.
    """

    type: ClassVar[str] = "power_spectrum"
    epoch: int
    k: tuple[float, ...]
    real_mean: tuple[Number, ...]
    real_std: tuple[Number, ...]
    generated_mean: tuple[Number, ...]
    ratio: tuple[Number, ...]
    k_nyquist: float
    median_abs_error: Number
    n_maps: int
    normalised: bool = False

    def today(self) -> StatisticsMeasured:
        """Return the same as an event of today. Raises ValueError if the curves differ in length."""
        curve = MeasuredCurve(
            name=POWER,
            x=self.k,
            reference=self.real_mean,
            scatter=self.real_std,
            generated=self.generated_mean,
            ratio=self.ratio,
            ratio_error=(None,) * len(self.k),
            limit=self.k_nyquist,
        )
        return StatisticsMeasured(
            time=self.time,
            epoch=self.epoch,
            n_maps=self.n_maps,
            n_points=None,
            reference="validation",
            reference_error=None,
            measures=(Measure(name=POWER_ERROR, value=self.median_abs_error),),
            curves=(curve,),
            normalised=self.normalised,
        )


FORMER_TYPES: dict[str, type[FormerPowerSpectrum]] = {FormerPowerSpectrum.type: FormerPowerSpectrum}
"""Event types that are read but no longer written, by their `type`."""

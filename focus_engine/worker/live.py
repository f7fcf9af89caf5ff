"""P(k) of samples during training: how many maps, at which parameters, against which reference.

Sampling may cost a twentieth of the training time, so the number of maps follows from the measured cost of one. More
maps continue the same list: map i has the same parameters and noise at every epoch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.config.statistics import STATISTICS
from focus_engine.data.maps import MapSet
from focus_engine.data.opening import spread
from focus_engine.data.splits import Split
from focus_engine.events.statistics import POWER, Measure, MeasuredCurve, StatisticsMeasured
from focus_engine.statistics.bands import band_weights
from focus_engine.statistics.live import LiveBins, LiveComparison, PointMeans, TrendReference
from focus_engine.statistics.power import SCORED_FRACTION, PowerSpectrum, measured_power
from focus_engine.statistics.significance import Estimate
from focus_engine.statistics.simulations import shares_field

Array = NDArray[np.float64]

SAMPLING_SHARE = 0.05
"""Most of the training time that sampling may take, beyond the fewest maps."""
FEWEST_MAPS = 16
"""Maps drawn at every sample time, whatever they cost: the pictures show some of them."""
MOST_MAPS = 256
"""Maps whose P(k) is known to a few per cent; more would add little."""
REFERENCE_MAPS = 2048
"""Most training maps that the reference is fitted to: 10 s for 256 x 256 pixels on one core, once a run."""
_GOLDEN = (5**0.5 - 1) / 2


def maps_to_measure(seconds_per_map: float | None, training_seconds: float | None) -> int:
    """Return how many maps to draw between two sample times that are `training_seconds` of training apart.

    It is the largest of 16, 32, 64, 128 and 256 that takes at most a twentieth of that time; 16 if a time is unknown.
    """
    count = FEWEST_MAPS
    if seconds_per_map is None or training_seconds is None:
        return count
    while count < MOST_MAPS and 2 * count * seconds_per_map <= SAMPLING_SHARE * training_seconds:
        count *= 2
    return count


@dataclass(frozen=True, eq=False)
class SampleRows:
    """The parameters of the maps drawn at each sample time.

    Attributes:
        pairs: ids of the validation maps beside which the first samples are shown.
        simulations: simulation of each of `MOST_MAPS` samples.
    """

    pairs: NDArray[np.int64]
    simulations: NDArray[np.int64]

    @classmethod
    def of(cls, maps: MapSet, split: Split) -> "SampleRows":
        """Return the rows of a run: first those of validation maps, then an even spread over their simulations."""
        pairs = spread(maps.maps_of(split.validation), FEWEST_MAPS)
        others = np.arange(len(pairs), MOST_MAPS)
        places = np.floor((others * _GOLDEN) % 1 * len(split.validation)).astype(np.int64)
        more = np.asarray(split.validation, dtype=np.int64)[places]
        return cls(pairs, np.concatenate([maps.simulation_of(pairs), more]))


@dataclass(frozen=True, eq=False)
class LiveReference:
    """The expectation of P(k) that samples are compared with, in the bins below the Nyquist wavenumber.

    Attributes:
        power: for each field a trend over the training simulations, or the means of the validation simulations.
        k: (V,) mean wavenumber of each bin [h/Mpc].
        k_nyquist: Nyquist wavenumber [h/Mpc].
        bins: the bins that each score uses.
        maps: the maps of the run.
        validation: simulations of its validation maps.
        shared_field: whether simulations that the reference is of share their initial field, as those of a 1P set.
    """

    power: tuple[TrendReference | PointMeans, ...]
    k: Array
    k_nyquist: float
    bins: LiveBins
    maps: MapSet
    validation: tuple[int, ...]
    shared_field: bool = False

    @classmethod
    def read(cls, maps: MapSet, split: Split, stop_now: Callable[[], bool]) -> "LiveReference | None":
        """Measure up to `REFERENCE_MAPS` training maps and fit the reference; None when `stop_now` cut it short."""
        training = spread(np.asarray(split.train, dtype=np.int64), REFERENCE_MAPS)
        measured = _power_of_simulations(maps, training, stop_now)
        if measured is None:
            return None
        power, of = measured
        trends = [TrendReference.fit(maps.params[training], one) for one in power]
        fitted: list[TrendReference | PointMeans] = [one for one in trends if one is not None]
        simulations = training
        if len(fitted) < len(trends):
            simulations = np.asarray(split.validation, dtype=np.int64)
            known = _power_of_simulations(maps, simulations, stop_now)
            if known is None:
                return None
            fitted = [PointMeans(one) for one in known[0]]
        shown = of.below(1.0)
        weights, words = band_weights(of.k_edges[: int(shown.sum()) + 1], SCORED_FRACTION * of.k_nyquist)
        bins = LiveBins(of.below(SCORED_FRACTION)[shown], weights, words)
        shared = shares_field(maps.initial_fields[simulations], simulations)
        return cls(tuple(fitted), of.k[shown], of.k_nyquist, bins, maps, split.validation, shared)

    def measure(self, power: Array, simulations: NDArray[np.int64], epoch: int) -> StatisticsMeasured:
        """Return the event of samples with P(k) `power` (C, N, V) at the parameters of `simulations` (N,)."""
        found = [self._compared(place, one, simulations) for place, one in enumerate(power)]
        keys = [score.key for score in STATISTICS[POWER].scores]
        names = self.maps.field_names if len(found) > 1 else ("",)
        of_fields = list(zip(names, found, strict=True))
        return StatisticsMeasured(
            epoch=epoch,
            n_maps=power.shape[1],
            n_points=len(np.unique(simulations)),
            reference="trend" if isinstance(self.power[0], TrendReference) else "validation",
            reference_error=_known(found[0].reference_error),
            measures=tuple(
                _measure(key, score, name)
                for name, one in of_fields
                for key, score in zip(keys, one.scores, strict=True)
            ),
            curves=tuple(self._curve(one, name) for name, one in of_fields),
            normalised=not self.maps.physical,
            shared_field=self.shared_field,
        )

    def _compared(self, place: int, power: Array, simulations: NDArray[np.int64]) -> LiveComparison:
        """Compare P(k) (N, V) of the field at `place`."""
        reference = self.power[place]
        if isinstance(reference, TrendReference):
            found = reference.compare(power, self.maps.params[simulations], simulations, self.bins)
        else:
            found = reference.compare(power, np.searchsorted(self.validation, simulations), self.bins)
        return found.without_errors() if self.shared_field else found

    def _curve(self, found: LiveComparison, field: str) -> MeasuredCurve:
        return MeasuredCurve(
            name=POWER,
            field=field,
            x=tuple(float(f"{k:.7g}") for k in self.k),
            limit=self.k_nyquist,
            **{
                name: tuple(_known(value) for value in getattr(found, name).tolist())
                for name in ("reference", "scatter", "generated", "ratio", "ratio_error")
            },
        )


def power_of(maps: NDArray[np.float32], of: MapSet) -> Array | None:
    """Return P(k) of each field of maps (N, C, H, W) below the Nyquist wavenumber, (C, N, V); None if one has none."""
    if not np.isfinite(maps).all() or (of.physical and ((maps < 0).any() or not maps.any(axis=(2, 3)).all())):
        return None
    return _power_of_fields(maps, of)[0]


def _power_of_fields(maps: NDArray[np.float32], of: MapSet) -> tuple[Array, PowerSpectrum]:
    """Return P(k) of maps (N, C, H, W), (C, N, V), and the measurement of the last field."""
    spectra = [measured_power(maps[:, channel], of.box_size, of.units) for channel in range(maps.shape[1])]
    shown = spectra[-1].below(1.0)
    return np.array([one.power[:, shown] for one in spectra]), spectra[-1]


def _power_of_simulations(
    maps: MapSet, simulations: NDArray[np.int64], stop_now: Callable[[], bool]
) -> tuple[Array, PowerSpectrum] | None:
    """Return P(k) of the simulations (C, S, M, V) below the Nyquist wavenumber, and an example; None when stopped.

    At most `REFERENCE_MAPS` maps are read, equally many of each simulation.
    """
    each = spread(np.arange(maps.maps_per_simulation), max(1, REFERENCE_MAPS // len(simulations)))
    ids = (simulations[:, None] * maps.maps_per_simulation + each).reshape(-1)
    rows: list[Any] = []
    for _, chunk in maps.chunks(ids):
        if stop_now():
            return None
        power, spectrum = _power_of_fields(chunk, maps)
        rows.append(power)
    every = np.concatenate(rows, axis=1)
    return every.reshape(len(every), len(simulations), len(each), -1), spectrum


def _measure(key: str, score: Estimate, field: str) -> Measure:
    numbers = {name: _known(getattr(score, name)) for name in ("value", "error", "null", "null_spread", "p_value")}
    return Measure(name=key, field=field, band=score.band, **numbers)


def _known(value: float | None) -> float | None:
    """Return a number with 6 digits for the log, None if it is unknown."""
    return float(f"{value:.6g}") if value is not None and np.isfinite(value) else None

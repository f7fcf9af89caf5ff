"""Generated maps judged against real ones at equal parameters, by every statistic of the table.

A score means nothing alone: the scatter between universes is large and not Gaussian. So each statistic stands
beside its true-against-true value, what real maps score against other real maps: the median over random
halvings. `true_vs_true…` splits by simulation: the halves have other parameters and half the maps, while
generated maps are compared at equal parameters, so it is generous; staying below it is necessary, not
sufficient. `true_vs_true_same_simulation` splits the maps within each simulation: equal parameters, but shared
structures, so it is strict. A perfect generator lands near the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import ArrayLike

from focus_engine.config.statistics import STATISTICS, Score, StatisticSpec
from focus_engine.errors import FocusError, InputError
from focus_engine.statistics.map_stack import MapStack, as_map_stack, physical_chunks
from focus_engine.statistics.pdf import PdfComparison
from focus_engine.statistics.power import DENSITY_LABEL, FIELD_LABEL, PowerComparison
from focus_engine.statistics.protocol import Result, plain, statistic_of
from focus_engine.statistics.simulations import DRAWS, Simulations
from focus_engine.statistics.slab import SlabMeanComparison

Found = TypeVar("Found", bound=Result)


@dataclass(frozen=True)
class Evaluation:
    """What `focus evaluate` reports.

    Attributes:
        results: what each statistic that the maps allow found, by its name in the table.
        n_maps: of each kind.
        n_simulations: that they belong to.
        box_size: Mpc/h.
        seed: of the halvings and the bootstrap.
        physical: whether the maps are a density, rather than a normalised field.
    """

    results: Mapping[str, Result]
    n_maps: int
    n_simulations: int
    box_size: float
    seed: int
    physical: bool = True

    @property
    def power_spectrum(self) -> PowerComparison:
        """P(k)."""
        return self._result("power_spectrum", PowerComparison)

    @property
    def pdf(self) -> PdfComparison:
        """The one-point PDF. Raises InputError for a normalised field."""
        return self._result("pdf", PdfComparison)

    @property
    def slab_mean(self) -> SlabMeanComparison:
        """The mean of a map. Raises InputError for a normalised field."""
        return self._result("slab_mean", SlabMeanComparison)

    def scores(self) -> tuple[Score, ...]:
        """Return every score, in the order of the table; those that need a density are unknown without one."""
        found = ((spec, self.results.get(name)) for name, spec in STATISTICS.items())
        return tuple(score for spec, result in found for score in spec.scores_in(result))

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `focus evaluate --json`: plain floats and lists, null for what is unknown."""
        found = {name: self.results.get(name) for name in STATISTICS}
        numbers = {
            "of": DENSITY_LABEL if self.physical else FIELD_LABEL,
            "n_maps": self.n_maps,
            "n_simulations": self.n_simulations,
            "box_size": plain(self.box_size),
            "halvings": DRAWS,
            "seed": self.seed,
        }
        return {name: None if result is None else result.to_dict() for name, result in found.items()} | numbers

    def _result(self, name: str, kind: type[Found]) -> Found:
        result = self.results.get(name)
        if not isinstance(result, kind):
            raise InputError(f"there is no {name} of a {FIELD_LABEL}; measured were: {', '.join(self.results)}")
        return result


def evaluate_maps(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    real_simulation_ids: ArrayLike,
    box_size: float,
    physical: bool = True,
    seed: int = 0,
) -> Evaluation:
    """Judge generated maps by each statistic that they allow: of a normalised field, those that need no density.

    Args:
        real: maps (N, H, W) or (N, 1, H, W).
        generated: as many maps of the same shape; row i has the parameters of real row i.
        real_simulation_ids: (N,) the simulation of each real map.
        box_size: the side along the last axis in Mpc/h.
        physical: whether the maps are a density, rather than a normalised field.
        seed: of the random halvings and the bootstrap.

    Raises:
        InputError: when shapes or ids do not match, or a real map is not physical, or not finite.
        FocusError: when a generated map is not finite, is negative somewhere or zero everywhere.
    """
    real, generated = as_map_stack(real, "real maps"), as_map_stack(generated, "generated maps")
    if real.shape != generated.shape:
        raise InputError(
            f"real maps have shape {real.shape}, generated ones {generated.shape}: each generated map is "
            "compared with the real one of the same row"
        )
    simulations = Simulations.of(real_simulation_ids, real.shape[0])
    stacks = (
        MapStack(real, box_size, physical, "real map"),
        MapStack(generated, box_size, physical, "generated map"),
    )
    if physical:
        _check_densities(*stacks)
    fitting = [spec for spec in STATISTICS.values() if spec.fits(physical=physical)]
    results = {spec.name: _compared(spec, *stacks, simulations, seed) for spec in fitting}
    return Evaluation(results, int(real.shape[0]), simulations.count, float(box_size), seed, physical)


def _check_densities(real: MapStack, generated: MapStack) -> None:
    for _ in physical_chunks(real.values, real.what):
        pass
    try:
        for _ in physical_chunks(generated.values, generated.what):
            pass
    except InputError as error:
        raise FocusError(str(error)) from error


def _compared(spec: StatisticSpec, real: MapStack, generated: MapStack, simulations: Simulations, seed: int) -> Result:
    statistic = statistic_of(spec)
    bins = statistic.bins(real, generated)
    return statistic.compare(statistic.measure(real, bins), statistic.measure(generated, bins), simulations, seed)

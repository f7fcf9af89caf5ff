"""Comparison of generated with real maps at equal parameters, by every statistic of the table.

A score alone means nothing, because the scatter between universes is large and not Gaussian. Each score is therefore
reported with its true-against-true value: the score of real maps against other real maps, as the median over random
halvings. `true_vs_true…` splits by simulation. Its halves differ in parameters and hold half the maps, whereas
generated maps are compared at equal parameters; it is generous, and staying below it is necessary but not sufficient.
`true_vs_true_same_simulation` splits the maps within each simulation: equal parameters, but shared structures, so it
is strict. A perfect generator scores close to the second value.
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

ResultT = TypeVar("ResultT", bound=Result)


@dataclass(frozen=True)
class Evaluation:
    """The report of `focus evaluate`.

    Attributes:
        results: the result of each statistic that the maps allow, by its name in the table.
        n_maps: number of real maps, and of generated maps.
        n_simulations: number of simulations that the maps belong to.
        box_size: side of the maps along the last axis [Mpc/h].
        seed: seed of the halvings and the bootstrap.
        physical: whether the maps are a density rather than a normalised field.
    """

    results: Mapping[str, Result]
    n_maps: int
    n_simulations: int
    box_size: float
    seed: int
    physical: bool = True

    @property
    def power_spectrum(self) -> PowerComparison:
        """The comparison of P(k)."""
        return self._result("power_spectrum", PowerComparison)

    @property
    def pdf(self) -> PdfComparison:
        """The comparison of one-point PDFs. Raises InputError for a normalised field."""
        return self._result("pdf", PdfComparison)

    @property
    def slab_mean(self) -> SlabMeanComparison:
        """The comparison of the means of maps. Raises InputError for a normalised field."""
        return self._result("slab_mean", SlabMeanComparison)

    def scores(self) -> tuple[Score, ...]:
        """Return every score, in the order of the table; None where one needs a density that is not given."""
        found = ((spec, self.results.get(name)) for name, spec in STATISTICS.items())
        return tuple(score for spec, result in found for score in spec.scores_in(result))

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `focus evaluate --json`: plain floats and lists, null for unknown values."""
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

    def _result(self, name: str, kind: type[ResultT]) -> ResultT:
        result = self.results.get(name)
        if not isinstance(result, kind):
            raise InputError(f"{name} is not defined for a {FIELD_LABEL}; measured: {', '.join(self.results)}")
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
    """Compare generated with real maps by each statistic that fits; for a normalised field, those that need no density.

    Args:
        real: maps (N, H, W) or (N, 1, H, W).
        generated: maps of the same shape as `real`; row i has the parameters of real row i.
        real_simulation_ids: (N,) id of the simulation of each real map.
        box_size: side along the last axis [Mpc/h].
        physical: whether the maps are a density rather than a normalised field.
        seed: seed of the random halvings and the bootstrap.

    Raises:
        InputError: shapes or ids do not match, or a real map is not physical or not finite.
        FocusError: a generated map is not finite, has negative pixels or is zero everywhere.
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
    results = {spec.name: _comparison_by(spec, *stacks, simulations, seed) for spec in fitting}
    return Evaluation(results, int(real.shape[0]), simulations.count, float(box_size), seed, physical)


def _check_densities(real: MapStack, generated: MapStack) -> None:
    for _ in physical_chunks(real.values, real.what):
        pass
    try:
        for _ in physical_chunks(generated.values, generated.what):
            pass
    except InputError as error:
        raise FocusError(str(error)) from error


def _comparison_by(
    spec: StatisticSpec, real: MapStack, generated: MapStack, simulations: Simulations, seed: int
) -> Result:
    statistic = statistic_of(spec)
    bins = statistic.bins(real, generated)
    return statistic.compare(statistic.measure(real, bins), statistic.measure(generated, bins), simulations, seed)

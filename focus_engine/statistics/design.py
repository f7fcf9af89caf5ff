"""The design of a comparison: which maps share parameters, which share a simulation, and how both are resampled.

Real maps come in groups: those of one simulation share its structures. A model draws its maps independently. The null
of a score is therefore the comparison of whole real simulations with single maps drawn independently; a generated set
that has simulations itself is drawn by whole simulations. Maps are measured once; only the measured vectors are
resampled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.errors import InputError
from focus_engine.statistics.neighbours import NEIGHBOURS, Neighbours
from focus_engine.statistics.reference import Kind, reference_of, standardised
from focus_engine.statistics.sample import Draw, Rows, Sample, Scaled
from focus_engine.statistics.significance import Estimate, Tail, estimate_of, small_sample_factor
from focus_engine.statistics.simulations import Simulations

Array = NDArray[np.float64]
Index = NDArray[np.intp]

NULL_DRAWS = 400
"""Draws of a perfect generator: its mean and spread are then known to 5 % of the spread."""

BOOTSTRAP_DRAWS = 200
"""Resamplings of the maps, for the uncertainty of a score."""

EQUAL_PARAMS = 1e-5
"""Difference up to which two values of a parameter are equal: of its largest value if that is above 1 or below 0.01."""


@dataclass(frozen=True, eq=False)
class Design:
    """Real and generated maps at the same parameter points.

    Attributes:
        params: (G, P) parameters of the points; P is 0 if they are unknown.
        real: the point and the simulation of each real map.
        generated: the point of each generated map, and its simulation if it has one.
        seed: seed of all draws.
        values_only: whether errors and nulls are left unknown, which saves nearly all of the time.
        shared_field: whether simulations of one side share their initial field, as in a 1P set. They are one
            realisation then, whose fluctuation the reference absorbs: errors and nulls are unknown.
    """

    params: Array
    real: Rows
    generated: Rows
    seed: int = 0
    values_only: bool = False
    shared_field: bool = False

    @classmethod
    def paired(cls, simulation_ids: ArrayLike, params: ArrayLike | None = None, seed: int = 0) -> Design:
        """Return the design of one generated map for each real map, in the same rows.

        Args:
            simulation_ids: (N,) the simulation of each real map.
            params: (N, P) parameters of each map; without them, each simulation is a point of its own.
            seed: seed of all draws.
        """
        ids = np.asarray(simulation_ids)
        if ids.ndim != 1 or ids.size == 0:
            raise InputError(f"simulation ids have shape {ids.shape}; one id per map is needed")
        table = np.zeros((ids.size, 0)) if params is None else np.asarray(params, dtype=np.float64)
        if params is None:
            place = np.unique(ids, return_inverse=True)[1].reshape(-1).astype(np.intp)
            points = np.zeros((int(place.max()) + 1, 0))
        else:
            points, place = distinct_params(table)
        return cls(points, Rows.of(place, ids), Rows.of(place), seed)

    @property
    def drawn(self) -> bool:
        """Whether errors and nulls are drawn; otherwise they are unknown."""
        return not (self.values_only or self.shared_field)

    @property
    def count(self) -> int:
        """Number of parameter points."""
        return len(self.params)

    @cached_property
    def real_simulations(self) -> Simulations:
        """The simulation of each real map."""
        return Simulations.of(self.real.unit, self.real.unit.size)

    @cached_property
    def x(self) -> Array:
        """Standardised logarithms of the parameters that vary, (G, varying)."""
        return standardised(self.params)

    def scale(self, real: Array, generated: Array, kind: Kind) -> Scaled:
        """Return vectors (N, V) of both relative to the mean of the real maps at their parameters (see `Scaled`)."""
        reference = reference_of(self.params, self.real.point_means(real), self.real.units_per_point, kind)
        if self.shared_field:
            reference = replace(reference, known=False)
        return Scaled.of(real, generated, self.real, self.generated, reference, kind, self._neighbours(1).sources)

    def estimate(
        self, score: Callable[[Sample], Array], scaled: Scaled, tails: Sequence[Tail], null: Array | None = None
    ) -> tuple[Estimate, ...]:
        """Return the value, error, null and p-value of each score.

        Args:
            score: function from a sample to K numbers.
            scaled: the vectors that it is computed from.
            tails: for each number, `both` if a perfect generator's are on both sides of the null, `upper` if a fault
                only raises it.
            null: scores of perfect generators (draws, K), if not those of vectors drawn from the real maps.
        """
        value = score(scaled.sample())
        resampled = np.array([score(scaled.sample(draw)) for draw in self.bootstraps])
        null = self.perfect_scores(score, scaled) if null is None else null
        freedom = self.real.units - scaled.reference.terms
        return tuple(
            estimate_of(
                float(value[k]),
                resampled[:, k] if len(resampled) else None,
                null[:, k] if len(null) else None,
                freedom,
                tail,
                self._widening,
            )
            for k, tail in enumerate(tails)
        )

    def perfect_scores(self, score: Callable[[Sample], Array], scaled: Scaled) -> Array:
        """Return the scores of perfect generators, (draws, K); they depend on the real maps alone. Empty if unknown."""
        return np.array([score(scaled.perfect(draw)) for draw in self.nulls if scaled.reference.known])

    @cached_property
    def bootstraps(self) -> tuple[Draw, ...]:
        """Resamplings of the measured maps: within points that have enough simulations and maps, else points."""
        enough = self.count > 1 or self.real.units > 1
        return tuple(self._bootstraps()) if enough and self.drawn else ()

    @cached_property
    def _within(self) -> bool:
        """Whether the bootstrap draws simulations and maps within points, rather than points."""
        fewest = min(rows.units_per_point.min() for rows in (self.real, self.generated))
        return bool(self.count == 1 or fewest >= min(NEIGHBOURS, self.count))

    @cached_property
    def _widening(self) -> float:
        """How much larger errors are than the spread of bootstrap samples, which are of few groups."""
        if not self._within:
            return small_sample_factor(self.count, self.count - 1)
        sides = [rows.units_per_point for rows in (self.real, self.generated) if rows.units > self.count]
        fewest = min(sides, key=lambda units: int(units.sum()), default=np.ones(1, dtype=np.intp))
        return small_sample_factor(int(fewest.min()), int((fewest - 1).sum()))

    def _bootstraps(self) -> Iterator[Draw]:
        rng = np.random.default_rng([self.seed, 11])
        for _ in range(BOOTSTRAP_DRAWS):
            if self._within:
                points = np.arange(self.count, dtype=np.intp)
                yield Draw(self.real.resampled(rng), self.generated.resampled(rng), points)
            else:
                points = rng.integers(self.count, size=self.count).astype(np.intp)
                yield Draw(self.real.of_points(points), self.generated.of_points(points), points)

    @cached_property
    def nulls(self) -> tuple[Draw, ...]:
        """Draws of a perfect generator and of other real simulations, as rows of the real maps."""
        return tuple(self._nulls()) if self.drawn else ()

    def _nulls(self) -> Iterator[Draw]:
        """Yield draws, each from another resampling of the simulations.

        So the null holds what is uncertain of the scatter of real maps, also for a score of generated maps alone.
        """
        rng = np.random.default_rng([self.seed, 12])
        real, generated, points = self.real, self.generated, np.arange(self.count, dtype=np.intp)
        for _ in range(NULL_DRAWS):
            times = np.bincount(rng.integers(real.units, size=real.units), minlength=real.units).astype(np.intp)
            rows = real.whole_units(real, self._whole(real, times, rng))
            if generated.independent:
                one = self._neighbours(1).drawn(generated.point, times, rng)
                yield Draw(rows, real.single_rows(one, rng), points)
            else:
                yield Draw(rows, real.whole_units(generated, self._whole(generated, times, rng)), points)

    def _whole(self, places: Rows, times: Index, rng: np.random.Generator) -> Index:
        """Return a simulation for each of the simulations of `places`, with as many maps where there are such."""
        sizes = np.bincount(places.unit)
        found = np.empty(places.units, dtype=np.intp)
        for size in np.unique(sizes):
            of_size = np.flatnonzero(sizes == size)
            found[of_size] = self._neighbours(int(size)).drawn(places.point_of_unit[of_size], times, rng)
        return found

    def _neighbours(self, size: int) -> Neighbours:
        """Return the real simulations of `size` maps whose residuals resemble those of each point."""
        if size not in self._known_neighbours:
            self._known_neighbours[size] = Neighbours.of(self.x, self.real, size)
        return self._known_neighbours[size]

    @cached_property
    def _known_neighbours(self) -> dict[int, Neighbours]:
        return {}


def distinct_params(params: Array) -> tuple[Array, Index]:
    """Return the distinct parameter points (G, P) of rows (N, P), and the point of each row (N,).

    Values that differ by at most `EQUAL_PARAMS` are equal: absolutely for parameters of about 1, such as Omega_m, else
    relative to the largest magnitude of their parameter.
    """
    size = np.abs(params).max(axis=0, initial=0.0)
    scale = np.where((size > 0) & (size < 0.01), size, np.maximum(size, 1.0))
    place = np.zeros(len(params), dtype=np.intp)
    for column in (params / scale).T:
        order = np.argsort(column, kind="stable")
        steps = np.concatenate([[0], np.cumsum(np.diff(column[order]) > EQUAL_PARAMS)])
        value = np.empty(len(params), dtype=np.intp)
        value[order] = steps
        place = np.unique(place * (int(steps[-1]) + 1) + value, return_inverse=True)[1].reshape(-1).astype(np.intp)
    _, first = np.unique(place, return_index=True)
    return params[first], place

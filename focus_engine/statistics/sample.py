"""Rows of measured maps, and samples of them from which scores are computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.errors import InputError
from focus_engine.statistics.reference import Kind, Reference

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Rows:
    """The parameter point and the simulation of each of N maps.

    Attributes:
        point: (N,) 0 … G − 1, the parameter point of each map.
        unit: (N,) 0 … U − 1, what is resampled as a whole: the simulation, or the map itself.
        independent: whether each map is its own unit.
    """

    point: Index
    unit: Index
    independent: bool

    @classmethod
    def of(cls, point: Index, simulation_ids: ArrayLike | None = None) -> Rows:
        """Return rows grouped by simulation ids (N,), or independent ones.

        Raises:
            InputError: there is not one id per map, or a simulation has maps of several parameters.
        """
        if simulation_ids is None:
            return cls(point, np.arange(point.size, dtype=np.intp), independent=True)
        ids = np.asarray(simulation_ids)
        if ids.shape != point.shape:
            raise InputError(f"simulation ids have shape {ids.shape} for {point.size} maps; one id per map is needed")
        names, unit = np.unique(ids, return_inverse=True)
        unit = unit.reshape(-1).astype(np.intp)
        rows = cls(point, unit, independent=False)
        if not (rows.point_of_unit[unit] == point).all():
            bad = names[unit[np.argmax(rows.point_of_unit[unit] != point)]]
            raise InputError(f"simulation {bad} has maps of different parameters; the maps of a simulation share them")
        return rows

    @cached_property
    def units(self) -> int:
        """Number of units."""
        return int(self.unit.max()) + 1

    @cached_property
    def points(self) -> int:
        """Number of parameter points."""
        return int(self.point.max()) + 1

    @cached_property
    def point_of_unit(self) -> Index:
        """The parameter point of each unit, (U,)."""
        of = np.zeros(self.units, dtype=np.intp)
        of[self.unit] = self.point
        return of

    @cached_property
    def units_per_point(self) -> Index:
        """Number of units at each point, (G,)."""
        return np.bincount(self.point_of_unit, minlength=self.points)

    @cached_property
    def weights(self) -> Array:
        """Weight of each map in a pooled mean, (N,): points count equally, and maps within a point."""
        counts = np.bincount(self.point, minlength=self.points)
        return np.asarray(1 / (self.points * counts[self.point]), dtype=np.float64)

    def point_means(self, values: Array) -> Array:
        """Return the mean of values (N, …) at each point, (G, …)."""
        return _grouped_means(values, self.point, self._point_order)

    def unit_means(self, values: Array) -> Array:
        """Return the mean of values (N, …) in each unit, (U, …)."""
        return _grouped_means(values, self.unit, self._unit_order)

    def resampled(self, rng: np.random.Generator) -> Index:
        """Return the rows of a bootstrap sample (N,): units of each point, drawn with replacement."""
        table, counts, _ = self._units_by_point
        source = self.point_of_unit
        return self._filled(table[source, rng.integers(counts[source])], self)

    def of_points(self, points: Index) -> Index:
        """Return the rows of these `points` (G,) at the places of all points (N,).

        A point with more units than its place has loses the last; one with fewer repeats them.
        """
        table, counts, rank = self._units_by_point
        source = points[self.point_of_unit]  # the point that fills the place of each unit
        return self._filled(table[source, rank % counts[source]], self)

    def whole_units(self, places: Rows, chosen: Index) -> Index:
        """Return rows of these maps for the maps of `places`, where unit u holds the maps of unit chosen[u]."""
        return self._filled(chosen, places)

    def single_rows(self, chosen: Index, rng: np.random.Generator) -> Index:
        """Return the row of one of the maps of each of the units `chosen` (n,), drawn at random."""
        table, sizes, _ = self._rows_by_unit
        return table[chosen, rng.integers(sizes[chosen])]

    def _filled(self, chosen: Index, places: Rows) -> Index:
        """Return rows of these maps: each unit of `places` holds the maps of the chosen unit, repeated if fewer."""
        table, sizes, _ = self._rows_by_unit
        rank = places._rows_by_unit[2]
        source = chosen[places.unit]
        return np.asarray(table[source, rank % sizes[source]], dtype=np.intp)

    @property
    def ranks(self) -> Index:
        """The place of each map in its unit, (N,)."""
        return self._rows_by_unit[2]

    @cached_property
    def _rows_by_unit(self) -> tuple[Index, Index, Index]:
        """Return the rows of each unit (U, n), the number of rows (U,), and the rank of each row in its unit (N,)."""
        return _table(self.unit, self.units)

    @cached_property
    def _units_by_point(self) -> tuple[Index, Index, Index]:
        return _table(self.point_of_unit, self.points)

    @cached_property
    def _point_order(self) -> tuple[Index, Index]:
        return _order(self.point)

    @cached_property
    def _unit_order(self) -> tuple[Index, Index]:
        return _order(self.unit)


@dataclass(frozen=True, eq=False)
class Draw:
    """Rows that stand in for the maps: `real` (N_r,), `generated` (N_g,), and the source of each point (G,)."""

    real: Index
    generated: Index
    points: Index


@dataclass(frozen=True, eq=False)
class View:
    """Vectors of one side of a sample: rows `index` of `source`, at the places of `rows`."""

    source: Array
    rows: Rows
    index: Index | None = None

    @property
    def values(self) -> Array:
        """The vectors (N, V)."""
        return self.source if self.index is None else self.source[self.index]

    @cached_property
    def mean(self) -> Array:
        """Mean over all maps, each point with equal weight, (V,)."""
        weights = self.rows.weights
        if self.index is None:
            return np.asarray(weights @ self.source, dtype=np.float64)
        of_source = np.bincount(self.index, weights=weights, minlength=len(self.source))
        return np.asarray(of_source @ self.source, dtype=np.float64)

    @cached_property
    def point_means(self) -> Array:
        """Mean at each point, (G, V)."""
        return self.rows.point_means(self.values)

    @cached_property
    def residuals(self) -> Array:
        """Vectors less the mean of their point, (N, V)."""
        return np.asarray(self.values - self.point_means[self.rows.point], dtype=np.float64)

    @cached_property
    def variance(self) -> Array:
        """Variance between maps of equal parameters, pooled over points, (V,); NaN without two maps at any point."""
        freedom = len(self.rows.point) - self.rows.points
        squares = np.asarray((self.residuals**2).sum(axis=0), dtype=np.float64)
        return squares / freedom if freedom > 0 else np.full(squares.shape, np.nan)


@dataclass(frozen=True, eq=False)
class Sample:
    """What a score is computed from.

    Attributes:
        real: scaled vectors of the real maps.
        generated: scaled vectors of the generated maps.
        reference: the reference that the vectors are relative to.
        points: (G,) the points that stand in for each point in a bootstrap sample; None if they are their own.
    """

    real: View
    generated: View
    reference: Reference
    points: Index | None = None

    @property
    def centre(self) -> Array:
        """The reference at each point (G, V); a scaled vector times (ratio) it is the measured vector."""
        return self.reference.centre if self.points is None else self.reference.centre[self.points]

    @cached_property
    def refit(self) -> Array:
        """The reference that a fit to these real maps gives, relative to `centre` (ratio), (G, V)."""
        return self.reference.refitted(self.real.point_means, self.points)

    @cached_property
    def excess(self) -> Array:
        """Mean of the generated vectors (ratio) over that of the real ones, less 1, (V,).

        Measured vectors are relative to a fit to the real means, whose error raises generated over real: by T σ² / U
        for T terms and U simulations that scatter by σ. Vectors drawn for a null are therefore divided by a fit to
        them. A bootstrap sample is not: with points repeated, a fit would be far worse.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.points is None:
                real, generated = ((one.point_means / self.refit).mean(axis=0) for one in (self.real, self.generated))
            else:
                real, generated = self.real.mean, self.generated.mean
            return np.asarray(generated / real - 1, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Scaled:
    """Vectors relative to the mean of real maps at their parameters.

    For kind `ratio` v / c, for `difference` (v − c) / s, where c is the reference at the parameters of the map and s
    the scatter of real maps at fixed parameters.

    Attributes:
        real: (N_r, V) scaled vectors of the real maps.
        generated: (N_g, V) the same of the generated maps.
        pool: (N_r, V) as `real`, with the spread between simulations that the fit of the reference removed restored.
        rows: places of the real and of the generated maps.
        reference: the reference.
        kind: `ratio` or `difference`.
        spread: (V,) s for `difference`, 1 for `ratio`.
    """

    real: Array
    generated: Array
    pool: Array
    rows: tuple[Rows, Rows]
    reference: Reference
    kind: Kind
    spread: Array = field(repr=False)

    @classmethod
    def of(
        cls,
        real: Array,
        generated: Array,
        real_rows: Rows,
        generated_rows: Rows,
        reference: Reference,
        kind: Kind,
        sources: float,
    ) -> Scaled:
        """Scale both by the reference at the points of their maps; nulls draw from `sources` simulations near each."""
        centre = reference.centre
        ones = np.ones(real.shape[1])
        if kind == "ratio":
            divisor = np.where(centre == 0, 1, centre)
            scaled = real / divisor[real_rows.point], generated / divisor[generated_rows.point]
            spread = ones
        else:
            apart = real - centre[real_rows.point]
            freedom = max(len(real) - reference.terms, 1)
            spread = np.sqrt((apart**2).sum(axis=0) / freedom)
            spread = np.where(spread > 0, spread, 1)
            scaled = apart / spread, (generated - centre[generated_rows.point]) / spread
        pool = _inflated(scaled[0], real_rows, reference, sources)
        return cls(*scaled, pool, (real_rows, generated_rows), reference, kind, spread)

    def transformed(self, change: Callable[[Array], Array]) -> Scaled:
        """Return these vectors with a function (N, V) ▶ (N, W) applied to each row; the reference stays."""
        return replace(self, real=change(self.real), generated=change(self.generated), pool=change(self.pool))

    @cached_property
    def scatter(self) -> Array:
        """Standard deviation of the scaled real vectors between maps of equal parameters, (V,); NaN if unknown.

        Where the reference is not known, only the scatter within simulations is, which is too small by what the maps of
        a simulation share.
        """
        return self._scatter(self.sample().real, self.reference.terms)

    @cached_property
    def generated_scatter(self) -> Array:
        """The same of the scaled generated vectors, which contains a wrong response to the parameters, (V,)."""
        return self._scatter(self.sample().generated, 1)

    def _scatter(self, view: View, terms: int) -> Array:
        if not self.reference.known:
            return np.sqrt(view.variance)
        freedom = max(len(view.values) - terms, 1)
        return np.asarray(np.sqrt(((view.values - view.values.mean(axis=0)) ** 2).sum(axis=0) / freedom))

    def sample(self, draw: Draw | None = None) -> Sample:
        """Return the measured vectors, or those of a bootstrap draw."""
        if draw is None:
            return Sample(View(self.real, self.rows[0]), View(self.generated, self.rows[1]), self.reference)
        real, generated = View(self.real, self.rows[0], draw.real), View(self.generated, self.rows[1], draw.generated)
        return Sample(real, generated, self.reference, draw.points)

    def perfect(self, draw: Draw) -> Sample:
        """Return vectors of real simulations and of a perfect generator."""
        real, generated = View(self.pool, self.rows[0], draw.real), View(self.pool, self.rows[1], draw.generated)
        return Sample(real, generated, self.reference)


def _inflated(values: Array, rows: Rows, reference: Reference, sources: float) -> Array:
    """Return values with the deviations between units that fitting and resampling remove restored.

    A fit of T terms to U units leaves (U − T) / U of the variance, the mean of a point of n units (n − 1) / n, and a
    resampling from S `sources` (S − 1) / S of that. Deviations of the means of units are scaled: those of logarithms
    where all are positive, so that values stay so.
    """
    own, left = rows.units_per_point[rows.point_of_unit], rows.units - reference.terms
    if left < 1 or sources < 2:
        return values
    removed = rows.units / left if reference.features is not None else own / np.maximum(own - 1, 1)
    scale = np.broadcast_to(np.sqrt(removed * sources / (sources - 1)), own.shape)[:, None]
    means = rows.unit_means(values)
    positive = (means > 0).all(axis=0)
    logs = np.log(np.where(positive, means, 1))
    factors = np.exp((scale - 1) * (logs - logs.mean(axis=0)))
    shifts = np.where(positive, 0, (scale - 1) * (means - means.mean(axis=0)))
    return np.asarray(values * factors[rows.unit] + shifts[rows.unit], dtype=np.float64)


def _order(group: Index) -> tuple[Index, Index]:
    """Return the rows sorted by group, and where each group begins."""
    order = np.argsort(group, kind="stable").astype(np.intp)
    return order, np.searchsorted(group[order], np.arange(int(group.max()) + 1)).astype(np.intp)


def _grouped_means(values: Array, group: Index, order: tuple[Index, Index]) -> Array:
    counts = np.bincount(group).reshape(-1, *([1] * (values.ndim - 1)))
    return np.asarray(np.add.reduceat(values[order[0]], order[1], axis=0) / counts, dtype=np.float64)


def _table(group: Index, count: int) -> tuple[Index, Index, Index]:
    """Return the members of each group (count, n), padded by repetition; their number; each member's rank."""
    order, starts = _order(group)
    sizes = np.bincount(group, minlength=count).astype(np.intp)
    columns = np.arange(int(sizes.max()))[None, :] % sizes[:, None]
    table = order[starts[:, None] + columns]
    rank = np.empty(group.size, dtype=np.intp)
    rank[order] = np.arange(group.size) - np.repeat(starts, sizes)
    return table, sizes, rank

"""Comparison of generated with real maps at equal parameters, by every statistic of the table.

A score alone means nothing, because the scatter between universes is large and not Gaussian. Each score is reported
with its uncertainty and with its null: what a perfect generator scores with as many maps and simulations (see
`focus_engine.statistics.design`). The verdict is corrected for the number of scores.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focus_engine.config.scores import Score
from focus_engine.config.statistic_spec import StatisticSpec
from focus_engine.config.statistics import STATISTICS, statistics_of
from focus_engine.errors import FocusError, InputError
from focus_engine.events.table import DataProgress
from focus_engine.progress import drained
from focus_engine.statistics.camels_scatter import camels_scatter_like
from focus_engine.statistics.design import Design
from focus_engine.statistics.map_stack import MapStack, as_channels, physical_chunks
from focus_engine.statistics.pdf import PdfComparison
from focus_engine.statistics.power import DENSITY_LABEL, FIELD_LABEL, PowerComparison, with_camels_scatter
from focus_engine.statistics.protocol import Result, plain, statistic_of
from focus_engine.statistics.simulations import DRAWS
from focus_engine.statistics.slab import SlabMeanComparison
from focus_engine.statistics.verdict import FEW, SHARED, Verdict, judged, verdict_of
from focus_engine.units import SURFACE_DENSITY

ResultT = TypeVar("ResultT", bound=Result)
Results = Mapping[str, Result]


@dataclass(frozen=True)
class Evaluation:
    """The report of `focus evaluate` and of `focus judge`.

    Attributes:
        results: the result of each statistic that the maps allow, by its name in the table, of the first field.
        n_maps: number of real maps.
        n_generated: number of generated maps.
        n_simulations: number of simulations that the real maps belong to.
        n_points: number of parameter points.
        box_size: side of the maps along the last axis [Mpc/h].
        seed: seed of all draws.
        physical: whether the maps are a density rather than a normalised field.
        shared_field: whether simulations share their initial field, which leaves errors and the verdict unknown.
        others: the results of the other fields by name, and those of pairs of fields, such as `Mcdm x HI`.
        field: name of the first field; empty if there is one.
    """

    results: Results
    n_maps: int
    n_simulations: int
    box_size: float
    seed: int
    physical: bool = True
    n_generated: int = 0
    n_points: int = 0
    shared_field: bool = False
    others: Mapping[str, Results] = field(default_factory=dict)
    field: str = ""

    @property
    def counts(self) -> str:
        """How many maps, simulations and parameter points it is of, in words."""
        truth = f"{_number(self.n_maps, 'real map')} of {_number(self.n_simulations, 'simulation')}"
        points = _number(self.n_points, "parameter point")
        shared = ", of one initial field" if self.shared_field else ""
        return f"{_number(self.n_generated, 'generated map')} against {truth}, at {points}{shared}"

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

    @cached_property
    def _scores(self) -> tuple[Score, ...]:
        of_fields = {self.field: self.results, **self.others}
        return judged([score for name, results in of_fields.items() for score in _scores_of(name, results)])

    def scores(self) -> tuple[Score, ...]:
        """Return every score of every field, in the order of the table; None where one can't be computed."""
        return self._scores

    @property
    def verdict(self) -> Verdict:
        """What all scores together say."""
        return verdict_of(self.scores(), SHARED if self.shared_field else FEW)

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `focus evaluate --json`: plain floats and lists, null for unknown values."""
        numbers = {
            "of": DENSITY_LABEL if self.physical else FIELD_LABEL,
            "n_maps": self.n_maps,
            "n_generated": self.n_generated,
            "n_simulations": self.n_simulations,
            "n_points": self.n_points,
            "shared_field": self.shared_field,
            "box_size": plain(self.box_size),
            "halvings": DRAWS,
            "seed": self.seed,
            "scores": [plain(score.to_dict()) for score in self.scores()],
            "verdict": plain(self.verdict.to_dict()),
        }
        others = {name: _documents(results) for name, results in self.others.items()}
        return _documents(self.results) | numbers | ({"field": self.field, "fields": others} if others else {})

    def _result(self, name: str, kind: type[ResultT]) -> ResultT:
        result = self.results.get(name)
        if not isinstance(result, kind):
            raise InputError(f"{name} is not defined for a {FIELD_LABEL}; measured: {', '.join(self.results)}")
        return result


def _documents(results: Results) -> dict[str, Any]:
    found = {name: results.get(name) for name in _specs_of(results)}
    return {name: None if result is None else result.to_dict() for name, result in found.items()}


def _specs_of(results: Results) -> dict[str, StatisticSpec]:
    """Return the statistics that the maps of these results could have: of one field, or of a pair."""
    return statistics_of(pair=any(STATISTICS[name].of_pair for name in results))


def _scores_of(name: str, results: Results) -> Iterable[Score]:
    for spec in _specs_of(results).values():
        for score in spec.scores_in(results.get(spec.name)):
            yield replace(score, field=name)


def evaluate_maps(
    real: ArrayLike,
    generated: ArrayLike,
    *,
    real_simulation_ids: ArrayLike,
    box_size: float,
    params: ArrayLike | None = None,
    physical: bool = True,
    seed: int = 0,
    fields: Sequence[str] = (),
) -> Evaluation:
    """Compare one generated map for each real map, at the same parameters.

    Args:
        real: maps (N, H, W) or (N, C, H, W).
        generated: maps of the same shape as `real`; row i has the parameters of real row i.
        real_simulation_ids: (N,) id of the simulation of each real map.
        box_size: side along the last axis [Mpc/h].
        params: (N, P) parameters of each map; without them the null of most scores is unknown.
        physical: whether the maps are a density rather than a normalised field.
        seed: seed of all draws.
        fields: names of the C fields.

    Raises:
        InputError: shapes or ids do not match, or a real map is not physical or not finite.
        FocusError: a generated map is not finite, has negative pixels or is zero everywhere.
    """
    real, generated = np.asarray(real), np.asarray(generated)
    if real.shape != generated.shape:
        raise InputError(
            f"real maps have shape {real.shape}, generated ones {generated.shape}: each generated map is "
            "compared with the real one of the same row"
        )
    ids = np.asarray(real_simulation_ids)
    if ids.shape != real.shape[:1]:
        raise InputError(f"simulation ids have shape {ids.shape} for {len(real)} maps; one id per map is needed")
    return judge(real, generated, Design.paired(ids, params, seed), box_size, physical=physical, fields=fields)


def judging(
    real: ArrayLike,
    generated: ArrayLike,
    design: Design,
    box_size: float,
    *,
    physical: bool = True,
    fields: Sequence[str] = (),
    units: Sequence[str] = (),
    training: NDArray[np.generic] | None = None,
) -> Generator[DataProgress, None, Evaluation]:
    """Compare generated with real maps; yield the statistic in progress and return the evaluation.

    Args:
        real: maps (N_r, H, W) or (N_r, C, H, W).
        generated: maps (N_g, H, W) or (N_g, C, H, W).
        design: parameter point and simulation of each row of both.
        box_size: side along the last axis [Mpc/h].
        physical: whether the maps are a density rather than a normalised field.
        fields: names of the C fields; that of a single one is not shown.
        units: units of the C fields; left out, they are surface densities.
        training: maps (N_t, C, H, W) that the generator was trained on, for its memory of them.

    Raises:
        InputError: shapes or rows do not match, or a real map is not physical or not finite.
        FocusError: a generated map is not finite, has negative pixels or is zero everywhere.
    """
    truth, drawn = as_channels(real, "real maps"), as_channels(generated, "generated maps")
    _check_shapes(truth, drawn, design)
    names = _names(fields, truth.shape[1])
    stacks = [_stacks(truth, drawn, channel, box_size, physical, training) for channel in range(truth.shape[1])]
    found: dict[str, Results] = {}
    of_fields = zip(names, fields or names, units or [SURFACE_DENSITY] * len(names), stacks, strict=True)
    for name, field_name, unit, pair in of_fields:
        results = yield from _results(*pair, design, f"{name}: " if name else "")
        found[name] = _beside_camels(results, pair[0], field_name, unit)
    pairs = yield from _pairs(truth, drawn, names, stacks, design)
    first, *rest = names
    return Evaluation(
        found[first],
        n_maps=len(truth),
        n_generated=len(drawn),
        n_simulations=design.real.units,
        n_points=design.count,
        shared_field=design.shared_field,
        box_size=float(box_size),
        seed=design.seed,
        physical=physical,
        others={name: found[name] for name in rest} | pairs,
        field=first if rest else "",
    )


judge = drained(judging)
"""`judging` without its progress."""


def _pairs(
    real: NDArray[np.generic],
    generated: NDArray[np.generic],
    names: Sequence[str],
    stacks: Sequence[tuple[MapStack, MapStack]],
    design: Design,
) -> Generator[DataProgress, None, dict[str, Results]]:
    """Return the results of statistics of two fields for each pair of fields."""
    found: dict[str, Results] = {}
    together = list(combinations(range(len(names)), 2))
    for done, (one, other) in enumerate(together):
        yield DataProgress(what=f"measuring {names[one]} x {names[other]}", done=done, total=len(together))
        truth, drawn = stacks[one]
        pair = replace(truth, partner=real[:, other]), replace(drawn, partner=generated[:, other])
        fitting = [spec for spec in statistics_of(pair=True).values() if spec.fits(physical=truth.physical)]
        sources = dict.fromkeys(spec.measured_by or spec.name for spec in fitting)
        measured = {source: _measured(STATISTICS[source], *pair) for source in sources}
        found[f"{names[one]} x {names[other]}"] = {
            spec.name: statistic_of(spec).compare(*measured[spec.measured_by or spec.name], design) for spec in fitting
        }
    return found


def _names(fields: Sequence[str], channels: int) -> tuple[str, ...]:
    """Return the name of each field; a single field has none, so that its scores are not named after it."""
    if fields and len(fields) != channels:
        raise InputError(f"{len(fields)} names are given for {channels} fields")
    if channels == 1:
        return ("",)
    return tuple(fields) or tuple(f"field {channel}" for channel in range(channels))


def _check_shapes(real: NDArray[np.generic], generated: NDArray[np.generic], design: Design) -> None:
    if real.shape[1:] != generated.shape[1:]:
        raise InputError(
            f"real maps have shape {real.shape}, generated ones {generated.shape}: channels and pixels must be equal"
        )
    for maps, rows, what in ((real, design.real, "real"), (generated, design.generated, "generated")):
        if len(maps) != rows.point.size:
            raise InputError(f"{len(maps)} {what} maps are given and {rows.point.size} are placed")


def _stacks(
    real: NDArray[np.generic],
    generated: NDArray[np.generic],
    channel: int,
    box_size: float,
    physical: bool,
    training: NDArray[np.generic] | None,
) -> tuple[MapStack, MapStack]:
    """Return the stacks of one channel, checked."""
    known = None if training is None else training[:, channel]
    truth = MapStack(real[:, channel], box_size, physical, "real map", known)
    drawn = MapStack(generated[:, channel], box_size, physical, "generated map", known)
    if physical:
        _check_densities(truth, drawn)
    return truth, drawn


def _check_densities(real: MapStack, generated: MapStack) -> None:
    for _ in physical_chunks(real.values, real.what):
        pass
    try:
        for _ in physical_chunks(generated.values, generated.what):
            pass
    except InputError as error:
        raise FocusError(str(error)) from error


def _results(
    real: MapStack, generated: MapStack, design: Design, field: str
) -> Generator[DataProgress, None, dict[str, Result]]:
    """Return the result of each statistic that fits; a measurement that several share is made once."""
    measured: dict[str, tuple[Any, Any]] = {}
    results = {}
    have_training = real.training is not None
    fitting = [one for one in statistics_of(pair=False).values() if one.fits(physical=real.physical)]
    fitting = [one for one in fitting if have_training or not one.needs_training]
    for done, spec in enumerate(fitting):
        yield DataProgress(what=f"measuring {field}{spec.title}", done=done, total=len(fitting))
        source = spec.measured_by or spec.name
        if source not in measured:
            measured[source] = _measured(STATISTICS[source], real, generated)
        results[spec.name] = statistic_of(spec).compare(*measured[source], design)
    return results


def _beside_camels(results: dict[str, Result], real: MapStack, field_name: str, unit: str) -> dict[str, Result]:
    """Return the results, P(k) with the scatter of CAMELS CV where the maps are like those."""
    power = results.get("power_spectrum")
    if isinstance(power, PowerComparison) and real.physical:
        scatter = camels_scatter_like(field_name, unit, real.box_size, real.values.shape[1:])
        if scatter is not None:
            return {**results, "power_spectrum": with_camels_scatter(power, scatter)}
    return results


def _measured(spec: StatisticSpec, real: MapStack, generated: MapStack) -> tuple[Any, Any]:
    statistic = statistic_of(spec)
    bins = statistic.bins(real, generated)
    return statistic.measure(real, bins), statistic.measure(generated, bins)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

"""The event of statistics measured during training, generic over the table of statistics, and its P(k) for drawing.

A statistic that is measured during training later adds measures and curves under its own names; the event stays.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

from focus_engine.events.event import Event, as_tuples

Number = float | None
Numbers = tuple[Number, ...]

POWER = "power_spectrum"
"""Name of P(k) in the table of statistics (focus_engine/config/statistics.py)."""
POWER_ERROR = "power_error"
"""Name of its first score there."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The value of one score.

    Attributes:
        name: key of the score in the table of statistics.
        field: field that was measured; empty if the maps have one.
        band: range of wavenumbers that it covers, in words; null for all that are scored.
        k: wavenumber that it belongs to [h/Mpc]; null for a score of many.
        value: its value, a fraction or in the statistic's own unit.
        error: standard error of the value.
        null: its mean for a perfect generator measured with as many maps.
        null_spread: standard deviation of that.
        p_value: probability that a perfect generator scores at least as far from the null.
    """

    name: str
    field: str = ""
    band: str | None = None
    k: Number = None
    value: Number = None
    error: Number = None
    null: Number = None
    null_spread: Number = None
    p_value: Number = None


@dataclass(frozen=True, kw_only=True)
class MeasuredCurve:
    """A statistic along its axis, in the units of the table of statistics.

    Attributes:
        name: name of the statistic in the table.
        field: field that was measured; empty if the maps have one.
        x: position of each bin; the wavenumber k [h/Mpc] for P(k).
        reference: mean expected of real maps at the parameters of the samples.
        scatter: standard deviation of one real map about the reference: at fixed parameters if that is a trend, else
            over the set.
        generated: mean of the samples.
        ratio: mean of the samples, each relative to the reference at its parameters.
        ratio_error: its standard error, that of the reference included.
        limit: position beyond which nothing is resolved, such as the Nyquist wavenumber [h/Mpc].
    """

    name: str
    x: tuple[float, ...]
    reference: Numbers
    scatter: Numbers
    generated: Numbers
    ratio: Numbers
    ratio_error: Numbers
    limit: Number = None
    field: str = ""

    def __post_init__(self) -> None:
        if len({len(one) for one in vars(self).values() if isinstance(one, tuple)}) > 1:
            raise ValueError(f"the curve {self.name} needs one value for each position")


@dataclass(frozen=True, kw_only=True)
class StatisticsMeasured(Event):
    """Statistics of samples drawn during training at the parameters of validation maps.

    Attributes:
        epoch: epoch of the weights.
        n_maps: number of samples measured.
        n_points: number of parameter points that they were drawn at.
        reference: "trend": mean of the training maps as a smooth function of the parameters; "validation": mean of
            the validation maps, because there are too few training simulations for a fit.
        reference_error: standard error of the reference of P(k), median over the scored wavenumbers (a fraction).
        normalised: whether the maps are a normalised field (`data.stored_as: unknown`), not a density.
        measures: scores, each an object with the fields of `Measure`; of several fields one after the other.
        curves: curves to draw, each an object with the fields of `MeasuredCurve`; of several fields likewise.
        shared_field: whether the simulations of the reference share their initial field, as those of a 1P set do:
            errors and nulls are unknown then.
    """

    type: ClassVar[str] = "statistics"
    epoch: int
    n_maps: int
    n_points: int | None
    reference: Literal["trend", "validation"]
    reference_error: Number
    measures: tuple[Measure, ...]
    curves: tuple[MeasuredCurve, ...]
    normalised: bool = False
    shared_field: bool = False

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Self:
        """Return the event in a parsed line. Raises TypeError, KeyError or ValueError when a part is not whole."""
        parts = {"measures": _parts(Measure, row["measures"]), "curves": _parts(MeasuredCurve, row["curves"])}
        return super().from_dict(row | parts)

    def measure(self, name: str) -> Measure | None:
        """Return the score named `name`, of the first field; None if it was not measured."""
        return next((one for one in self.measures if one.name == name), None)

    def curve(self, name: str) -> MeasuredCurve | None:
        """Return the curve of the statistic named `name`, of the first field; None if it was not measured."""
        return next((one for one in self.curves if one.name == name), None)

    @cached_property
    def power(self) -> "LivePower | None":
        """P(k) of the first field as figures and screens draw it, with that of the others; None if not measured."""
        scores = {one.field: one for one in reversed(self.measures) if one.name == POWER_ERROR}
        curves = (one for one in self.curves if one.name == POWER)
        fields = [LivePower.of(self, one, scores.get(one.field, Measure(name=""))) for one in curves]
        return replace(fields[0], others=tuple(fields[1:])) if fields else None


@dataclass(frozen=True, kw_only=True)
class LivePower:
    """P(k) of samples during training, with the field names of an evaluation's P(k).

    Attributes:
        epoch: epoch of the weights.
        time: when it was measured [Unix seconds].
        k: mean wavenumber of each bin [h/Mpc].
        real_mean: mean expected of real maps [(Mpc/h)^2].
        real_std: scatter of one real map [(Mpc/h)^2].
        generated_mean: mean of the samples [(Mpc/h)^2].
        ratio: mean of the samples relative to the real maps.
        ratio_std: its standard error.
        k_nyquist: Nyquist wavenumber [h/Mpc].
        score: median |ratio - 1| below 0.8 k_nyquist, with its error and null.
        n_maps: number of samples.
        reference_error: standard error of `real_mean`, a fraction.
        fixed_parameters: whether `real_std` is the scatter at fixed parameters, rather than over the set.
        normalised: whether the maps are a normalised field, not a density.
        shared_field: whether the real maps share their initial field, so that errors are unknown.
        field: name of the field; empty if the maps have one.
        others: P(k) of the other fields.
    """

    epoch: int
    time: float
    k: tuple[float, ...]
    real_mean: Numbers
    real_std: Numbers
    generated_mean: Numbers
    ratio: Numbers
    ratio_std: Numbers
    k_nyquist: float
    score: Measure
    n_maps: int
    reference_error: Number
    fixed_parameters: bool
    normalised: bool
    shared_field: bool = False
    field: str = ""
    others: "tuple[LivePower, ...]" = ()

    @property
    def median_abs_error(self) -> Number:
        """The value of the score."""
        return self.score.value

    @property
    def scores(self) -> dict[str, Measure]:
        """The score by its name in an evaluation."""
        return {"median_abs_error": self.score}

    @property
    def fixed_std(self) -> Numbers | None:
        """Scatter of one real map at fixed parameters [(Mpc/h)^2]; None if only that over the set is known."""
        return self.real_std if self.fixed_parameters else None

    @classmethod
    def of(cls, event: StatisticsMeasured, curve: MeasuredCurve, score: Measure) -> "LivePower":
        """Return the P(k) of an event."""
        return cls(
            epoch=event.epoch,
            time=event.time,
            k=curve.x,
            real_mean=curve.reference,
            real_std=curve.scatter,
            generated_mean=curve.generated,
            ratio=curve.ratio,
            ratio_std=curve.ratio_error,
            k_nyquist=curve.limit or max(curve.x, default=1.0),
            score=score,
            n_maps=event.n_maps,
            reference_error=event.reference_error,
            fixed_parameters=event.reference == "trend",
            normalised=event.normalised,
            shared_field=event.shared_field,
            field=curve.field,
        )


def _parts(kind: type[Measure] | type[MeasuredCurve], rows: Any) -> tuple[Any, ...]:  # noqa: ANN401  (JSON)
    """Return the parts of an event from parsed JSON, skipping unknown fields."""
    names = [one.name for one in fields(kind)]
    return tuple(kind(**{name: as_tuples(row[name]) for name in names if name in row}) for row in rows)

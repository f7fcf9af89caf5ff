"""What a comparison of samples found, read from its JSON document and put into tables and curves. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from focus_tui.charts.overlay import NamedCurve
from focus_tui.terminal import cut
from focus_tui.view.run_view import floats
from focus_tui.view.words import percent


@dataclass(frozen=True)
class Cost:
    """A number of steps: network evaluations and seconds per map, and the P(k) error that they buy."""

    steps: int
    nfe: int
    seconds_per_map: float
    power_error: float | None


@dataclass(frozen=True)
class ComparedModel:
    """What is shown of one model.

    Attributes:
        name: of its experiment.
        sampler: with its number of steps, in words.
        k: [h/Mpc].
        ratio: P_generated / P_real.
        k_nyquist: [h/Mpc].
        power_error: median |ratio - 1|.
        pdf_w1: in standard deviations of log10.
        slab_bias: of the mean of a map.
        slab_scatter: of the mean of a map; None for a single one.
        costs: with few steps first.
        own: the cost at its own number of steps.
    """

    name: str
    sampler: str
    k: tuple[float, ...]
    ratio: tuple[float | None, ...]
    k_nyquist: float
    power_error: float | None
    pdf_w1: float | None
    slab_bias: float | None
    slab_scatter: float | None
    costs: tuple[Cost, ...]
    own: Cost


@dataclass(frozen=True)
class Report:
    """A comparison of samples.

    Attributes:
        models: in the order in which they were named.
        n_maps: test maps compared.
        n_simulations: of how many simulations.
        device: on what it was timed.
        truths: what real maps score against real maps in P(k), PDF, bias and scatter, by halves of the simulations
            and by halves of the maps within each; None where unknown.
    """

    models: tuple[ComparedModel, ...]
    n_maps: int
    n_simulations: int
    device: str
    truths: tuple[tuple[float | None, ...], tuple[float | None, ...]]


def read_comparison(document: Mapping[str, Any]) -> Report:
    """Return the report in a document of `focus compare` (its `samples`).

    Raises:
        KeyError, TypeError, ValueError, StopIteration: it is no such document.
    """
    first = document["runs"][0]
    power, pdf, slab = first["power_spectrum"], first["pdf"], first["slab_mean"]
    return Report(
        models=tuple(_model(run) for run in document["runs"]),
        n_maps=int(document["n_maps"]),
        n_simulations=int(document["n_simulations"]),
        device=str(document["device"]),
        truths=(
            (power["true_vs_true_median_abs_error"], pdf["true_vs_true_w1"], None, None),
            (
                power["true_vs_true_same_simulation"],
                pdf["true_vs_true_same_simulation"],
                slab["true_vs_true_bias"],
                slab["true_vs_true_scatter"],
            ),
        ),
    )


def _model(run: Mapping[str, Any]) -> ComparedModel:
    power, sampling = run["power_spectrum"], run["sampling"]
    costs = tuple(
        Cost(int(one["steps"]), int(one["nfe"]), float(one["seconds_per_map"]), one["power_error"])
        for one in run["steps"]
    )
    return ComparedModel(
        name=str(run["name"]),
        sampler=f"{sampling['sampler']} {sampling['steps']}",
        k=tuple(power["k"]),
        ratio=tuple(power["ratio"]),
        k_nyquist=float(power["k_nyquist"]),
        power_error=power["median_abs_error"],
        pdf_w1=run["pdf"]["w1"],
        slab_bias=run["slab_mean"]["bias"],
        slab_scatter=run["slab_mean"]["scatter"],
        costs=costs,
        own=next(one for one in costs if one.steps == sampling["steps"]),
    )


HEADINGS: tuple[str, ...] = ("", "sampler", "calls/map", "s/map", "P(k)", "PDF W1", "slab bias", "scatter")
"""Headings of `score_rows`."""


def score_rows(report: Report) -> list[tuple[str, ...]]:
    """Return the scores, a row a model, and below them what real maps score against real maps."""
    rows = [HEADINGS]
    for one in report.models:
        scores = _scores((one.power_error, one.pdf_w1, one.slab_bias, one.slab_scatter))
        rows.append((one.name, one.sampler, str(one.own.nfe), f"{one.own.seconds_per_map:.2g}", *scores))
    for words, truths in zip(("true vs true", "  same simulations"), report.truths, strict=True):
        rows.append((words, "", "", "", *_scores(truths)))
    return rows


def _scores(values: Sequence[float | None]) -> tuple[str, ...]:
    power, w1, bias, scatter = values
    return percent(power), "-" if w1 is None else f"{w1:.3f}", percent(bias), percent(scatter)


def cost_rows(report: Report) -> list[tuple[str, ...]]:
    """Return P(k) error and cost against the number of steps, three columns a model."""
    steps = sorted({cost.steps for one in report.models for cost in one.costs})
    names = [cut(one.name, 24) for one in report.models]
    rows = [("steps", *(word for name in names for word in ("calls", "s/map", name)))]
    for number in steps:
        row = [str(number)]
        for one in report.models:
            cost = next((cost for cost in one.costs if cost.steps == number), None)
            row += (
                ["-"] * 3 if cost is None else [str(cost.nfe), f"{cost.seconds_per_map:.2g}", percent(cost.power_error)]
            )
        rows.append(tuple(row))
    return rows


def cost_curves(report: Report, what: str) -> list[NamedCurve]:
    """Return the P(k) error [%] of each model against `nfe` or `seconds_per_map`."""
    curves = []
    for place, one in enumerate(report.models):
        known = [cost for cost in one.costs if cost.power_error]
        error = [100 * cost.power_error for cost in known if cost.power_error]
        curves.append(NamedCurve(place, floats([getattr(cost, what) for cost in known]), floats(error)))
    return curves

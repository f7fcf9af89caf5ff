"""Panels of figures: P(k) with its ratio, the one-point PDF, slab means, rows of maps.

Each function draws a frozen result into a part of a figure that pages.py lays out and saves. Every axis states its
unit. Curves are black (real) and orange (generated), which are distinguishable with every kind of colour vision. The
maps of a figure share one colour scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from focus_engine.events.statistics import Measure
from focus_engine.statistics.camels_scatter import FIELD, SOURCE
from focus_engine.statistics.pdf import PdfComparison
from focus_engine.statistics.significance import Estimate
from focus_engine.statistics.slab import SlabMeanComparison
from focus_engine.units import NORMALISED

Array = NDArray[np.float64]
Curve = Array | Sequence[float | None]
"""Values along a curve; unknown values are NaN or None."""

SURFACE_DENSITY = r"$(M_\odot/h)\,/\,(\mathrm{Mpc}/h)^2$"
MAP_COLOURS = "magma"
MAX_COLUMNS = 6

# Okabe & Ito (2008), distinguishable with every kind of colour vision.
REAL, GENERATED, BLUE, GREEN, RED = "#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00"
BAND = "#B8BEC6"
FAINT = "#8A9099"

BODY = 10.0
"""Text size [pt] of a figure for the screen; the sizes of other text and lines are relative to it."""

STYLE: dict[Any, Any] = {
    "figure.dpi": 150,
    "font.size": BODY,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.direction": "out",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.solid_capstyle": "round",
    "mathtext.fontset": "dejavusans",
}
_PARAMETER_SYMBOLS = {
    "Omega_m": r"$\Omega_{\rm m}$",
    "sigma_8": r"$\sigma_8$",
    "A_SN1": r"$A_{\rm SN1}$",
    "A_AGN1": r"$A_{\rm AGN1}$",
    "A_SN2": r"$A_{\rm SN2}$",
    "A_AGN2": r"$A_{\rm AGN2}$",
}


class PowerCurves(Protocol):
    """The fields that a P(k) figure needs, of a `PowerComparison` or of a `LivePower`."""

    @property
    def k(self) -> Curve: ...  # noqa: D102
    @property
    def real_mean(self) -> Curve: ...  # noqa: D102
    @property
    def real_std(self) -> Curve: ...  # noqa: D102
    @property
    def generated_mean(self) -> Curve: ...  # noqa: D102
    @property
    def ratio(self) -> Curve: ...  # noqa: D102
    @property
    def ratio_std(self) -> Curve: ...  # noqa: D102
    @property
    def k_nyquist(self) -> float: ...  # noqa: D102
    @property
    def median_abs_error(self) -> float | None: ...  # noqa: D102


def points(size: float) -> float:
    """Return `size` [pt] scaled with the text size of the figure, so that proportions are equal at any size."""
    return float(size * mpl.rcParams["font.size"] / BODY)


def power_panels(figure: Figure | SubFigure, curves: PowerCurves, title: str) -> None:
    """Draw P(k) of generated maps with the real mean and its scatter, and their ratio below.

    The label of a normalised field, whose unit is unknown, says so.
    """
    spectrum, ratio_axes = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    k, real, generated = numbers(curves.k), numbers(curves.real_mean), numbers(curves.generated_mean)
    fixed = getattr(curves, "fixed_std", None)
    low, high = _band(real, numbers(curves.real_std if fixed is None else fixed))
    spectrum.fill_between(k, low, high, color=BAND, alpha=0.6, lw=0, label=band_label(curves))
    _camels_band(spectrum, curves, k, real)
    spectrum.plot(k, real, color=REAL, lw=points(1.8), label="real mean")
    spectrum.plot(k, generated, color=GENERATED, lw=points(1.8), ls=(0, (4, 1.2)), label="generated mean")
    of_field = getattr(curves, "normalised", False)
    label = "$P(k)$ of the normalised field" if of_field else r"$P(k)$  [$(\mathrm{Mpc}/h)^2$]"
    spectrum.set(xscale="log", ylabel=label, title=title)
    spectrum.set_yscale("log")
    shown = np.concatenate([real, generated])
    spectrum.set_ylim(np.nanmin(shown) / 2.5, np.nanmax(np.concatenate([high, generated])) * 1.8)
    spectrum.legend(loc="lower left")
    ratio, spread = numbers(curves.ratio), numbers(curves.ratio_std)
    ratio_axes.axhspan(0.9, 1.1, color=BAND, alpha=0.35, lw=0)
    ratio_axes.axhspan(0.95, 1.05, color=BAND, alpha=0.6, lw=0)
    ratio_axes.axhline(1, color=REAL, lw=points(1))
    if np.isfinite(spread).any():
        ratio_axes.fill_between(k, ratio - spread, ratio + spread, color=GENERATED, alpha=0.25, lw=0)
    ratio_axes.plot(k, ratio, color=GENERATED, lw=points(1.6))
    reach = float(np.clip(np.nanmax(np.abs(ratio - 1)) * 1.15, 0.15, 1.0))
    ratio_axes.set(ylim=(1 - reach, 1 + reach), xlabel=r"$k$  [$h/\mathrm{Mpc}$]", ylabel="generated / real")
    ratio_axes.text(0.01, 0.03, "bands: ±5 %, ±10 %", transform=ratio_axes.transAxes, fontsize=points(8), color=FAINT)
    for axes in (spectrum, ratio_axes):
        axes.axvline(curves.k_nyquist, color=FAINT, lw=points(1), ls=":")
        axes.set_xlim(k[0] / 1.08, curves.k_nyquist * 1.25)
    spectrum.annotate(
        r"$k_{\rm Nyquist}$",
        (curves.k_nyquist, 0.97),
        (points(3), 0),
        ("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        color=FAINT,
        fontsize=points(9),
        rotation=90,
    )
    plain_log_ticks(ratio_axes)
    _score(spectrum, curves)


def _camels_band(axes: Axes, curves: PowerCurves, k: Array, real: Array) -> None:
    """Draw ±1σ of CAMELS CV about the real mean as two dashed lines, where the maps are like those of CAMELS."""
    std = getattr(curves, "camels_cv_std", None)
    if std is None:
        return
    for edge, label in zip(_band(real, numbers(std)), (None, f"±1σ of {FIELD} in {SOURCE}"), strict=True):
        axes.plot(k, edge, color=BLUE, lw=points(1.1), ls=(0, (1.5, 1.5)), label=label)


def band_label(curves: PowerCurves) -> str:
    """Return the name of the band: the scatter at fixed parameters, or over the set where it is all that is known."""
    known = getattr(curves, "fixed_std", None) is not None
    return "real ±1σ at fixed parameters" if known else "real ±1σ over the set"


def _score(axes: Axes, curves: PowerCurves) -> None:
    """Write the median error, its standard error and the score of a perfect generator into the panel."""
    value = curves.median_abs_error
    if value is None or not np.isfinite(value):
        return
    score = getattr(curves, "scores", {}).get("median_abs_error")
    error = "" if score is None or score.error is None else f" ± {100 * score.error:.1f}"
    text = f"median |ΔP/P| {100 * value:.1f}{error} %{_perfect(score)}"
    axes.annotate(
        text,
        (curves.k_nyquist, 0.97),
        (-points(8), 0),
        ("data", "axes fraction"),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=points(9),
    )


def pdf_panel(axes: Axes, pdf: PdfComparison, units: str) -> None:
    """Draw the one-point PDFs of log10 of the maps, which are in `units`."""
    x = pdf.log10_value
    low, high = _band(pdf.real_pdf, pdf.real_std)
    axes.fill_between(x, low, high, color=BAND, alpha=0.6, lw=0, label="±1σ between simulations")
    axes.plot(x, pdf.real_pdf, color=REAL, lw=points(1.8), label="real")
    axes.plot(x, pdf.generated_pdf, color=GENERATED, lw=points(1.8), ls=(0, (4, 1.2)), label="generated")
    positive = np.concatenate([pdf.real_pdf, pdf.generated_pdf])
    axes.set_yscale("log")
    axes.set_ylim(np.min(positive[positive > 0], initial=1.0) / 2, positive.max() * 6)
    axes.set(xlabel=rf"$\log_{{10}}$ of the map [{units}]", ylabel="PDF per dex", title="one-point distribution")
    axes.legend(loc="lower center", fontsize=points(8.5))
    text = f"$W_1$ = {pdf.w1:.3f} σ{_perfect(pdf.scores.get('w1'), 'σ')}"
    axes.text(0.97, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=points(9))


def _perfect(score: Estimate | Measure | None, unit: str = "%") -> str:
    """Return what 95 % of perfect generators score, as text; nothing if unknown."""
    if score is None or score.null is None or score.null_spread is None:
        return ""
    scale, digits = (100, 1) if unit == "%" else (1, 3)
    null, reach = scale * score.null, 2 * scale * score.null_spread
    return f"\n(perfect: {null:.{digits}f} ± {reach:.{digits}f} {unit})"


def _at_points(values: Array, point: NDArray[np.intp]) -> Array:
    """Return the mean of values (N,) at each parameter point."""
    return np.asarray(np.bincount(point, weights=values) / np.bincount(point), dtype=np.float64)


def slab_panel(axes: Axes, slab: SlabMeanComparison, units: str) -> None:
    """Draw the mean of each generated map against that of the real one at the same parameters."""
    real, generated = _at_points(slab.real, slab.points[0]), _at_points(slab.generated, slab.points[1])
    both = np.concatenate([real, generated])
    margin = max(0.06 * (both.max() - both.min()), 0.02 * both.max())
    span = (both.min() - margin, both.max() + margin)
    axes.plot(span, span, color=REAL, lw=points(1))
    axes.scatter(real, generated, s=16, color=GENERATED, alpha=0.75, lw=0)
    axes.set(xlim=span, ylim=span, aspect="equal", title="slab mean at each parameter point")
    axes.set(xlabel=f"real  [{units}]", ylabel=f"generated  [{units}]")
    text = (
        f"bias {100 * slab.bias:+.1f} ± {100 * slab.bias_std:.1f} %{_perfect(slab.scores.get('bias'))}\n"
        f"scatter {100 * slab.scatter:+.1f} %{_perfect(slab.scores.get('scatter'))}"
    )
    axes.text(0.03, 0.97, text, transform=axes.transAxes, ha="left", va="top", fontsize=points(9))


def map_rows(
    figure: Figure | SubFigure,
    rows: Sequence[tuple[str, Array]],
    params: Array,
    names: Sequence[str],
    box_size: float,
    units: str,
) -> None:
    """Draw labelled rows of maps (N, H, W), such as real above generated, with the parameters (N, P) above each column.

    All maps share one colour scale, from the 0.5th to the 99.9th percentile of the first row: logarithmic, or linear
    for a normalised field.
    """
    real = rows[0][1]
    columns = min(MAX_COLUMNS, len(real))
    grid = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    low, norm = colour_scale(real[:columns], units)
    depth = box_size * real.shape[1] / real.shape[2]
    picture: AxesImage | None = None
    for row, (maps, label) in enumerate((maps, label) for label, maps in rows):
        for column in range(columns):
            axes = grid[row, column]
            picture = axes.imshow(
                np.maximum(maps[column], low),
                norm=norm,
                cmap=MAP_COLOURS,
                origin="lower",
                extent=(0, box_size, 0, depth),
                interpolation="nearest",
            )
            axes.spines[["top", "right"]].set_visible(True)
            axes.tick_params(labelsize=points(8), length=points(3))
            if row == 0 and column < len(params):
                axes.set_title(_parameters(params[column], names), fontsize=points(8.5))
        grid[row, 0].set_ylabel(f"{label}\n$y$  [Mpc$/h$]", fontsize=points(9.5))
    for axes in grid[-1]:
        axes.set_xlabel("$x$  [Mpc$/h$]", fontsize=points(9))
    if picture is not None:
        figure.colorbar(picture, ax=grid, label=units, shrink=0.9, aspect=28, pad=0.015, extend="both")


def field_rows(
    figure: Figure | SubFigure,
    rows: Sequence[tuple[str, Array]],
    params: Array,
    names: Sequence[str],
    box_size: float,
    units: Sequence[str],
    fields: Sequence[str],
) -> None:
    """Draw labelled rows of maps (N, C, H, W) as `map_rows` does, for each of `fields` with its name and its own scale.

    `units` are those of the fields; a single field is not named.
    """
    if len(units) == 1:
        map_rows(figure, [(label, maps[:, 0]) for label, maps in rows], params, names, box_size, units[0])
        return
    parts = figure.subfigures(len(units), 1, squeeze=False)[:, 0]
    for channel, (part, field, unit) in enumerate(zip(parts, fields, units, strict=True)):
        labelled = [(f"{field}, {label}", maps[:, channel]) for label, maps in rows]
        map_rows(part, labelled, params if channel == 0 else params[:0], names, box_size, unit)


def colour_scale(maps: Array, units: str) -> tuple[float, Normalize]:
    """Return the lowest value shown and the colour scale of `maps`."""
    seen = maps[np.isfinite(maps)] if units == NORMALISED else maps[maps > 0]
    low, high = np.percentile(seen, [0.5, 99.9]) if seen.size else (1.0, 10.0)
    if units == NORMALISED:
        return float(low), Normalize(low, max(high, low + 1e-6), clip=True)
    return float(low), LogNorm(low, max(high, 1.01 * low), clip=True)


def _parameters(values: Array, names: Sequence[str]) -> str:
    """Return the parameters of one map as text, two per line."""
    words = [f"{_PARAMETER_SYMBOLS.get(name, name)} = {value:.3g}" for name, value in zip(names, values, strict=False)]
    return "\n".join("  ".join(words[i : i + 2]) for i in range(0, len(words), 2))


def _band(mean: Array, std: Array) -> tuple[Array, Array]:
    """Return the band (low, high) of ±1σ about a mean on a logarithmic axis: high is mean + σ, low equally far below.

    The scatter is far from Gaussian and mean − σ is often negative, so low is mean² / high.
    """
    high = mean + np.nan_to_num(std)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(mean**2 / high), high


def plain_log_ticks(axes: Axes, which: str = "x") -> None:
    """Label the logarithmic axis `which` (`x` or `y`) as 0.3, 1, 3, 10 instead of powers of ten."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def numbers(values: ArrayLike | Sequence[float | None]) -> Array:
    """Return `values` as float64 with NaN for None."""
    return np.asarray(values, dtype=object).astype(np.float64)

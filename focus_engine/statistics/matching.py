"""Matching of real with generated maps by parameter point.

The maps of the two sides need not be paired, and each side may have its own number of maps per parameter point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from focus_engine.errors import InputError
from focus_engine.statistics.design import EQUAL_PARAMS, Design, distinct_params
from focus_engine.statistics.judged_maps import Index, JudgedMaps, Params
from focus_engine.statistics.sample import Rows
from focus_engine.units import NORMALISED

_NAMED = 3  # unmatched parameter points that a message names


@dataclass(frozen=True, eq=False)
class MatchedMaps:
    """Real and generated maps at the same parameter points.

    Attributes:
        real: the real maps.
        generated: the generated maps.
        points: (G, P) the parameter points; P is 0 for maps without parameters.
        real_point: (N,) point of each real map.
        generated_point: (M,) point of each generated map.
        box_size: side of the box [Mpc/h], None if neither side knows it.
        notes: what was assumed or left out, in sentences for the user.
    """

    real: JudgedMaps
    generated: JudgedMaps
    points: Params
    real_point: Index
    generated_point: Index
    box_size: float | None
    notes: tuple[str, ...] = ()

    def design(self, seed: int = 0) -> Design:
        """Return the design of the comparison; `seed` is that of all draws."""
        rows = (
            Rows.of(self.real_point, self.real.simulation),
            Rows.of(self.generated_point, self.generated.simulation),
        )
        return Design(self.points, *rows, seed, shared_field=self.real.shares_field or self.generated.shares_field)

    def noted(self, *words: str) -> MatchedMaps:
        """Return the same with further notes."""
        return replace(self, notes=(*self.notes, *words))


def match_maps(real: JudgedMaps, generated: JudgedMaps, *, common: bool = False) -> MatchedMaps:
    """Match the maps of two sides by parameters.

    `common` leaves out the maps at points that only one side has; otherwise such points are an error.

    Raises:
        InputError: box, resolution, channels, units, parameters or their names differ.
    """
    box_size = _shared_box(real, generated)
    _check_alike(real, generated)
    real, generated = _select(real, generated), _select(generated, real)
    _check_names(real, generated)
    if real.units != generated.units:
        note = f"the units differ in words: {', '.join(generated.units)} and {', '.join(real.units)} (real)"
        real = replace(real, notes=(*real.notes, note))
    if real.params is None or generated.params is None:
        _refuse_one_sided(real, generated)
        one, other = (np.zeros(side.count, dtype=np.intp) for side in (real, generated))
        notes = (*real.notes, *generated.notes, "neither side has parameters: all maps are compared as one set")
        return MatchedMaps(real, generated, np.empty((1, 0)), one, other, box_size, notes)
    return _matched(real, real.params, generated, generated.params, box_size, common=common)


def _matched(
    real: JudgedMaps, params: Params, generated: JudgedMaps, other: Params, box_size: float | None, *, common: bool
) -> MatchedMaps:
    """Return the match of two sides with these parameters."""
    _, labels = distinct_params(np.concatenate([params, other]))
    ours, theirs = labels[: real.count], labels[real.count :]
    shared = np.intersect1d(ours, theirs)
    left_out = _unmatched(real, ours, shared), _unmatched(generated, theirs, shared)
    words = [one for one in left_out if one]
    if words and not (common and shared.size):
        raise InputError(_refusal(real, generated, words, int(shared.size)))
    rows, others = (np.flatnonzero(np.isin(one, shared)) for one in (ours, theirs))
    place = np.searchsorted(shared, ours[rows]).astype(np.intp)
    return MatchedMaps(
        real=real.take(rows),
        generated=generated.take(others),
        points=params[rows][np.unique(place, return_index=True)[1]],
        real_point=place,
        generated_point=np.searchsorted(shared, theirs[others]).astype(np.intp),
        box_size=box_size,
        notes=(*real.notes, *generated.notes, *(f"{one}: left out" for one in words)),
    )


def point_words(values: Sequence[float] | Params, names: Sequence[str]) -> str:
    """Return a parameter point as text, such as `Omega_m=0.3, sigma_8=0.8`."""
    labels = names or [f"parameter {place + 1}" for place in range(len(values))]
    return ", ".join(f"{name}={value:.6g}" for name, value in zip(labels, values, strict=False))


def _shared_box(real: JudgedMaps, generated: JudgedMaps) -> float | None:
    ours, theirs = real.box_size, generated.box_size
    if ours is None or theirs is None:
        return ours if theirs is None else theirs
    if abs(ours - theirs) > 1e-5 * ours:
        raise InputError(
            f"{generated.path} has a box of {theirs:g} Mpc/h and {real.path} one of {ours:g}: P(k) of the two is not "
            "comparable; cut or simulate maps of equal boxes"
        )
    return ours


def _check_alike(real: JudgedMaps, generated: JudgedMaps) -> None:
    ours, theirs = real.maps.shape[1:], generated.maps.shape[1:]
    if ours[0] != theirs[0]:
        raise InputError(
            f"{generated.path} has {theirs[0]} channel(s) and {real.path} {ours[0]}; write files with the same "
            "channels, such as maps[:, :1]"
        )
    if ours[1:] != theirs[1:]:
        raise InputError(
            f"{generated.path} has maps of {theirs[1]} × {theirs[2]} pixels and {real.path} of {ours[1]} × {ours[2]}; "
            "average the pixels of the finer maps, or compare with maps of the same resolution"
        )
    if real.fields and generated.fields and real.fields != generated.fields:
        raise InputError(
            f"{generated.path} has the fields {', '.join(generated.fields)} and {real.path} has "
            f"{', '.join(real.fields)}; write both with the same channels in the same order"
        )
    if real.physical != generated.physical:
        normalised = generated if real.physical else real
        raise InputError(f"{normalised.path} holds a {NORMALISED}, the other file densities; undo the normalisation")


def _refuse_one_sided(real: JudgedMaps, generated: JudgedMaps) -> None:
    if real.params is None and generated.params is None:
        return
    bare, other = (real, generated) if real.params is None else (generated, real)
    option = "--against-params" if bare is real else "--params"
    raise InputError(
        f"{bare.path} has no parameters but {other.path} has: give them by {option} FILE, or as params in the file"
    )


def _select(side: JudgedMaps, other: JudgedMaps) -> JudgedMaps:
    """Return `side` with the parameters of `other` only, if its columns have names by position."""
    names = other.param_names
    held = side.param_names
    if side.params is None or not side.positional or not names or names == held or not set(names) <= set(held):
        return side
    chosen = side.params[:, [held.index(name) for name in names]]
    note = f"{side.path}: matched by {', '.join(names)}, the parameters of {other.path}"
    return replace(side, params=chosen, param_names=names, notes=(*side.notes, note))


def _check_names(real: JudgedMaps, generated: JudgedMaps) -> None:
    if real.params is None or generated.params is None:
        return
    ours, theirs = real.params.shape[1], generated.params.shape[1]
    named = bool(real.param_names and generated.param_names)
    if ours == theirs and not (named and real.param_names != generated.param_names):
        return
    said = [", ".join(one.param_names) or f"{n} parameters" for one, n in ((generated, theirs), (real, ours))]
    raise InputError(
        f"{generated.path} has the parameters {said[0]} and {real.path} has {said[1]}; write both files with the same "
        "columns of params, in the same order"
    )


def _unmatched(side: JudgedMaps, labels: Index, shared: Index) -> str:
    """Return in words the points of one side that the other lacks; empty if there are none."""
    missing = np.setdiff1d(labels, shared)
    if not missing.size or side.params is None:
        return ""
    rows = [int(np.argmax(labels == label)) for label in missing[:_NAMED]]
    named = "; ".join(point_words(side.params[row], side.param_names) for row in rows)
    more = f"; and {missing.size - _NAMED} more" if missing.size > _NAMED else ""
    other = "real" if side.what == "generated" else "generated"
    n_maps = int(np.isin(labels, missing).sum())
    return f"{n_maps} {side.what} maps at {missing.size} parameter points without {other} maps ({named}{more})"


def _refusal(real: JudgedMaps, generated: JudgedMaps, words: Sequence[str], n_shared: int) -> str:
    what = "; ".join(words)
    if not n_shared:
        return (
            f"{generated.path} and {real.path} share no parameter point (equal to {EQUAL_PARAMS:g}): {what}. "
            f"Nearest: {_nearest(real, generated)}. Draw maps at the parameters of the real ones"
        )
    return f"{what}. --common judges the {n_shared} parameter point(s) that both have"


def _nearest(real: JudgedMaps, generated: JudgedMaps) -> str:
    """Return in words the first generated point and the real point nearest to it."""
    if real.params is None or generated.params is None:
        return ""
    spread = np.abs(real.params).max(axis=0)
    distance = np.abs((real.params - generated.params[0]) / np.where(spread > 0, spread, 1.0)).max(axis=1)
    pair = generated.params[0], real.params[int(np.argmin(distance))]
    return " against ".join(point_words(one, generated.param_names) for one in pair)

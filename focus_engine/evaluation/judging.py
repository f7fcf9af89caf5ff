"""Judgement of generated against real maps from files (`focus judge`). Needs no torch, so that it starts fast."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from focus_engine.data.judged_pair import ReadPair
from focus_engine.events.table import DataProgress
from focus_engine.figures.map_pictures import MAX_PAIRS
from focus_engine.figures.report import Report
from focus_engine.statistics.compare import judging
from focus_engine.statistics.judged_maps import JudgedMaps
from focus_engine.statistics.matching import MatchedMaps
from focus_engine.statistics.protocol import plain

DEFAULT_BOX = 25.0
"""Side of the box if neither the files nor the user give it [Mpc/h]."""


def judge_pair(read: ReadPair, seed: int = 0) -> Generator[DataProgress, None, Report]:
    """Judge matched maps; yield progress and return the report.

    `seed` is that of the bootstrap and the nulls.

    Raises:
        FocusError: a generated map is not physical.
    """
    maps = read.maps
    real, generated = maps.real, maps.generated
    names = real.fields or generated.fields
    evaluation = yield from judging(
        real.maps,
        generated.maps,
        maps.design(seed),
        maps.box_size or DEFAULT_BOX,
        physical=real.physical,
        fields=names,
        units=real.units,
        training=read.training,
    )
    sides: dict[str, Any] = {"generated": _described(generated), "real": _described(real)}
    rows, others = shown_rows(maps)
    return Report(
        title=f"{Path(generated.path).name} against {Path(real.path).name}",
        evaluation=evaluation,
        document={**evaluation.to_dict(), **sides, "notes": list(maps.notes)},
        real=np.asarray(real.maps[rows]),
        generated=np.asarray(generated.maps[others]),
        params=np.empty((len(rows), 0)) if real.params is None else real.params[rows],
        param_names=real.param_names or generated.param_names,
        units=real.units,
        fields=names,
        notes=maps.notes,
        provenance={
            name: one | {"n_simulations": one["n_simulations"] or "independent draws"} for name, one in sides.items()
        }
        | {"seed": seed},
    )


def shown_rows(maps: MatchedMaps) -> tuple[list[int], list[int]]:
    """Return the rows of a real and of a generated map at each of some evenly spaced parameter points.

    Where there are fewer points than a report shows, several maps of a point are taken.
    """
    count = len(maps.points)
    points = np.unique(np.linspace(0, count - 1, min(count, MAX_PAIRS)).round().astype(int))
    each = max(1, MAX_PAIRS // len(points))
    chosen: tuple[list[int], list[int]] = ([], [])
    for point in points:
        ours, theirs = (np.flatnonzero(one == point)[:each] for one in (maps.real_point, maps.generated_point))
        pairs = min(ours.size, theirs.size)
        chosen[0].extend(ours[:pairs].tolist())
        chosen[1].extend(theirs[:pairs].tolist())
    return chosen


def _described(side: JudgedMaps) -> dict[str, Any]:
    """Return what a report says of one side, as plain values."""
    return {
        "file": side.path,
        "n_maps": side.count,
        "n_simulations": None if side.simulation is None else side.n_simulations,
        "map_shape": list(side.maps.shape[1:]),
        "param_names": list(side.param_names),
        "fields": list(side.fields),
        "units": list(side.units),
        "data_fingerprint": side.data_fingerprint or None,
        **plain(dict(side.provenance)),
    }

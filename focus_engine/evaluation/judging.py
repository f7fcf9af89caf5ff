"""Reports of judgements: of two files of maps (`focus judge`) and of an evaluated run (`focus evaluate`)."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from focus_engine.config.schema import plain_config
from focus_engine.data.judged_pair import ReadPair
from focus_engine.data.opening import spread
from focus_engine.evaluation.sampling import EvaluationResult, report_document
from focus_engine.evaluation.trained_model import TrainedModel
from focus_engine.events.table import DataProgress
from focus_engine.figures.map_pictures import MAX_PAIRS
from focus_engine.figures.report import Report
from focus_engine.generative.sampling import SamplingPlan
from focus_engine.runs.folder import RunFolder
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
    evaluation = yield from judging(
        real.maps,
        generated.maps,
        maps.design(seed),
        maps.box_size or DEFAULT_BOX,
        physical=real.physical,
        fields=(real.fields or generated.fields) if real.maps.shape[1] > 1 else (),
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
        notes=maps.notes,
        provenance={
            name: one | {"n_simulations": one["n_simulations"] or "independent draws"} for name, one in sides.items()
        }
        | {"seed": seed},
    )


def run_report(run: RunFolder, evaluated: EvaluationResult, model: TrainedModel, plan: SamplingPlan) -> Report:
    """Return the report of an evaluated run."""
    document = report_document(evaluated.evaluation, model, plan)
    shown = spread(np.arange(len(evaluated.real)), MAX_PAIRS)
    data = {name: model.data[name] for name in ("fingerprint", "map_shape", "units", "param_names")}
    return Report(
        title=f"{run.name}, {model.source.get('file', '')} (epoch {model.source.get('epoch', '?')})",
        evaluation=evaluated.evaluation,
        document=document,
        real=evaluated.real[shown],
        generated=evaluated.generated[shown],
        params=evaluated.params[shown],
        param_names=model.scaler.names,
        units=model.data["units"],
        provenance={"checkpoint": document["checkpoint"], "sampling": document["sampling"], "data": data},
        config=yaml.safe_dump(plain_config(model.config), sort_keys=False, allow_unicode=True),
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
        "units": side.units,
        "data_fingerprint": side.data_fingerprint or None,
        **plain(dict(side.provenance)),
    }

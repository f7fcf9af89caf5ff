"""Samples during training: maps at the parameters of validation maps, and their P(k).

The noise seed and the parameters are the same at every epoch, so that only the network changes from one epoch to the
next.
"""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from focus_engine.data.batches import Share
from focus_engine.data.maps import MapSet
from focus_engine.data.opening import spread
from focus_engine.evaluation.trained_model import TrainedModel, write_samples
from focus_engine.events.table import PowerSpectrumMeasured, SamplesDrawn
from focus_engine.generative.sampling import DrawnBatches, SamplingPlan
from focus_engine.runs.folder import RunFolder
from focus_engine.statistics import power
from focus_engine.statistics.design import Design
from focus_engine.training.prepare import PreparedRun
from focus_engine.training.ranks import Ranks

POWER_MAPS = 16
"""Maps drawn for P(k) during training."""
THUMBNAILS = 4
THUMBNAIL_PIXELS = 64


def draw_run_samples(
    run: PreparedRun, model: TrainedModel, folder: RunFolder, stop_now: Callable[[], bool]
) -> tuple[SamplesDrawn, PowerSpectrumMeasured | None] | None:
    """Draw maps of the run's EMA weights, write them to the run folder and measure their P(k).

    Each rank draws a part; rank 0 writes and measures. Returns None on the other ranks, and when `stop_now` cut the
    sampling short; the spectrum is None while the maps are not physical yet. Raises OSError when the disk refuses.
    """
    began = time.monotonic()
    maps, epoch = run.data.maps, run.state.epoch
    ids = spread(maps.maps_of(run.data.split.validation), POWER_MAPS)
    params = maps.params_of(ids)
    plan = model.plan(seed=run.config.training.seed, batch_size=min(POWER_MAPS, run.config.training.batch_size))
    parts = run.training.ranks.gather(_draw_part(model, params, plan, run.training.ranks, stop_now))
    if not parts or None in parts:
        return None
    for part in parts:
        if isinstance(part, Exception):
            raise part
    drawn = [part for part in parts if isinstance(part, DrawnPart)]
    generated, real = model.physical(torch.cat([part.maps for part in drawn])), maps.read(ids)
    path = folder.sample_maps(epoch)
    write_samples(path, generated, params, model, plan, epoch=epoch, real=real, real_ids=ids.tolist())
    shown = _thumbnails(real, generated, physical=maps.physical)
    samples = SamplesDrawn(
        epoch=epoch,
        path=str(path.relative_to(folder.path)),
        params=tuple(tuple(float(value) for value in row) for row in params[:THUMBNAILS]),
        seconds=time.monotonic() - began,
        nfe=drawn[0].nfe,
        **shown,
    )
    return samples, _measure(real, generated, maps.simulation_of(ids), maps, epoch)


@dataclass(frozen=True, eq=False)
class DrawnPart:
    """The maps one rank drew: normalised (N, C, H, W), and the network function evaluations (NFE) of each."""

    maps: torch.Tensor
    nfe: int


def _draw_part(
    model: TrainedModel, params: NDArray[np.float32], plan: SamplingPlan, ranks: Ranks, stop_now: Callable[[], bool]
) -> DrawnPart | Exception | None:
    """Draw this rank's maps; None when cut short. An error is returned, because the other ranks wait for a value."""
    part, weight = Share(ranks.rank, ranks.size).of(len(params))
    drawn = DrawnBatches()
    try:
        for progress in model.draw(params[part], replace(plan, first=part.start)):
            if stop_now():
                return None
            drawn.add(progress)
    except Exception as error:  # noqa: BLE001  (rank 0 raises it)
        return error
    return DrawnPart(drawn.maps if weight else drawn.maps[:0], drawn.nfe)


def _measure(
    real: NDArray[np.float32],
    generated: NDArray[np.float32],
    simulations: NDArray[np.int64],
    of: MapSet,
    epoch: int,
) -> PowerSpectrumMeasured | None:
    if not np.isfinite(generated).all() or (of.physical and (generated < 0).any()) or len(real) < 2:
        return None
    compared = power.compare(
        power.measured_power(real[:, 0], of.box_size, of.units),
        power.measured_power(generated[:, 0], of.box_size, of.units),
        Design.paired(simulations),
    )
    return PowerSpectrumMeasured(epoch=epoch, n_maps=len(real), normalised=not of.physical, **_curves(compared))


def _curves(compared: power.PowerComparison) -> dict[str, Any]:
    curves = {name: tuple(getattr(compared, name).tolist()) for name in ("k", "real_mean", "real_std", "ratio")}
    return curves | {
        "generated_mean": tuple(compared.generated_mean.tolist()),
        "k_nyquist": compared.k_nyquist,
        "median_abs_error": compared.median_abs_error,
        "true_vs_true": compared.true_vs_true_median_abs_error,
    }


def _thumbnails(real: NDArray[np.float32], generated: NDArray[np.float32], *, physical: bool) -> dict[str, Any]:
    """Return the first few pairs as the fields of `SamplesDrawn`: bytes of log10, or of a normalised field's values."""
    real, generated = _reduce(real[:THUMBNAILS, 0]), _reduce(generated[:THUMBNAILS, 0])
    seen = np.log10(real[real > 0]) if physical else real
    low, high = np.percentile(seen, [0.5, 99.5]) if seen.size else (0.0, 1.0)
    span = max(float(high - low), 1e-6)

    def encode(maps: NDArray[np.float32]) -> tuple[str, ...]:
        finite = np.nan_to_num(maps, nan=0.0)
        shades = np.log10(np.maximum(finite, 10.0 ** min(low, 0.0) * 1e-12)) if physical else finite
        levels = np.clip(255 * (shades - low) / span, 0, 255).round().astype(np.uint8)
        return tuple(base64.b64encode(one.tobytes()).decode() for one in levels)

    return {
        "height": real.shape[1],
        "width": real.shape[2],
        "low": float(low),
        "high": float(low + span),
        "real": encode(real),
        "generated": encode(generated),
        "normalised": not physical,
    }


def _reduce(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average pixels in pairs until no side exceeds THUMBNAIL_PIXELS."""
    while max(maps.shape[1:]) > THUMBNAIL_PIXELS and not (maps.shape[1] % 2 or maps.shape[2] % 2):
        maps = maps.reshape(len(maps), maps.shape[1] // 2, 2, maps.shape[2] // 2, 2).mean(axis=(2, 4))
    return maps[:, :THUMBNAIL_PIXELS, :THUMBNAIL_PIXELS]

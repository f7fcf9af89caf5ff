"""Samples during training: maps at the parameters of validation maps, and their P(k).

The noise seed and the parameters are the same at every epoch, so that only the network changes from one epoch to the
next.
"""

import base64
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focus_engine.data.batches import Share
from focus_engine.data.maps import MapSet
from focus_engine.evaluation.samples_file import write_samples
from focus_engine.evaluation.trained_model import TrainedModel
from focus_engine.events.table import SamplesDrawn, StatisticsMeasured
from focus_engine.generative.sampling import SamplingPlan
from focus_engine.runs.folder import RunFolder
from focus_engine.training.prepare import PreparedRun
from focus_engine.worker.live import FEWEST_MAPS, LiveReference, SampleRows, maps_to_measure, power_of

THUMBNAILS = 4
THUMBNAIL_PIXELS = 64

Stop = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class DrawnPart:
    """The maps one rank drew.

    Attributes:
        maps: physical maps (n, C, H, W), if they were to be kept; else no map.
        power: their P(k) (C, n, V); None if one has none, because the maps are not physical yet.
        nfe: network function evaluations (NFE) of each.
    """

    maps: NDArray[np.float32]
    power: NDArray[np.float64] | None
    nfe: int


class RunSampler:
    """Draws and measures the samples of a run; keeps the reference and the cost from one sample time to the next."""

    def __init__(self, run: PreparedRun, model: TrainedModel, folder: RunFolder) -> None:
        self._run, self._model, self._folder = run, model, folder
        self._rows = SampleRows.of(run.data.maps, run.data.split)
        self._reference: LiveReference | None = None
        self._seconds_per_map: float | None = None

    def draw(
        self, training_seconds: float | None, stop_now: Stop
    ) -> tuple[SamplesDrawn, StatisticsMeasured | None] | None:
        """Draw maps of the EMA weights, write the first to the run folder and measure the P(k) of all.

        `training_seconds` is the time of training between two sample times, which limits the number of maps. Each rank
        draws a part; rank 0 writes and measures. Returns None on the other ranks, and when `stop_now` cut the
        sampling short; the statistics are None while the maps are not physical yet. Raises OSError when the disk
        refuses.
        """
        began, ranks = time.monotonic(), self._run.training.ranks
        first = ranks.gather(self._draw_part(0, FEWEST_MAPS, stop_now, keep=True))
        wanted = ranks.agree(self._count(first, time.monotonic() - began, training_seconds))
        rest = ranks.gather(self._draw_part(FEWEST_MAPS, wanted, stop_now)) if wanted > FEWEST_MAPS else []
        if not ranks.lead:
            return None
        parts = _whole([*first, *rest])
        if parts is None:
            return None
        samples = self._written(np.concatenate([part.maps for part in parts]), parts[0].nfe)
        measured = self._measured([part.power for part in parts], stop_now)
        return replace(samples, seconds=time.monotonic() - began), measured

    def _count(self, parts: Sequence[object], seconds: float, training_seconds: float | None) -> int:
        """Return how many maps to draw in all, from the cost of the first; no more if they were cut short or failed."""
        if not all(isinstance(part, DrawnPart) and part.power is not None for part in parts):
            return FEWEST_MAPS
        cost = seconds / FEWEST_MAPS  # the first of a process is slow: the least counts
        self._seconds_per_map = min(cost, self._seconds_per_map or cost)
        return maps_to_measure(self._seconds_per_map, training_seconds)

    def _draw_part(self, start: int, stop: int, stop_now: Stop, *, keep: bool = False) -> DrawnPart | Exception | None:
        """Draw this rank's share of the maps from `start` to `stop`; None when cut short.

        An error is returned, because the other ranks wait for a value.
        """
        ranks, model, data = self._run.training.ranks, self._model, self._run.data.maps
        part, weight = Share(ranks.rank, ranks.size).of(stop - start)
        params = data.params[self._rows.simulations[start:stop]][part]
        kept, power, nfe = [np.empty((0, *model.map_shape), np.float32)], [], 0
        try:
            plan = replace(self._plan(stop - start), first=start + part.start)
            for progress in model.draw(params, plan):
                if stop_now():
                    return None
                nfe = progress.nfe
                if progress.finished is not None and weight:
                    maps = model.physical(progress.finished)
                    power.append(power_of(maps, data))
                    kept += [maps] if keep else []
        except Exception as error:  # noqa: BLE001  (rank 0 raises it)
            return error
        whole = [one for one in power if one is not None]
        return DrawnPart(np.concatenate(kept), _stacked(whole) if len(whole) == len(power) else None, nfe)

    def _plan(self, count: int) -> SamplingPlan:
        training = self._run.config.training
        return self._model.plan(seed=training.seed, batch_size=min(count, training.batch_size))

    def _written(self, generated: NDArray[np.float32], nfe: int) -> SamplesDrawn:
        """Write the maps that have a real one at the same parameters, and return their event."""
        data, epoch, ids = self._run.data.maps, self._run.state.epoch, self._rows.pairs
        real, generated, params = data.read(ids), generated[: len(ids)], data.params_of(ids)
        path, plan = self._folder.sample_maps(epoch), self._plan(FEWEST_MAPS)
        write_samples(path, generated, params, self._model, plan, epoch=epoch, real=real, real_ids=ids.tolist())
        return SamplesDrawn(
            epoch=epoch,
            path=str(path.relative_to(self._folder.path)),
            params=tuple(tuple(float(value) for value in row) for row in params[:THUMBNAILS]),
            seconds=0.0,
            nfe=nfe,
            **_thumbnails(real, generated, data),
        )

    def _measured(self, power: Sequence[NDArray[np.float64] | None], stop_now: Stop) -> StatisticsMeasured | None:
        known = [one for one in power if one is not None and one.size]
        if not known or any(one is None for one in power):
            return None
        if self._reference is None:
            self._reference = LiveReference.read(self._run.data.maps, self._run.data.split, stop_now)
        if self._reference is None:
            return None
        samples = np.concatenate(known, axis=1)
        return self._reference.measure(samples, self._rows.simulations[: samples.shape[1]], self._run.state.epoch)


def _whole(parts: Sequence[DrawnPart | Exception | None]) -> list[DrawnPart] | None:
    """Return the parts of all ranks; None if one was cut short. Raises the error of the first that failed."""
    for part in parts:
        if isinstance(part, Exception):
            raise part
    drawn = [part for part in parts if isinstance(part, DrawnPart)]
    return drawn if len(drawn) == len(parts) else None


def _stacked(power: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(power, axis=1) if power else np.empty((0, 0, 0))


def _thumbnails(real: NDArray[np.float32], generated: NDArray[np.float32], of: MapSet) -> dict[str, Any]:
    """Return the first few pairs of each channel as the fields of `SamplesDrawn`."""
    channels = range(real.shape[1])
    (first, *others) = [_shades(real[:, one], generated[:, one], physical=of.physical) for one in channels]
    return {
        "height": first.height,
        "width": first.width,
        "low": first.low,
        "high": first.high,
        "real": first.real,
        "generated": first.generated,
        "normalised": not of.physical,
        "fields": of.field_names if others else (),
        "units": of.field_units,
        "other_ranges": tuple((one.low, one.high) for one in others),
        "other_real": tuple(one.real for one in others),
        "other_generated": tuple(one.generated for one in others),
    }


@dataclass(frozen=True)
class _Shades:
    """Thumbnails of a channel: base64 of bytes from `low` to `high`, which are log10 or a normalised field's values."""

    height: int
    width: int
    low: float
    high: float
    real: tuple[str, ...]
    generated: tuple[str, ...]


def _shades(real: NDArray[np.float32], generated: NDArray[np.float32], *, physical: bool) -> _Shades:
    """Return the first few pairs of maps (N, H, W) on the colour scale of the real ones."""
    real, generated = _reduce(real[:THUMBNAILS]), _reduce(generated[:THUMBNAILS])
    seen = np.log10(real[real > 0]) if physical else real
    low, high = np.percentile(seen, [0.5, 99.5]) if seen.size else (0.0, 1.0)
    span = max(float(high - low), 1e-6)

    def encode(maps: NDArray[np.float32]) -> tuple[str, ...]:
        finite = np.nan_to_num(maps, nan=0.0)
        shades = np.log10(np.maximum(finite, 10.0 ** min(low, 0.0) * 1e-12)) if physical else finite
        levels = np.clip(255 * (shades - low) / span, 0, 255).round().astype(np.uint8)
        return tuple(base64.b64encode(one.tobytes()).decode() for one in levels)

    return _Shades(real.shape[1], real.shape[2], float(low), float(low + span), encode(real), encode(generated))


def _reduce(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average pixels in pairs until no side exceeds THUMBNAIL_PIXELS."""
    while max(maps.shape[1:]) > THUMBNAIL_PIXELS and not (maps.shape[1] % 2 or maps.shape[2] % 2):
        maps = maps.reshape(len(maps), maps.shape[1] // 2, 2, maps.shape[2] // 2, 2).mean(axis=(2, 4))
    return maps[:, :THUMBNAIL_PIXELS, :THUMBNAIL_PIXELS]

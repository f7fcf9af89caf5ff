"""The calibration of a trained model, by maps that it draws at the parameters of its training maps."""

import math
from collections.abc import Generator

import torch
from torch import Tensor

from focus_engine.data.opening import spread
from focus_engine.data.randomness import keyed_integer
from focus_engine.evaluation.trained_model import TrainedModel
from focus_engine.generative.calibration import FEWEST_MAPS, Calibration, fit_calibration
from focus_engine.generative.map_noise import MapNoise
from focus_engine.generative.sampling import DrawnBatches, SamplingProgress
from focus_engine.training.prepared_data import PreparedData

TRUE_PIXELS, FEWEST_TRUE_MAPS = 2**23, 256
"""Pixels of the training maps that drawn maps are brought to, and the fewest maps: 64 MiB of 256 x 256."""


def calibration_of(
    model: TrainedModel, data: PreparedData, count: int
) -> Generator[SamplingProgress, None, Calibration]:
    """Draw `count` maps, at least `FEWEST_MAPS` and an even number, by the config's sampler; return what they lack.

    Their parameters are spread over those of the training maps, and their noise is of a seed of its own, so that no map
    that is judged later was calibrated on itself.

    Raises:
        CalibrationError: as `fit_calibration`.
    """
    true, cond = _training_maps(data)
    places = torch.linspace(0, len(cond) - 1, math.ceil(max(count, FEWEST_MAPS) / 2)).round().long()
    rows = cond[places].repeat_interleave(2, dim=0)
    plan = model.plan(seed=keyed_integer("calibration", model.config.training.seed), paired=True)
    drawn = DrawnBatches()
    for progress in model.in_units_of_network().draw_at(rows, plan):
        yield progress
        drawn.add(progress)
    noise = MapNoise(plan.seed, 0, len(rows), model.map_shape, torch.device("cpu"), paired=True)()
    return fit_calibration(drawn.maps, noise, true)


def _training_maps(data: PreparedData) -> tuple[Tensor, Tensor]:
    """Return training maps as the network sees them, evenly spaced over the simulations, and their parameters."""
    _, height, width = data.maps.shape
    most = max(FEWEST_TRUE_MAPS, TRUE_PIXELS // (height * width))
    return data.standardised(spread(data.maps.maps_of(data.split.train), most))

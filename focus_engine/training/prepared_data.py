"""The data of a run: maps, split, normalisation, and mean and spectrum of the training maps.

Fitted on the training simulations, or taken from a checkpoint.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from focus_engine.config.schema import Config
from focus_engine.data.digests import set_digests, to_text
from focus_engine.data.levels import Levels, fit_levels
from focus_engine.data.maps import Ids, MapSet
from focus_engine.data.normalise import Normaliser, fit_normaliser
from focus_engine.data.opening import spread
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.data.splits import Split, split_by_simulation
from focus_engine.errors import InputError
from focus_engine.generative.calibration import Calibration
from focus_engine.generative.own_spectrum import OwnSpectrum
from focus_engine.generative.prior import SpectralPrior, fit_prior
from focus_engine.generative.process import Process
from focus_engine.training.checkpoint import Checkpoint
from focus_engine.training.initial_weights import InitialWeights

FITTED_PIXELS, LEAST_MAPS = 2**25, 512
"""Pixels of the training maps that mean and spectrum are measured on, and the least maps: 2 s, by spectrum 8 s."""

CALIBRATION = "calibration"
"""Key of the calibration in the data of a checkpoint."""


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Opened maps with their split and normalisation.

    Attributes:
        maps: the whole set, memory-mapped.
        split: simulation ids.
        normaliser: fitted on the training maps, or taken from a checkpoint.
        scaler: likewise for the parameters.
        fingerprint: SHA-256 of maps and parameters.
        training_digests: digests of the training maps (`focus_engine.data.digests.to_text`); empty if unknown.
        prior: mean and spectrum of the training maps as the network sees them.
        own_spectrum: the conversion of normalised maps to units of their own spectrum; None without it.
    """

    maps: MapSet
    split: Split
    normaliser: Normaliser
    scaler: ParameterScaler
    fingerprint: str
    training_digests: str = ""
    prior: SpectralPrior | None = None
    own_spectrum: OwnSpectrum | None = None

    def standardised(self, ids: Ids) -> tuple[Tensor, Tensor]:
        """Return the maps `ids` as the network sees them, (n, C, H, W), and their parameters, (n, P)."""
        cond = self.scaler.standardise(torch.from_numpy(self.maps.params_of(ids)))
        maps = self.normaliser.normalise(torch.from_numpy(self.maps.read(ids)))
        return maps if self.own_spectrum is None else self.own_spectrum.standardise(maps, cond), cond

    def describe(self) -> dict[str, Any]:
        """Return the description of the data stored in a checkpoint, as plain values."""
        return {
            "fingerprint": self.fingerprint,
            "training_digests": self.training_digests,
            "box_size": self.maps.box_size,
            "map_shape": list(self.maps.shape),
            "param_names": list(self.maps.param_names),
            "maps_per_simulation": self.maps.maps_per_simulation,
            "n_simulations": self.maps.n_simulations,
            "split": {name: list(getattr(self.split, name)) for name in ("train", "validation", "test")},
            "validation_params": self.maps.params[list(self.split.validation)].tolist(),
            "units": self.maps.units,
            "fields": list(self.maps.field_names),
            "field_units": list(self.maps.field_units),
            "prior": None if self.prior is None else self.prior.to_dict(),
            "own_spectrum": None if self.own_spectrum is None else self.own_spectrum.to_dict(),
        }


def prepare_data(
    config: Config,
    maps: MapSet,
    saved: Checkpoint | None = None,
    initial: InitialWeights | None = None,
    *,
    most_maps: int | None = None,
) -> PreparedData:
    """Split the maps and fit their normalisation, or take both from a checkpoint; parameters are scaled as `initial`.

    With `most_maps`, simulations beyond that many maps for training and for validation are left out.

    Raises:
        InputError: there are too few simulations, values are invalid, or the data differ from the checkpoint's.
    """
    fingerprint = maps.fingerprint
    if saved is not None:
        if fingerprint != saved.data["fingerprint"]:
            raise InputError(
                f"{maps.maps_path}: the data have changed since the checkpoint was written (fingerprint "
                f"{fingerprint[:12]}, was {saved.data['fingerprint'][:12]}): bring the old files back, or start a new "
                "run with focus new NAME --from this experiment"
            )
        split = Split(**{name: tuple(ids) for name, ids in saved.data["split"].items()})
        return _with_prior(
            PreparedData(
                *(maps, split, Normaliser.from_dict(saved.normaliser), ParameterScaler.from_dict(saved.scaler)),
                fingerprint,
                training_digests=saved.data.get("training_digests", ""),
                prior=saved_prior(saved),
                own_spectrum=saved_own_spectrum(saved),
            )
        )
    split = split_by_simulation(maps.n_simulations, config.data.train_split, config.data.split_seed)
    if most_maps is not None:
        most = -(-most_maps // maps.maps_per_simulation)
        split = replace(split, train=split.train[:most], validation=split.validation[:most])
    transform = config.data.normalize if maps.physical else "none"
    normaliser = fit_normaliser(maps, maps.maps_of(split.train), transform, power=config.data.boxcox_power)
    scaler, digests = ParameterScaler.fit(maps, split.train), to_text(set_digests(maps, maps.maps_of(split.train)))
    scaler = scaler if initial is None else initial.scaler_for(scaler)
    data = PreparedData(maps, split, normaliser, scaler, fingerprint, digests)
    if config.data.standardize == "spectrum":
        levels = None if transform == "none" else fit_levels(maps, _fitted_on(data), normaliser)
        data = replace(data, own_spectrum=OwnSpectrum(_measured(data, levels), levels))
    return _with_prior(data)


def _with_prior(data: PreparedData) -> PreparedData:
    """Return `data` with the prior, measured where a checkpoint of an earlier version holds none."""
    return data if data.prior is not None else replace(data, prior=_measured(data))


def _measured(data: PreparedData, levels: Levels | None = None) -> SpectralPrior:
    """Return mean and spectrum by parameters of the training maps as `data` standardises them, or of their levels."""
    ids = _fitted_on(data)
    simulations = np.unique(ids // data.maps.maps_per_simulation)
    batches = (data.standardised(part) for part in np.array_split(ids, math.ceil(len(ids) / 32)))
    return fit_prior(
        ((maps if levels is None else levels.forward(maps), cond) for maps, cond in batches), len(simulations)
    )


def _fitted_on(data: PreparedData) -> Ids:
    """Return training maps of at most FITTED_PIXELS, evenly spaced over the simulations."""
    _, height, width = data.maps.shape
    return spread(data.maps.maps_of(data.split.train), max(LEAST_MAPS, FITTED_PIXELS // (height * width)))


def saved_prior(saved: Checkpoint) -> SpectralPrior | None:
    """Return the prior of a checkpoint; None if it is of a version without one."""
    values = saved.data.get("prior")
    return None if values is None else SpectralPrior.from_dict(values)


def saved_own_spectrum(saved: Checkpoint) -> OwnSpectrum | None:
    """Return the spectrum in whose units the network of a checkpoint sees its maps; None without data.standardize."""
    values = saved.data.get("own_spectrum")
    if values is None:
        return None
    curves = values.get("levels")  # none in checkpoints of earlier versions
    levels = None if curves is None else Levels.from_list(curves, Normaliser.from_dict(saved.normaliser))
    return OwnSpectrum.from_dict(values, levels)


def saved_calibration(saved: Checkpoint) -> Calibration | None:
    """Return the calibration of a checkpoint; None if it has none. Raises ValueError, KeyError or TypeError."""
    values = saved.data.get(CALIBRATION)
    return None if values is None else Calibration.from_dict(values)


def terminal_snr(process: Process, data: PreparedData) -> float | None:
    """Return the signal-to-noise ratio where sampling starts of the Fourier mode with most power; None for flow.

    For a red field this is the mean or the largest scales. Sampling starts from pure noise and lacks the signal that
    training has there, so these modes come out wrong (2305.08891). Measured on up to 64 training maps.
    """
    if process.terminal_snr is None:
        return None
    ids = spread(data.maps.maps_of(data.split.train), 64)
    fields = data.standardised(ids)[0].double().numpy()
    pixels = fields.shape[-2] * fields.shape[-1]
    power = (np.abs(np.fft.fft2(fields)) ** 2).mean(axis=(0, 1)) / pixels  # white noise of unit variance has 1
    return float(process.terminal_snr * power.max())

"""Measurements of data and generative process before training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from focus_engine.config.schema import Config
from focus_engine.data.maps import open_map_set
from focus_engine.generative.build import build_process
from focus_engine.generative.own_spectrum import OwnSpectrum
from focus_engine.training.checkpoint import Checkpoint
from focus_engine.training.prepared_data import prepare_data, terminal_snr

SIZE = 16


def prepared(folder: Path, fields, normalize="log10", standardize="pixels"):
    """Return data whose log10 is `fields` (simulations, H, W), one map per simulation."""
    np.save(folder / "maps.npy", (10.0 ** (11 + fields)).astype(np.float32))
    omega_m = np.linspace(0.1, 0.5, len(fields))
    np.savetxt(folder / "params.txt", np.stack([omega_m, np.full(len(fields), 0.8)], axis=1))
    maps = open_map_set(folder / "maps.npy", folder / "params.txt", box_size=25.0, maps_per_simulation=1)
    return prepare_data(Config.model_validate({"data": {"normalize": normalize, "standardize": standardize}}), maps)


def process(**diffusion):
    return build_process(Config.model_validate({"diffusion": diffusion}))


def test_white_noise_leaves_the_snr_of_a_pixel(tmp_path):
    data = prepared(tmp_path, 0.3 * np.random.default_rng(0).standard_normal((60, SIZE, SIZE)))
    linear = process()
    measured = terminal_snr(linear, data)
    # The largest of 256 modes, each a mean of 54 squares of unit variance.
    assert 1.0 < measured / linear.schedule.terminal_snr < 2.2


def test_a_field_of_one_wave_has_all_its_power_there(tmp_path):
    phases = np.random.default_rng(1).uniform(0, 2 * np.pi, (60, 1, 1))
    wave = 0.3 * np.cos(2 * np.pi * np.arange(SIZE)[None, None, :] / SIZE + phases) * np.ones((1, SIZE, 1))
    data = prepared(tmp_path, wave)
    linear = process()
    # A cosine of unit variance shares SIZE^2 pixels of power between two modes.
    assert terminal_snr(linear, data) == pytest.approx(linear.schedule.terminal_snr * SIZE**2 / 2, rel=1e-3)


def test_zero_terminal_snr_leaves_none(tmp_path):
    data = prepared(tmp_path, 0.3 * np.random.default_rng(2).standard_normal((10, SIZE, SIZE)))
    assert terminal_snr(process(prediction="v", zero_terminal_snr=True), data) == 0.0


def test_the_noise_of_edm_is_measured_as_the_schedule_is_and_a_flow_has_none_to_measure(tmp_path):
    data = prepared(tmp_path, 0.3 * np.random.default_rng(0).standard_normal((60, SIZE, SIZE)))
    linear, edm = process(), build_process(Config.model_validate({"method": "edm", "edm": {"sigma_max": 20.0}}))
    power = terminal_snr(linear, data) / linear.schedule.terminal_snr
    assert terminal_snr(edm, data) == pytest.approx(power / 20.0**2)
    assert terminal_snr(build_process(Config(method="flow")), data) is None


def test_the_split_follows_split_seed_alone_and_a_checkpoint_keeps_its_own(tmp_path):
    first = prepared(tmp_path, 0.3 * np.random.default_rng(3).standard_normal((20, SIZE, SIZE)))

    def again(saved=None, **blocks):
        return prepare_data(Config.model_validate(blocks), first.maps, saved).split

    other = again(data={"split_seed": 1})
    assert again(training={"seed": 5}) == first.split != other
    assert again(saved=checkpoint_of(first, split=vars(other))) == other


def checkpoint_of(data, **changes):
    """Return a checkpoint of no training, with `changes` in the description of the data."""
    parts = {"normaliser": data.normaliser.to_dict(), "scaler": data.scaler.to_dict()}
    return Checkpoint(config={}, state={}, **parts, data=data.describe() | changes, provenance={})


@pytest.mark.parametrize("normalize", ["log10", "gaussian"])
def test_every_statistic_is_of_the_training_maps_alone(tmp_path, normalize):
    fields = 0.3 * np.random.default_rng(4).standard_normal((40, SIZE, SIZE))
    first = prepared(tmp_path, fields, normalize)
    fields[[*first.split.validation, *first.split.test]] += np.linspace(0, 3, SIZE)
    (tmp_path / "other").mkdir()
    second = prepared(tmp_path / "other", fields, normalize)
    assert first.fingerprint != second.fingerprint
    assert (first.normaliser, first.scaler, first.prior) == (second.normaliser, second.scaler, second.prior)
    fields[list(first.split.train)] *= 1.5
    third = prepared(tmp_path / "other", fields, normalize)
    assert third.normaliser != first.normaliser
    assert third.prior != first.prior


def test_the_prior_of_a_checkpoint_is_kept_and_one_without_gets_its_own(tmp_path):
    first = prepared(tmp_path, 0.3 * np.random.default_rng(5).standard_normal((20, SIZE, SIZE)))
    changed = first.prior.to_dict() | {"all_mean": [7.0]}
    kept = prepare_data(Config(), first.maps, checkpoint_of(first, prior=changed))
    assert kept.prior.all_mean == (7.0,)
    old = checkpoint_of(first)
    del old.data["prior"]
    assert prepare_data(Config(), first.maps, old).prior == first.prior


@pytest.mark.parametrize("normalize", ["log10", "boxcox", "gaussian"])
def test_units_of_the_own_spectrum_are_of_the_training_maps_and_kept_in_the_checkpoint(tmp_path, normalize):
    fields = 0.3 * np.random.default_rng(6).standard_normal((40, SIZE, SIZE)) * np.linspace(0.5, 2, 40)[:, None, None]
    first = prepared(tmp_path, fields, normalize, "spectrum")
    maps, cond = first.standardised(np.arange(40))
    assert maps.std(dim=(1, 2, 3)).numpy() == pytest.approx(np.ones(40), abs=0.25)  # of 0.4 to 1.6 before
    kept = prepare_data(Config(), first.maps, checkpoint_of(first))
    assert kept.own_spectrum.levels == first.own_spectrum.levels
    logs = np.log10(kept.normaliser.physical(kept.own_spectrum.restore(maps, cond)).numpy())[:, 0]
    assert logs == pytest.approx(11 + fields, abs=1e-4)
    fields[[*first.split.validation, *first.split.test]] += np.linspace(0, 3, SIZE)
    (tmp_path / "other").mkdir()
    assert prepared(tmp_path / "other", fields, normalize, "spectrum").own_spectrum.levels == first.own_spectrum.levels


def test_a_checkpoint_of_before_the_levels_reads_maps_as_it_did(tmp_path):
    first = prepared(tmp_path, 0.3 * np.random.default_rng(7).standard_normal((40, SIZE, SIZE)), "boxcox", "spectrum")
    fit = first.own_spectrum.to_dict()["fit"]
    old = prepare_data(Config(), first.maps, checkpoint_of(first, own_spectrum=fit))
    ids = np.arange(40)
    normalised = old.normaliser.normalise(torch.from_numpy(first.maps.read(ids)))
    cond = old.scaler.standardise(torch.from_numpy(first.maps.params_of(ids)))
    assert torch.equal(old.standardised(ids)[0], OwnSpectrum(first.own_spectrum.fit).standardise(normalised, cond))


def test_maps_that_are_not_densities_are_the_units_of_their_spectrum(tmp_path):
    fields = 0.3 * np.random.default_rng(8).standard_normal((40, SIZE, SIZE))
    data = prepared(tmp_path, fields, "none", "spectrum")
    assert data.own_spectrum.levels is None
    maps, cond = data.standardised(np.arange(40))
    back = data.normaliser.physical(data.own_spectrum.restore(maps, cond)).numpy()
    assert np.log10(back)[:, 0] == pytest.approx(11 + fields, abs=1e-3)


def test_two_fields_have_a_spectrum_and_units_each(tmp_path):
    rng = np.random.default_rng(9)
    gas = rng.standard_normal((40, SIZE, SIZE)) * np.linspace(0.2, 0.8, 40)[:, None, None]
    both = np.stack([0.1 * rng.standard_normal((40, SIZE, SIZE)), gas], axis=1)
    data = prepared(tmp_path, both, "boxcox", "spectrum")
    maps, _ = data.standardised(np.arange(40))
    assert maps.std(dim=(2, 3)).numpy() == pytest.approx(np.ones((40, 2)), abs=0.3)
    first, second = data.own_spectrum.levels.curves
    assert first.u[-1] < 0.6 * second.u[-1]

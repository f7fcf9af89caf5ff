from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from focus_engine.data.maps import MapSet, open_map_set
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.errors import InputError

WriteSet = Callable[..., tuple[Path, Path]]


def opened(paths: tuple[Path, Path], cond_dim: int | None = None) -> MapSet:
    return open_map_set(*paths, box_size=25.0, maps_per_simulation=3, cond_dim=cond_dim)


def test_parameters_are_standardised_over_the_training_simulations(write_set: WriteSet):
    maps = opened(write_set())
    scaler = ParameterScaler.fit(maps, [0, 2, 3, 5])
    params = torch.from_numpy(maps.params)
    standard = scaler.standardise(params)
    chosen = standard[[0, 2, 3, 5]].double()
    assert torch.allclose(chosen.mean(dim=0), torch.zeros(6, dtype=torch.double), atol=1e-6)
    assert torch.allclose(chosen.std(dim=0, correction=0), torch.ones(6, dtype=torch.double), atol=1e-5)
    assert torch.allclose(scaler.physical(standard), params, rtol=1e-5)


def test_feedback_parameters_are_standardised_in_log(write_set: WriteSet):
    maps = opened(write_set())
    scaler = ParameterScaler.fit(maps, range(6))
    logs = np.log10(maps.params.astype(np.float64)[:, 2:])
    expected = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    assert np.allclose(scaler.standardise(torch.from_numpy(maps.params))[:, 2:], expected, atol=1e-5)
    doubled, halved = scaler.standardise(torch.tensor([[0.3, 0.8, 2.0, 1, 1, 1], [0.3, 0.8, 0.5, 1, 1, 1]]))[:, 2]
    one = scaler.standardise(torch.tensor([0.3, 0.8, 1.0, 1, 1, 1]))[2]
    assert float(doubled - one) == pytest.approx(float(one - halved))  # a factor is a distance
    assert torch.allclose(scaler.standardise(torch.tensor(scaler.centre)), torch.zeros(6), atol=1e-5)


def test_a_checkpoint_without_scales_keeps_its_linear_ones(write_set: WriteSet):
    maps = opened(write_set())
    saved = ParameterScaler.fit(maps, range(6)).to_dict()
    del saved["scale"]
    old = ParameterScaler.from_dict(saved)
    params = torch.from_numpy(maps.params)
    expected = (maps.params - np.float32(old.mean)) / np.float32(old.std)
    assert torch.allclose(old.standardise(params), torch.from_numpy(expected.astype(np.float32)))
    assert torch.allclose(old.physical(old.standardise(params)), params, rtol=1e-5)


def test_feedback_that_is_not_positive_is_refused_where_its_log_is_needed(tmp_path: Path, write_set: WriteSet):
    maps_path, params_path = write_set()
    table = np.loadtxt(params_path)
    table[:, :2], table[2, 3] = [0.3, 0.8], 0.0  # as in the set EX, without feedback
    extremes = tmp_path / "extremes.txt"
    np.savetxt(extremes, table)
    with pytest.raises(InputError, match=r"extremes.txt: A_AGN1 is 0, .* must be above 0"):
        ParameterScaler.fit(opened((maps_path, extremes)), range(6))
    scaler = ParameterScaler.fit(opened((maps_path, params_path)), range(6))
    with pytest.raises(InputError, match="A_SN2 is -1"):
        scaler.standardise(torch.tensor([0.3, 0.8, 1, 1, -1, 1]))
    table[:, 3] = 0.0
    np.savetxt(extremes, table)
    assert ParameterScaler.fit(opened((maps_path, extremes)), range(6)).scale[3] == "linear"  # constant: no scale


def test_a_constant_parameter_stays_finite(tmp_path: Path, write_set: WriteSet):
    maps_path, _ = write_set()
    table = tmp_path / "fiducial.txt"
    np.savetxt(table, np.tile([0.3, 0.8, 1, 1, 1, 1], (6, 1)))
    maps = opened((maps_path, table))
    scaler = ParameterScaler.fit(maps, range(6))
    assert scaler.std == (1.0,) * 6
    assert float(scaler.standardise(torch.from_numpy(maps.params)).abs().max()) < 1e-6
    assert scaler.outside(maps.params) == ()
    assert [found.name for found in scaler.outside([0.31, 0.8, 1, 1, 1, 1])] == ["Omega_m"]


def test_parameters_outside_the_trained_range_are_reported(write_set: WriteSet):
    maps = opened(write_set(), cond_dim=2)
    scaler = ParameterScaler.fit(maps, range(6))
    assert scaler.outside(maps.params) == ()
    assert scaler.outside(maps.table[:, :2]) == ()  # float64 values of parameters trained as float32
    found = scaler.outside([[0.3, 0.8], [0.9, 0.8]])
    assert [outside.name for outside in found] == ["Omega_m"]
    low, high = scaler.low[0], scaler.high[0]
    assert str(found[0]) == f"Omega_m = 0.3 to 0.9 lies outside the trained range {low:g} to {high:g}"
    assert str(scaler.outside([0.3, 2.0])[0]).startswith("sigma_8 = 2 lies outside")


def test_no_parameters_at_all_is_a_legal_condition(write_set: WriteSet):
    maps = opened(write_set(), cond_dim=0)
    scaler = ParameterScaler.fit(maps, range(6))
    assert scaler.standardise(torch.from_numpy(maps.params)).shape == (6, 0)
    assert scaler.outside(maps.params) == ()

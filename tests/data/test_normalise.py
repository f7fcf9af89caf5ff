import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from focus_engine.data.maps import MapSet, open_map_set
from focus_engine.data.normalise import Normaliser, Transform, fit_normaliser
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.errors import InputError

MakeMaps = Callable[..., np.ndarray]
WriteSet = Callable[..., tuple[Path, Path]]


def opened(paths: tuple[Path, Path], cond_dim: int | None = None) -> MapSet:
    return open_map_set(*paths, box_size=25.0, maps_per_simulation=3, cond_dim=cond_dim)


@pytest.mark.parametrize("transform", ["log10", "boxcox", "none"])
@pytest.mark.parametrize("shape", [(8, 8), (2, 8, 8)])
def test_training_maps_get_mean_zero_and_std_one_in_each_channel(
    write_set: WriteSet, lognormal_maps: MakeMaps, transform: Transform, shape: tuple[int, ...]
):
    values = lognormal_maps(18, *shape)
    if len(shape) == 3:
        values[:, 1] *= np.float32(1e-7)  # a second field in other units
    maps = opened(write_set(maps=values))
    normaliser = fit_normaliser(maps, range(12), transform)
    standard = normaliser.normalise(torch.from_numpy(maps.read(range(12)))).double()
    assert torch.allclose(standard.mean(dim=(0, 2, 3)), torch.zeros(1, dtype=torch.double), atol=1e-5)
    assert torch.allclose(standard.std(dim=(0, 2, 3), correction=0), torch.ones(1, dtype=torch.double), atol=1e-5)
    assert (normaliser.n_floored, normaliser.n_values) == (0, 12 * int(np.prod(shape)))


def test_statistics_come_from_the_given_maps_alone(write_set: WriteSet, lognormal_maps: MakeMaps):
    values = lognormal_maps(18, 8, 8)
    values[12:] *= 1000
    normaliser = fit_normaliser(opened(write_set(maps=values)), range(12), "log10")
    logs = np.log10(values[:12].astype(np.float64))
    assert normaliser.mean == pytest.approx([logs.mean()], abs=1e-6)
    assert normaliser.std == pytest.approx([logs.std()], rel=1e-6)


def test_streaming_agrees_with_one_pass(write_set: WriteSet, lognormal_maps: MakeMaps, monkeypatch: pytest.MonkeyPatch):
    values = lognormal_maps(18, 8, 8)
    values[:, :2] = 0
    maps = opened(write_set(maps=values))
    whole = fit_normaliser(maps, range(18), "log10")
    monkeypatch.setattr("focus_engine.data.maps._CHUNK_PIXELS", 5 * 64)
    parts = fit_normaliser(maps, range(18), "log10")
    assert parts.mean == pytest.approx(whole.mean, rel=1e-12)
    assert parts.std == pytest.approx(whole.std, rel=1e-12)
    assert (parts.floor, parts.n_floored) == (whole.floor, whole.n_floored)


def test_boxcox_is_a_power_that_goes_over_into_the_logarithm(write_set: WriteSet, lognormal_maps: MakeMaps):
    values = lognormal_maps(18, 8, 8)
    maps = opened(write_set(maps=values))
    physical = torch.from_numpy(maps.read(range(18)))

    def standard(transform: Transform, power: float) -> np.ndarray:
        return fit_normaliser(maps, range(12), transform, power=power).normalise(physical).numpy()[:, 0]

    powers = values[:12].astype(np.float64) ** 0.3
    assert np.allclose(
        standard("boxcox", 0.3), (values.astype(np.float64) ** 0.3 - powers.mean()) / powers.std(), atol=1e-5
    )
    assert np.allclose(standard("boxcox", 1.0), standard("none", 0.0), atol=1e-5)
    assert np.allclose(standard("boxcox", 1e-4), standard("log10", 0.0), atol=1e-2)


def test_boxcox_survives_its_dictionary_and_reads_zeros_as_the_floor(write_set: WriteSet, lognormal_maps: MakeMaps):
    values = lognormal_maps(18, 8, 8)
    values[:12, 0, :4] = 0
    maps = opened(write_set(maps=values))
    normaliser = fit_normaliser(maps, range(12), "boxcox", power=0.2)
    assert Normaliser.from_dict(normaliser.to_dict()) == normaliser
    physical = torch.from_numpy(maps.read(range(18)))
    again = normaliser.physical(normaliser.normalise(physical))
    assert torch.allclose(again[physical > 0], physical[physical > 0], rtol=5e-6, atol=0)
    assert again[physical == 0].tolist() == pytest.approx([normaliser.floor[0]] * 48, rel=1e-5)
    floored = np.where(values[:12] > 0, values[:12], normaliser.floor[0]).astype(np.float64)
    assert normaliser.mean == pytest.approx([(floored**0.2).mean()], rel=1e-9)


@pytest.mark.parametrize("transform", ["log10", "boxcox", "none"])
def test_round_trip_to_float32_rounding_over_the_whole_range(write_set: WriteSet, transform: Transform):
    values = np.logspace(5, 16, 18 * 64, dtype=np.float64).astype(np.float32).reshape(18, 8, 8)
    maps = opened(write_set(maps=values))
    normaliser = fit_normaliser(maps, range(18), transform)
    physical = torch.from_numpy(maps.read(range(18)))
    again = normaliser.physical(normaliser.normalise(physical))
    if transform == "boxcox":  # f / centre - 1 is rounded where f is far below the centre
        assert torch.allclose(again, physical, rtol=2e-5, atol=0)
    elif transform == "log10":
        assert torch.allclose(again, physical, rtol=3e-6, atol=0)
    else:
        assert torch.allclose(again, physical, rtol=0, atol=1e-6 * physical.max().item())


def test_nothing_is_clipped_beyond_the_trained_range(write_set: WriteSet):
    normaliser = fit_normaliser(opened(write_set()), range(18), "log10")
    extreme = torch.tensor([1.0, 1e3, 1e20, 1e22]).reshape(1, 1, 2, 2)
    again = normaliser.physical(normaliser.normalise(extreme))
    assert torch.allclose(again, extreme, rtol=1e-4, atol=0)


@pytest.mark.parametrize("transform", ["log10", "boxcox"])
def test_what_an_untrained_network_draws_is_finite_and_positive(write_set: WriteSet, transform: Transform):
    normaliser = fit_normaliser(opened(write_set()), range(18), transform)
    wild = torch.tensor([-1e4, -300.0, 300.0, 1e4]).reshape(1, 1, 2, 2)
    maps = normaliser.physical(wild)
    assert torch.isfinite(maps).all()
    assert (maps > 0).all()


def test_exact_zeros_are_read_as_the_smallest_positive_value_and_counted(write_set: WriteSet, lognormal_maps: MakeMaps):
    values = lognormal_maps(18, 8, 8)
    values[:12, 0, :4] = 0
    values[15, 5, 5] = 0  # not a training map
    maps = opened(write_set(maps=values))
    normaliser = fit_normaliser(maps, range(12), "log10")
    training = values[:12]
    assert normaliser.floor == (float(training[training > 0].min()),)
    assert (normaliser.n_floored, normaliser.n_values) == (48, 12 * 64)
    standard = normaliser.normalise(torch.from_numpy(maps.read(range(18))))
    assert torch.isfinite(standard).all()
    floored = np.log10(np.where(training > 0, training, normaliser.floor[0]).astype(np.float64))
    assert normaliser.mean == pytest.approx([floored.mean()], abs=1e-6)
    assert normaliser.std == pytest.approx([floored.std()], rel=1e-6)
    again = normaliser.physical(standard)[:, 0].numpy()
    assert again[15, 5, 5] == pytest.approx(normaliser.floor[0], rel=1e-5)
    assert np.allclose(again[values > 0], values[values > 0], rtol=1e-5)


def test_no_transform_keeps_zeros(write_set: WriteSet, lognormal_maps: MakeMaps):
    values = lognormal_maps(18, 8, 8)
    values[0, 0] = 0
    maps = opened(write_set(maps=values))
    normaliser = fit_normaliser(maps, range(18), "none")
    again = normaliser.physical(normaliser.normalise(torch.from_numpy(maps.read([0]))))
    assert float(again[0, 0, 0].abs().max()) < 1e-5 * float(values.max())
    assert normaliser.n_floored == 0  # a zero needs no logarithm


def test_invalid_maps_and_maps_without_structure_are_refused(write_set: WriteSet, lognormal_maps: MakeMaps):
    values = lognormal_maps(18, 8, 8)
    values[7, 0, 0] = np.nan
    with pytest.raises(InputError, match="map 7"):
        fit_normaliser(opened(write_set(maps=values)), range(18), "log10")
    for transform in ("log10", "boxcox", "none"):
        with pytest.raises(InputError, match="maps that vary are needed"):
            fit_normaliser(opened(write_set(maps=np.full((18, 8, 8), 7e10))), range(18), transform)
    empty_channel = lognormal_maps(18, 2, 8, 8)
    empty_channel[:, 1] = 0
    with pytest.raises(InputError, match=r"channel 1 of map 0 .* holds only zero"):
        fit_normaliser(opened(write_set(maps=empty_channel)), range(18), "log10")


def test_both_survive_a_checkpoint_that_runs_no_code(write_set: WriteSet):
    maps = opened(write_set())
    normaliser, scaler = fit_normaliser(maps, range(12), "log10"), ParameterScaler.fit(maps, [0, 1, 2, 3])
    file = io.BytesIO()
    torch.save({"maps": normaliser.to_dict(), "params": scaler.to_dict()}, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert Normaliser.from_dict(loaded["maps"]) == normaliser
    assert ParameterScaler.from_dict(loaded["params"]) == scaler


def test_constants_are_copied_to_the_device_once():
    normaliser = Normaliser("log10", (11.0,), (0.5,), (1e9,), 0, 1)
    maps = torch.rand(2, 1, 4, 4) + 1e11
    first = normaliser._column(normaliser.std, maps)
    assert normaliser._column(Normaliser.from_dict(normaliser.to_dict()).std, maps) is first

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from focus_engine.data.maps import MapSet, open_map_set
from focus_engine.data.summary import describe, guess_layout
from focus_engine.errors import InputError
from focus_engine.units import SURFACE_DENSITY

MakeMaps = Callable[..., np.ndarray]
WriteSet = Callable[..., tuple[Path, Path]]

FIDUCIAL = np.array([0.3, 0.8, 1, 1, 1, 1])


def opened(paths: tuple[Path, Path], **keys: Any) -> MapSet:
    return open_map_set(*paths, box_size=25.0, maps_per_simulation=3, **keys)


def test_a_small_set_is_described_whole(write_set: WriteSet, lognormal_maps: MakeMaps):
    values = lognormal_maps(18, 8, 8)
    values[3, 0, 0] = 0
    summary = describe(opened(write_set(maps=values)))
    assert (summary.n_maps, summary.read_maps, summary.complete) == (18, 18, True)
    assert (summary.shape, summary.dtype, summary.n_bytes) == ((1, 8, 8), "float32", 18 * 64 * 4)
    (channel,) = summary.channels
    assert (channel.low, channel.high, channel.zeros, channel.pixels) == (0, float(values.max()), 1, 18 * 64)
    assert channel.mean == pytest.approx(values.mean(dtype=np.float64))
    logs = np.log10(values[values > 0].astype(np.float64))
    assert (channel.log10_mean, channel.log10_std) == pytest.approx((logs.mean(), logs.std()), rel=1e-6)
    assert [parameter.name for parameter in summary.parameters][:3] == ["Omega_m", "sigma_8", "A_SN1"]
    assert not any(parameter.constant for parameter in summary.parameters)
    assert summary.layout.startswith("LH")
    assert np.array_equal(summary.channels[0].example, values[summary.example_id])
    assert summary.channels[0].spectrum.n_maps == 18
    assert summary.channels[0].spectrum.k[0] == pytest.approx(0.3034, rel=1e-3)


def test_a_huge_set_is_described_by_a_part_of_it(write_set: WriteSet, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("focus_engine.data.summary._PIXEL_BUDGET", 5 * 64)
    monkeypatch.setattr("focus_engine.data.summary._POWER_BUDGET", 2 * 64)
    maps = opened(write_set())
    summary = describe(maps)
    assert (summary.n_maps, summary.read_maps, summary.complete) == (18, 5, False)
    assert summary.channels[0].pixels == 5 * 64
    assert summary.channels[0].spectrum.n_maps == 2
    again, first = describe(maps).channels[0], summary.channels[0]
    assert (again.low, again.high, again.mean) == (first.low, first.high, first.mean)


def test_each_channel_has_its_own_numbers(write_set: WriteSet, lognormal_maps: MakeMaps):
    values = lognormal_maps(18, 2, 8, 8)
    values[:, 1] = 5.0
    first, second = describe(opened(write_set(maps=values), fields=("Mcdm", "T"))).channels
    assert [(one.name, one.units) for one in (first, second)] == [("Mcdm", SURFACE_DENSITY), ("T", "K")]
    assert first.example.max() > 1e10
    assert (second.example == 5).all()
    assert (first.spectrum.mean > 0).all()
    assert np.allclose(second.spectrum.mean, 0)
    assert first.high > 1e10
    assert (second.low, second.high, second.log10_std) == (5, 5, 0)


def test_invalid_maps_are_refused(write_set: WriteSet, lognormal_maps: MakeMaps):
    values = lognormal_maps(18, 8, 8)
    values[2] = -values[2]
    with pytest.raises(InputError, match="map 2"):
        describe(opened(write_set(maps=values)))


def test_the_kind_of_set_is_guessed_from_the_parameters(camels: Path):
    latin = np.loadtxt(camels / "CosmoAstroSeed_IllustrisTNG_L25n256_LH.txt", usecols=range(1, 7))
    one_by_one = np.tile(FIDUCIAL, (13, 1))
    for column in range(6):
        one_by_one[2 * column, column] *= 0.8
        one_by_one[2 * column + 1, column] *= 1.2
    n_body = np.column_stack([latin[:, :2], np.ones((1000, 4))])
    corners = np.array([[m, s, 1, 1, 1, 1] for m in (0.1, 0.5) for s in (0.6, 1.0)])
    tables = {
        "EX": np.tile(corners, (2, 1)),
        "LH": latin,
        "CV": np.tile(FIDUCIAL, (27, 1)),
        "1P": one_by_one,
        "N-body": n_body,
    }
    assert {name: guess_layout(table).split()[0] for name, table in tables.items()} == {name: name for name in tables}
    assert guess_layout(one_by_one[:, :2]).startswith("1P")
    assert guess_layout(corners[:3]) == guess_layout(corners[1:])  # 1P about a corner
    assert guess_layout(np.vstack([corners, corners[:1]])).startswith("N-body")
    assert guess_layout(latin[:, :2]).startswith("N-body")
    assert guess_layout(latin[:1]) == "one simulation"
    assert guess_layout(latin[:, :1]) == "not a CAMELS set (Omega_m varies)"

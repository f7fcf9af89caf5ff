"""Files of `focus judge`: maps, parameters and simulations as their writer meant them, and a message for each fault."""

import h5py
import numpy as np
import pytest

from focus_engine.data.judged_files import JudgedFile, read_judged_maps
from focus_engine.data.judged_values import check_judged_values
from focus_engine.errors import InputError

DRAW = np.random.default_rng(0)
MAPS = DRAW.lognormal(25, 0.5, (12, 8, 8)).astype(np.float32)
ROWS = np.array([[0.2, 0.7], [0.3, 0.8], [0.3, 0.9]])
PARAMS = np.repeat(ROWS, 4, axis=0)


def written(path, **arrays):
    np.savez(path, **{"maps": MAPS, **arrays})
    return path


def read(path, what="real", **how):
    return read_judged_maps(JudgedFile(path, what, **how))


def test_a_file_of_focus_sample(tmp_path):
    path = written(
        tmp_path / "a.npz", params=PARAMS, param_names=["Omega_m", "sigma_8"], box_size=20.0, seed=3, eta=np.nan
    )
    side = read(path, "generated")
    assert side.maps.shape == (12, 1, 8, 8)
    np.testing.assert_array_equal(side.params, PARAMS)
    assert (side.param_names, side.box_size, side.simulation) == (("Omega_m", "sigma_8"), 20.0, None)
    assert side.provenance == {"seed": 3, "eta": None}
    assert side.n_simulations == 12


def test_hdf5_says_the_same(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["maps"], file["params"], file["simulation"] = MAPS[:, None], PARAMS, np.repeat([7, 3, 5], 4)
    side = read(tmp_path / "a.h5")
    assert side.simulation.tolist() == [2] * 4 + [0] * 4 + [1] * 4
    np.testing.assert_array_equal(side.maps[:, 0], MAPS)


def test_maps_of_equal_parameters_in_a_row_are_one_simulation(tmp_path):
    params = np.repeat(ROWS[[0, 1, 1, 0]], 3, axis=0) + DRAW.uniform(-3e-6, 3e-6, (12, 1))
    side = read(written(tmp_path / "a.npz", params=params))
    assert side.simulation.tolist() == [0] * 3 + [1] * 6 + [2] * 3
    assert read(tmp_path / "a.npz", maps_per_simulation=3).simulation.tolist() == np.repeat(range(4), 3).tolist()
    assert read(tmp_path / "a.npz", "generated", maps_per_simulation=3).simulation is None


@pytest.mark.parametrize(("number", "fits"), [(4, True), (2, False), (5, False)])
def test_ids_of_the_file_go_before_the_option_and_that_is_said(tmp_path, number, fits):
    path = written(tmp_path / "a.npz", params=PARAMS, simulation=np.repeat([7, 3, 5], 4))
    side = read(path, maps_per_simulation=number)
    assert side.simulation.tolist() == [2] * 4 + [0] * 4 + [1] * 4
    assert [f"not those of --maps-per-simulation {number}" in note for note in side.notes] == [True] * (not fits)
    assert not read(path, "generated", maps_per_simulation=number).notes


def test_npy_with_a_row_per_simulation_or_per_map(tmp_path):
    np.save(tmp_path / "maps.npy", MAPS)
    np.savetxt(tmp_path / "three.txt", ROWS)
    np.save(tmp_path / "twelve.npy", PARAMS)
    three = read(tmp_path / "maps.npy", params_path=tmp_path / "three.txt", maps_per_simulation=4)
    twelve = read(tmp_path / "maps.npy", params_path=tmp_path / "twelve.npy")
    np.testing.assert_array_equal(three.params, twelve.params)
    assert three.simulation.tolist() == twelve.simulation.tolist() == np.repeat(range(3), 4).tolist()
    assert three.param_names == ("Omega_m", "sigma_8")
    assert isinstance(three.maps.base, np.memmap)
    with pytest.raises(InputError, match=r"three.txt has 3 rows for 12 maps; .*--maps-per-simulation 4"):
        read(tmp_path / "maps.npy", params_path=tmp_path / "three.txt")


def test_simulations_that_cannot_be_told_are_one_group_and_said(tmp_path):
    for arrays in ({}, {"params": np.tile(ROWS[0], (12, 1))}):
        side = read(written(tmp_path / "a.npz", **arrays))
        assert side.simulation.tolist() == [0] * 12
        assert "can't be told" in side.notes[0]


@pytest.mark.parametrize(
    ("arrays", "how", "words"),
    [
        ({"maps": MAPS[0]}, {}, "shape"),
        ({"maps": np.ones((2, 8, 8, 3))}, {}, "channels second"),
        ({"maps": MAPS.astype(complex)}, {}, "real numbers"),
        ({"params": PARAMS[:5]}, {}, "5 rows for 12 maps"),
        ({"params": np.full((12, 2), np.nan)}, {}, "not finite in row 0"),
        ({"params": PARAMS, "param_names": ["a"]}, {}, "1 names for 2 columns"),
        ({"params": PARAMS, "simulation": np.arange(5)}, {}, "one id per map"),
        ({"params": PARAMS, "simulation": np.repeat([0, 1], 6)}, {}, "must share their parameters, but maps 0 to 5"),
        ({"params": PARAMS}, {"maps_per_simulation": 6}, "must share their parameters"),
        ({"params": PARAMS}, {"maps_per_simulation": 5}, "no multiple"),
        ({"box_size": -1.0}, {}, "box_size"),
        ({"box_size": 25.0}, {"box_size": 50.0}, "has a box of 25 Mpc/h"),
        ({"fields": ["a", "b"]}, {}, "names 2 fields but has 1 channel"),
        ({"units": ["a", "b"]}, {}, "has 2 units for 1 channel"),
    ],
)
def test_faults_of_layout(tmp_path, arrays, how, words):
    path = written(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=words) as error:
        read(path, **how)
    assert len(str(error.value).splitlines()) == 1


def test_other_faults_of_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "no.npz")
    np.savez(tmp_path / "other.npz", images=MAPS)
    with pytest.raises(InputError, match=r"no array named maps \(it holds images\)"):
        read(tmp_path / "other.npz")
    np.savetxt(tmp_path / "p.txt", ROWS)
    with pytest.raises(InputError, match="leave --against-params out"):
        read(written(tmp_path / "a.npz", params=PARAMS), params_path=tmp_path / "p.txt")


def bad(change):
    maps = MAPS.astype(np.float64).copy()
    maps[7] = change(maps[7])
    return maps


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        (bad(lambda one: np.where(one > one.min(), one, np.nan)), "map 7 has 1 NaN or infinite"),
        (bad(lambda one: np.full_like(one, 3.0)), "map 7 is constant"),
        (bad(lambda one: one * 1e200), "has values up to"),
        (bad(lambda one: one - one.mean()), "map 7 has .* negative .*normalised"),
        (np.log10(MAPS), "log10"),
        ((MAPS - MAPS.min()) / (MAPS.max() - MAPS.min()), "min-max"),
    ],
)
def test_faults_of_values(tmp_path, maps, words):
    side = read(written(tmp_path / "a.npz", maps=maps))
    with pytest.raises(InputError, match=words):
        list(check_judged_values(side))


def test_names_that_focus_makes_up_are_no_names(tmp_path):
    two = np.stack([MAPS, MAPS], axis=1)
    for maps, fields, expected in (
        (MAPS, ["map"], ()),
        (MAPS, ["Mcdm"], ("Mcdm",)),
        (two, ["channel 0", "channel 1"], ()),
        (two, ["Mcdm", "T"], ("Mcdm", "T")),
    ):
        side = read(written(tmp_path / "a.npz", maps=maps, fields=fields, units="K"))
        assert side.fields == expected
        assert side.units == ("K",) * len(fields)


def test_densities_pass_whatever_their_unit(tmp_path):
    for scale in (1 / MAPS.mean(), 1.0, 1e-20):
        assert list(check_judged_values(read(written(tmp_path / "a.npz", maps=MAPS.astype(float) * scale))))[-1] == 12
    normalised = written(tmp_path / "b.npz", maps=MAPS - MAPS.mean(), units="normalised field")
    assert list(check_judged_values(read(normalised))) == [12]


@pytest.mark.parametrize(("design", "rows"), [("CV", 27), ("1P", 30)])
def test_real_sets_of_cv_and_1p_are_judged_by_simulation(tmp_path, camels, design, rows):
    table = (camels / f"CosmoAstroSeed_IllustrisTNG_L25n256_{design}.txt").read_text(encoding="utf-8").splitlines()
    (tmp_path / "params.txt").write_text("\n".join(table[: rows + 1]), encoding="utf-8")  # 1P: p1 to p6
    np.save(tmp_path / "maps.npy", np.repeat(MAPS[:2], rows, axis=0))
    side = read(tmp_path / "maps.npy", params_path=tmp_path / "params.txt", maps_per_simulation=2)
    assert side.n_simulations == rows
    assert side.simulation.tolist() == np.repeat(range(rows), 2).tolist()
    fiducial = (np.abs(side.params - [0.3, 0.8, 1, 1, 1, 1]) < 1e-3).all(axis=1)
    assert fiducial.sum() == {"CV": 54, "1P": 12}[design]


def test_a_1p_table_that_varies_other_parameters_is_refused(tmp_path, camels):
    np.save(tmp_path / "maps.npy", np.repeat(MAPS[:1], 140, axis=0))
    table = camels / "CosmoAstroSeed_IllustrisTNG_L25n256_1P.txt"
    with pytest.raises(InputError, match="1P_p7_n2 varies parameter 7 of 28"):
        read(tmp_path / "maps.npy", params_path=table, maps_per_simulation=1)

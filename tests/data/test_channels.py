"""Several fields: files of each as one set of maps with channels, their names and units."""

from pathlib import Path

import numpy as np
import pytest

from focus_engine.config.blocks.data import DataBlock
from focus_engine.config.load import parse_config
from focus_engine.data.channels import describe_fields, open_field_files
from focus_engine.data.locate import resolve_map_paths
from focus_engine.data.maps import MapSet, open_map_set
from focus_engine.data.normalise import fit_normaliser
from focus_engine.errors import InputError
from focus_engine.units import SURFACE_DENSITY, UNKNOWN_UNIT

NAMES = ("Maps_Mcdm_Test_LH_z=0.00.npy", "Maps_T_Test_LH_z=0.00.npy", "Maps_P_Test_LH_z=0.00.npy")


@pytest.fixture
def cube(lognormal_maps) -> np.ndarray:
    """Return maps (18, 3, 8, 8) of three fields of very unlike values."""
    return lognormal_maps(18, 3, 8, 8) * np.float32([1, 1e-6, 1e3])[:, None, None]


@pytest.fixture
def files(tmp_path: Path, write_set, cube: np.ndarray) -> tuple[list[Path], Path]:
    """Write each field into a file of its own, and the parameters."""
    _, params = write_set(maps=cube[:, 0])
    for channel, name in enumerate(NAMES):
        np.save(tmp_path / name, cube[:, channel])
    return [tmp_path / name for name in NAMES], params


def opened(maps, params: Path, **keys) -> MapSet:
    return open_map_set(maps, params, box_size=25.0, maps_per_simulation=3, **keys)


def test_files_of_several_fields_are_read_as_one_file_with_channels(tmp_path, files, cube):
    paths, params = files
    listed = opened(paths, params)
    np.save(tmp_path / "cube.npy", cube)
    whole = opened(tmp_path / "cube.npy", params)
    assert listed.shape == whole.shape == (3, 8, 8)
    assert np.array_equal(listed.read([4, 0, 17]), cube[[4, 0, 17]])
    assert np.array_equal(whole.read([4, 0, 17]), cube[[4, 0, 17]])
    assert listed.maps.nbytes == cube.nbytes
    pair = opened([tmp_path / "cube.npy", paths[1]], params)
    assert np.array_equal(pair.read([2])[0], cube[2][[0, 1, 2, 1]])


def test_the_fingerprint_follows_every_field_and_no_name(tmp_path, files):
    paths, params = files
    first = opened(paths, params).fingerprint
    for path in paths:
        path.rename(tmp_path / path.name.lower())
    paths = [tmp_path / path.name.lower() for path in paths]
    assert opened(paths, params).fingerprint == first
    assert opened(paths[::-1], params).fingerprint != first
    changed = np.load(paths[2])
    changed[-1, -1, -1] *= 2
    np.save(paths[2], changed)
    assert opened(paths, params).fingerprint != first


def test_names_and_units_come_from_the_config_or_from_camels_file_names(tmp_path, files, cube):
    paths, params = files
    named = opened(paths, params)
    assert named.field_names == ("Mcdm", "T", "P")
    assert named.field_units == (SURFACE_DENSITY, "K", UNKNOWN_UNIT)
    given = opened(paths, params, fields=("a", "b", "c"), units=("1", "2", "1"))
    assert (given.field_names, given.field_units, given.units) == (("a", "b", "c"), ("1", "2", "1"), "1, 2")
    np.save(tmp_path / "Maps_mine_of_two.npy", cube[:, :2])
    assert opened(tmp_path / "Maps_mine_of_two.npy", params).field_names == ("channel 0", "channel 1")
    (only,) = describe_fields([Path("Maps_mine_of_one.npy")])
    assert (only.name, only.units) == ("map", SURFACE_DENSITY)
    with pytest.raises(InputError, match=r"data.fields names 2 \(a, b\), .* hold 3 channel"):
        opened(paths, params, fields=("a", "b"))


def test_each_field_is_normalised_by_itself(files, cube):
    maps = opened(*files)
    normaliser = fit_normaliser(maps, range(18), "log10")
    logs = np.log10(cube.astype(float))
    assert np.allclose(normaliser.mean, logs.mean(axis=(0, 2, 3)))
    assert np.allclose(normaliser.std, logs.std(axis=(0, 2, 3)), rtol=1e-4)


def test_files_that_do_not_fit_each_other_are_refused(tmp_path, files, cube):
    paths, params = files
    np.save(tmp_path / "short.npy", cube[:9, 0])
    with pytest.raises(InputError, match=r"short.npy: holds 9 maps of 8 × 8, but .*Mcdm.* holds 18 maps of 8 × 8"):
        opened([paths[0], tmp_path / "short.npy"], params)
    with pytest.raises(InputError, match="a file is given twice"):
        opened([paths[0], paths[0]], params)
    with pytest.raises(InputError, match=r"3 files of data.maps_path hold 3 channels .*out_channels to 3"):
        opened(paths, params, in_channels=1)
    with pytest.raises(InputError, match="empty list"):
        open_field_files([])


def test_a_bad_pixel_is_found_in_its_field(files):
    paths, params = files
    broken = np.load(paths[1])
    broken[7, 0, 0] = np.nan
    np.save(paths[1], broken)
    with pytest.raises(InputError, match=r"Maps_T_.*: T of map 7 \(simulation 2\) holds 1 NaN of 64 pixels; .*, in K"):
        opened(paths, params).read([7])


def test_fields_of_a_folder_are_found_by_name(tmp_path, files):
    _, params = files
    block = DataBlock(source="files", data_dir=str(tmp_path), fields=("T", "Mcdm"))
    maps, found = resolve_map_paths(block, tmp_path)
    assert [path.name for path in maps] == [NAMES[1], NAMES[0]]
    assert found == params
    with pytest.raises(InputError, match="a list of them"):
        resolve_map_paths(DataBlock(source="files", data_dir=str(tmp_path), fields=("T", "HI")), tmp_path)


def test_channels_of_hdf5_and_zarr(tmp_path, files, cube):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["maps"] = cube
    assert np.array_equal(opened(tmp_path / "maps.h5", files[1]).read([5])[0], cube[5])


def test_channels_of_zarr(tmp_path, files, cube):
    zarr = pytest.importorskip("zarr")
    zarr.save_group(str(tmp_path / "maps.zarr"), maps=cube)
    maps = opened(tmp_path / "maps.zarr", files[1])
    assert np.array_equal(maps.read([5])[0], cube[5])
    zarr.save_array(str(tmp_path / "plain.zarr"), cube)
    assert opened(tmp_path / "plain.zarr", files[1]).fingerprint == maps.fingerprint


@pytest.mark.parametrize(
    ("data", "channels", "says"),
    [
        ("maps_path: [a.npy, b.npy]", 1, "data.maps_path lists 2 files but model.in_channels is 1"),
        ("maps_path: a.npy, fields: [Mcdm, HI]", 1, "data.fields names 2 fields but model.in_channels is 1"),
        ("maps_path: a.npy, fields: [HI, HI]", 2, "a name is given twice"),
        ("maps_path: a.npy, fields: [Mcdm, mine]", 2, "the unit of mine is not known"),
        ("maps_path: a.npy, units: [K]", 2, "data.units names 1 units"),
        ("maps_path: []", 1, "must not be empty"),
        ("maps_path: a.npy, fields: ['']", 1, "must not be empty"),
        ("simulations: 10", 2, "simulated maps have one field"),
    ],
)
def test_a_config_whose_fields_do_not_agree_is_refused(tmp_path, data, channels, says):
    params = ", params_path: p.txt" if "path" in data else ""
    text = f"data: {{{data}{params}}}\nmodel: {{in_channels: {channels}, out_channels: {channels}}}\n"
    with pytest.raises(InputError, match=says):
        parse_config(text, tmp_path / "config.yaml")


def test_a_list_of_files_survives_a_checkpoint(tmp_path):
    text = (
        "data: {maps_path: [a.npy, b.npy], params_path: p.txt, fields: [HI, mine], units: [a, b]}\n"
        "model: {in_channels: 2, out_channels: 2}\n"
    )
    config = parse_config(text, tmp_path / "config.yaml").config
    assert config.data.map_files == ("a.npy", "b.npy")
    assert type(config).model_validate(config.model_dump(mode="json", by_alias=True)) == config

from pathlib import Path

import pytest

from focus_engine.config.blocks.data import DataBlock
from focus_engine.data.locate import resolve_map_paths
from focus_engine.errors import InputError


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def resolve(tmp_path: Path, **keys: str) -> tuple[str, str]:
    experiment = tmp_path / "experiment"
    experiment.mkdir(exist_ok=True)
    maps, params = resolve_map_paths(DataBlock(source="files", **keys), experiment)
    root = tmp_path.resolve()
    (only,) = maps
    return str(only.resolve().relative_to(root)), str(params.resolve().relative_to(root))


def test_paths_are_relative_to_the_config(tmp_path: Path):
    touch(tmp_path / "experiment" / "here", "m.npy", "p.txt")
    found = resolve(tmp_path, maps_path="here/m.npy", params_path="here/p.txt")
    assert found == ("experiment/here/m.npy", "experiment/here/p.txt")
    absolute = str(tmp_path / "experiment" / "here" / "m.npy")
    assert resolve(tmp_path, maps_path=absolute, params_path="here/p.txt") == found


def test_data_dir_comes_first_and_the_config_folder_second(tmp_path: Path):
    touch(tmp_path / "data", "m.npy")
    touch(tmp_path / "experiment", "m.npy", "p.txt")
    found = resolve(tmp_path, data_dir="../data", maps_path="m.npy", params_path="p.txt")
    assert found == ("data/m.npy", "experiment/p.txt")


def test_a_data_dir_alone_is_enough_when_it_holds_one_pair(tmp_path: Path):
    touch(tmp_path / "data", "Maps_Mcdm_IllustrisTNG_LH_z=0.00.npy", "params_LH_IllustrisTNG.txt", "notes.txt")
    expected = ("data/Maps_Mcdm_IllustrisTNG_LH_z=0.00.npy", "data/params_LH_IllustrisTNG.txt")
    assert resolve(tmp_path, data_dir="../data") == expected
    touch(tmp_path / "data", "params_CV_IllustrisTNG.txt", "params_LH_SIMBA.txt")
    assert resolve(tmp_path, data_dir="../data") == expected
    touch(tmp_path / "plain", "density.npy", "my_params.txt")
    assert resolve(tmp_path, data_dir="../plain") == ("plain/density.npy", "plain/my_params.txt")
    touch(tmp_path / "plain", "maps.npy", "params.txt")  # the names of `focus data simulate`
    assert resolve(tmp_path, data_dir="../plain") == ("plain/maps.npy", "plain/params.txt")


def test_parameters_are_found_beside_maps_of_the_same_set(tmp_path: Path):
    touch(tmp_path / "data", "Maps_Mcdm_SIMBA_CV_z=0.00.npy", "Maps_Mcdm_SIMBA_LH_z=0.00.npy")
    touch(tmp_path / "data", "params_CV_SIMBA.txt", "params_LH_SIMBA.txt")
    found = resolve(tmp_path, data_dir="../data", maps_path="Maps_Mcdm_SIMBA_CV_z=0.00.npy")
    assert found[1] == "data/params_CV_SIMBA.txt"
    assert resolve(tmp_path, data_dir="../data", params_path="params_LH_SIMBA.txt")[0].endswith("LH_z=0.00.npy")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            {"maps_path": "x.npy", "data_dir": "../data"},
            "maps_path: 'x.npy' .* tried .*data/x.npy and .*experiment/x.npy",
        ),
        ({"data_dir": "../missing"}, "missing is not a folder"),
        ({"data_dir": "../data"}, r"holds 2 that fit \(Maps_a.npy, Maps_b.npy\); name one"),
        ({"data_dir": "../data", "maps_path": "Maps_a.npy"}, "data.params_path is missing"),
        ({}, "both missing"),
    ],
)
def test_a_choice_or_a_gap_is_refused(tmp_path: Path, keys: dict[str, str], says: str):
    touch(tmp_path / "data", "Maps_a.npy", "Maps_b.npy")
    with pytest.raises(InputError, match=says):
        resolve(tmp_path, **keys)

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from focus_engine.config.blocks.data import DataBlock
from focus_engine.data.bring_in import ImportedMaps, ImportProgress, import_maps
from focus_engine.data.locate import resolve_map_paths
from focus_engine.data.summary import describe
from focus_engine.errors import FocusError, InputError
from focus_engine.progress import drain

MakeMaps = Callable[..., np.ndarray]
WriteSet = Callable[..., tuple[Path, Path]]


def bring_in(paths: tuple[Path, Path], name: str, root: Path, **keys: Any) -> ImportedMaps:
    show = keys.pop("show", lambda _: None)
    return drain(import_maps(*paths, name, root, maps_per_simulation=3, **keys), show)


@pytest.mark.parametrize("link", [False, True])
def test_a_set_arrives_whole_and_opens_from_its_folder(write_set: WriteSet, tmp_path: Path, link: bool):
    paths = write_set()
    progress: list[ImportProgress] = []
    result = bring_in(paths, "mine", tmp_path / "data", link=link, show=progress.append)
    assert isinstance(result, ImportedMaps)
    assert result.folder == tmp_path / "data" / "mine"
    assert sorted(path.name for path in result.folder.iterdir()) == [paths[0].name, paths[1].name]
    assert result.map_set.maps_path.read_bytes() == paths[0].read_bytes()
    assert result.map_set.n_simulations == 6
    assert result.map_set.maps_path.samefile(paths[0]) is link
    assert progress[0] == ImportProgress("check", 18, 18)
    assert progress[-1] == ImportProgress("copy", paths[0].stat().st_size, paths[0].stat().st_size)
    assert list((tmp_path / "data").iterdir()) == [result.folder]


def test_names_of_files_become_those_of_the_layout(write_set: WriteSet, tmp_path: Path):
    maps_path, params_path = write_set()
    odd = (maps_path.rename(tmp_path / "density.npy"), params_path.rename(tmp_path / "cosmologies.dat"))
    folder = bring_in(odd, "mine", tmp_path / "data").folder
    assert sorted(path.name for path in folder.iterdir()) == ["Maps_mine.npy", "params_mine.txt"]


def test_a_linked_original_may_itself_be_a_symbolic_link(write_set: WriteSet, tmp_path: Path):
    maps_path, params_path = write_set()
    alias = tmp_path / "Maps_alias.npy"
    alias.symlink_to(maps_path)
    result = bring_in((alias, params_path), "mine", tmp_path / "data", link=True)
    assert not result.map_set.maps_path.is_symlink()
    maps_path.unlink()
    assert result.map_set.read([0]).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "../up", "a/b", "/abs", "-dash", ".hidden", "new\nline", "nul\0", "a\\b", "x" * 300, " a"],
)
def test_a_name_that_is_no_plain_folder_is_refused(write_set: WriteSet, tmp_path: Path, name: str):
    with pytest.raises(InputError, match="name"):
        bring_in(write_set(), name, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_an_existing_set_is_never_overwritten(write_set: WriteSet, tmp_path: Path):
    kept = tmp_path / "data" / "mine"
    kept.mkdir(parents=True)
    with pytest.raises(InputError, match="never overwritten"):
        bring_in(write_set(), "mine", tmp_path / "data")
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_invalid_maps_leave_no_trace(write_set: WriteSet, lognormal_maps: MakeMaps, tmp_path: Path, value: float):
    values = lognormal_maps(18, 8, 8)
    values[17, 7, 7] = value
    with pytest.raises(InputError, match="map 17"):
        bring_in(write_set(maps=values), "mine", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_an_import_that_is_left_half_way_leaves_nothing(write_set: WriteSet, tmp_path: Path):
    steps = import_maps(*write_set(), "mine", tmp_path / "data", maps_per_simulation=3)
    while next(steps).stage != "copy":
        pass
    assert list((tmp_path / "data").iterdir())
    steps.close()
    assert list((tmp_path / "data").iterdir()) == []


def test_a_full_disk_fails_and_leaves_nothing(write_set: WriteSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FocusError, match="No space left") as failure:
        bring_in(write_set(), "mine", tmp_path / "data")
    assert failure.value.exit_code == 1
    assert list((tmp_path / "data").iterdir()) == []


def test_a_data_root_that_is_a_file_fails(write_set: WriteSet, tmp_path: Path):
    (tmp_path / "data").write_text("in the way", encoding="utf-8")
    with pytest.raises(FocusError, match="can't be written"):
        bring_in(write_set(), "mine", tmp_path / "data")


def camels_set(folder: Path, camels: Path, design: str, rows: int, maps: np.ndarray) -> tuple[Path, Path]:
    """Write maps beside a real CAMELS table, cut after `rows` simulations, under the names of CMD."""
    table = (camels / f"CosmoAstroSeed_IllustrisTNG_L25n256_{design}.txt").read_text(encoding="utf-8").splitlines()
    header = sum(line.startswith("#") for line in table)
    params = folder / f"params_{design}_IllustrisTNG.txt"
    params.write_text("\n".join(table[: header + rows]) + "\n", encoding="utf-8")
    path = folder / f"Maps_Mcdm_IllustrisTNG_{design}_z=0.00.npy"
    np.save(path, maps)
    return path, params


@pytest.mark.parametrize(("design", "rows"), [("CV", 27), ("1P", 30)])
def test_real_sets_of_cv_and_1p_arrive_and_are_recognised(
    tmp_path: Path, camels: Path, lognormal_maps: MakeMaps, design: str, rows: int
):
    paths = camels_set(tmp_path, camels, design, rows, lognormal_maps(rows * 3, 8, 8))
    found = bring_in(paths, "real", tmp_path / "data").map_set
    assert describe(found).layout.startswith(design)
    block = DataBlock(source="files", data_dir=str(tmp_path / "data" / "real"))
    assert resolve_map_paths(block, tmp_path) == ((found.maps_path,), found.params_path)
    assert found.n_simulations == rows
    assert found.params_of([0, 1, 2]).tolist() == [found.params[0].tolist()] * 3


def test_maps_of_parameters_that_no_model_here_knows_are_refused(
    tmp_path: Path, camels: Path, lognormal_maps: MakeMaps
):
    paths = camels_set(tmp_path, camels, "1P", 140, lognormal_maps(140 * 3, 4, 4))
    with pytest.raises(InputError, match="1P_p7_n2 varies parameter 7 of 28"):
        bring_in(paths, "real", tmp_path / "data")
    assert not (tmp_path / "data").exists()

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from focus_engine.data.batches import Batch, Batches
from focus_engine.data.maps import MapSet, open_map_set
from focus_engine.data.memory import free_memory
from focus_engine.data.normalise import fit_normaliser
from focus_engine.data.parameter_scaler import ParameterScaler
from focus_engine.data.symmetries import Augmentation
from focus_engine.errors import InputError

MakeMaps = Callable[..., np.ndarray]
WriteSet = Callable[..., tuple[Path, Path]]

TRAINING = list(range(6, 18))  # simulations 2 to 5


def batches_of(paths: tuple[Path, Path], **keys: object) -> tuple[Batches, MapSet]:
    maps = open_map_set(*paths, box_size=25.0, maps_per_simulation=3, cond_dim=2)
    normaliser = fit_normaliser(maps, range(6, 9), "log10")
    scaler = ParameterScaler.fit(maps, [2, 3, 4, 5])
    settings = {"batch_size": 5, "seed": 7, "shuffle": True, "augmentation": Augmentation(), **keys}
    return Batches(maps, TRAINING, normaliser, scaler, **settings), maps


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.maps, b.maps) and torch.equal(a.cond, b.cond) and torch.equal(a.ids, b.ids)
        for a, b in zip(one, other, strict=True)
    )


def test_an_epoch_shows_each_map_once_and_drops_none(write_set: WriteSet):
    batches, _ = batches_of(write_set())
    epoch = list(batches.epoch(1))
    assert (len(batches), batches.n_maps, [len(batch) for batch in epoch]) == (3, 12, [5, 5, 2])
    assert sorted(torch.cat([batch.ids for batch in epoch]).tolist()) == TRAINING
    assert epoch[0].maps.shape == (5, 1, 8, 8)
    assert epoch[0].maps.dtype == epoch[0].cond.dtype == torch.float32


def test_maps_and_parameters_belong_together(write_set: WriteSet):
    batches, maps = batches_of(write_set(), augmentation=None)
    normaliser = fit_normaliser(maps, range(6, 9), "log10")
    scaler = ParameterScaler.fit(maps, [2, 3, 4, 5])
    for batch in batches.epoch(3):
        physical = torch.from_numpy(maps.read(batch.ids))
        assert torch.allclose(batch.maps, normaliser.normalise(physical), atol=1e-6)
        assert torch.allclose(normaliser.physical(batch.maps), physical, rtol=1e-5, atol=0)
        assert torch.allclose(scaler.physical(batch.cond), torch.from_numpy(maps.params_of(batch.ids)), rtol=1e-5)


@pytest.mark.parametrize("augmentation", [None, Augmentation()])
@pytest.mark.parametrize("shape", [(8, 8), (2, 6, 10)])
def test_every_way_of_reading_gives_the_same_batches(
    write_set: WriteSet, augmentation: Augmentation | None, shape: tuple[int, ...]
):
    paths = write_set(shape=shape)
    own = {"standard": lambda maps, cond: maps + cond[:, :1, None, None], "augmentation": augmentation}
    ways = [{"resident": True}, *({"resident": False, "num_workers": workers} for workers in (0, 1, 2, 5))]
    made = [batches_of(paths, **own, **way)[0] for way in ways]
    assert [batches.resident for batches in made] == [True, False, False, False, False]
    for epoch in (0, 4):
        first, *others = [list(batches.epoch(epoch)) for batches in made]
        assert all(same(first, other) for other in others)


@pytest.mark.parametrize("resident", [True, False])
def test_any_batch_can_be_the_first(write_set: WriteSet, resident: bool | None):
    batches, _ = batches_of(write_set(), resident=resident, num_workers=2)
    whole = list(batches.epoch(2))
    for start in range(4):
        assert same(list(batches.epoch(2, start)), whole[start:])


def test_order_and_symmetries_follow_seed_and_epoch(write_set: WriteSet):
    paths = write_set()
    batches, _ = batches_of(paths)
    first = list(batches.epoch(1))
    assert same(first, list(batches_of(paths)[0].epoch(1)))
    assert not same(first, list(batches.epoch(2)))
    assert not same(first, list(batches_of(paths, seed=8)[0].epoch(1)))
    fixed, _ = batches_of(paths, shuffle=False)
    ids = [torch.cat([batch.ids for batch in fixed.epoch(epoch)]).tolist() for epoch in (1, 2)]
    assert ids == [TRAINING, TRAINING]
    assert not same(list(fixed.epoch(1)), list(fixed.epoch(2)))  # other symmetries, same order


def test_validation_batches_never_change(write_set: WriteSet):
    batches, _ = batches_of(write_set(), shuffle=False, augmentation=None)
    assert same(list(batches.epoch(1)), list(batches.epoch(9)))


@pytest.mark.parametrize("resident", [True, False])
def test_an_invalid_map_is_refused_where_it_is_read(
    write_set: WriteSet, lognormal_maps: MakeMaps, resident: bool | None
):
    values = lognormal_maps(18, 8, 8)
    values[13, 0, 0] = np.nan
    with pytest.raises(InputError, match=r"map 13 .* 1 NaN"):
        list(batches_of(write_set(maps=values), resident=resident, num_workers=2)[0].epoch(0))


def test_reading_threads_end_with_the_epoch_and_when_it_is_left(write_set: WriteSet):
    batches, _ = batches_of(write_set(), batch_size=1, resident=False, num_workers=3)
    for _ in batches.epoch(0):
        break
    gc.collect()
    list(batches.epoch(1))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("focus-maps")]


def test_waiting_is_counted(write_set: WriteSet):
    batches, _ = batches_of(write_set(), resident=False)
    assert batches.seconds_waited == 0
    list(batches.epoch(0))
    assert batches.seconds_waited > 0


def test_a_set_is_held_only_when_it_fits(write_set: WriteSet, monkeypatch: pytest.MonkeyPatch):
    paths = write_set()
    size = 4 * 64 * len(TRAINING)
    for free, held in ((4 * size, True), (4 * size - 1, False)):
        monkeypatch.setattr("focus_engine.data.batches.free_memory", lambda _, free=free: free)
        assert batches_of(paths)[0].resident is held
    assert 2**20 < free_memory(torch.device("cpu")) < 2**50


def test_batches_do_not_share_memory_with_the_set(write_set: WriteSet):
    batches, _ = batches_of(write_set(), augmentation=None, shuffle=False, batch_size=12)
    first = next(batches.epoch(0))
    kept = first.maps.clone()
    first.maps.zero_()
    first.cond.zero_()
    again = next(batches.epoch(0))
    assert torch.equal(again.maps, kept)
    assert again.cond.abs().max() > 0
